"""Recipes for the models that boards run, and the code that turns a recipe into an artifact.

A recipe is a module that declares a model; `models/sine.py` is an example. `python -m models train
NAME` trains it, converts it, computes its goldens and writes all files and a manifest to a folder
in `models/artifacts/`. TensorFlow is imported only when training starts.
"""
