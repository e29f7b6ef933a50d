"""Finding recipes: every module of this package that has a `RECIPE`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

import models
from models.recipe import Recipe


class UnknownName(LookupError):
    """A recipe, variant or schedule that does not exist; the text lists the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(self.known)}")


def _declared() -> dict[str, Recipe]:
    """Recipes by the name of their module. Imports every module of the package, no TensorFlow."""
    found = {}
    for info in pkgutil.iter_modules(models.__path__):
        if info.name.startswith("_"):
            continue
        name = f"models.{info.name}"
        recipe = getattr(importlib.import_module(name), "RECIPE", None)
        if isinstance(recipe, Recipe):
            found[name] = recipe
    return found


def recipes() -> dict[str, Recipe]:
    """All recipes by name. Imports every module of the package but no TensorFlow."""
    return {recipe.name: recipe for recipe in _declared().values()}


def module_name(recipe: Recipe) -> str:
    """The module that declares the recipe as its `RECIPE`."""
    return next(name for name, declared in _declared().items() if declared.name == recipe.name)


def find(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UnknownName: there is no such recipe.
    """
    known = recipes()
    if name not in known:
        raise UnknownName("model", name, sorted(known))
    return known[name]
