"""Recipes for the models that boards run, and the code that turns a recipe into an artifact.

A recipe (`models/sine.py` is the example) only declares. `python -m models train NAME` trains it,
converts it, computes its goldens and writes everything, with a manifest, below `models/artifacts/`.
TensorFlow is imported when training starts and never before.
"""
