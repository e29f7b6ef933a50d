"""Small models for tests: each operator, type and shape of model that TFLite Micro has.

`python -m models.zoo --output DIR` makes them, with TensorFlow; `tests/zoo/` has them made.
"""
