"""Finding recipes: every module of this package that has a `RECIPE`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

import models
from models.recipe import Recipe


class UnknownName(LookupError):
    """A recipe, variant or schedule that nobody declared; the text lists the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(self.known)}")


def recipes() -> dict[str, Recipe]:
    """All recipes by name. Imports every module of the package but no TensorFlow."""
    found = {}
    for info in pkgutil.iter_modules(models.__path__):
        if info.name.startswith("_"):
            continue
        recipe = getattr(importlib.import_module(f"models.{info.name}"), "RECIPE", None)
        if isinstance(recipe, Recipe):
            found[recipe.name] = recipe
    return found


def module_name(recipe: Recipe) -> str:
    """The module that declares the recipe: the one its data set function is defined in."""
    return recipe.dataset.__module__


def find(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UnknownName: there is none.
    """
    known = recipes()
    if name not in known:
        raise UnknownName("model", name, sorted(known))
    return known[name]
