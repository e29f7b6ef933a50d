"""Imports modules of a package without all that the package imports by itself."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def without_whole(top: str, packages: Mapping[str, str]) -> Iterator[None]:
    """Leaves out what packages import by themselves, which may take longer than what is needed.

    In their place are packages that hold modules only, until the end of the block; those that are
    imported already stay. A name in them stands for what the module of that name calls so, as in
    `tflite`, whose modules have a class each.

    Args:
        top: the package that the others are in.
        packages: their names, and their folders within that of `top`.
    """
    found = None if top in sys.modules else importlib.util.find_spec(top)
    added = []
    for folder in found.submodule_search_locations or () if found else ():
        for name, within in packages.items():
            added.append(name)
            sys.modules[name] = _Holder(name, f"{folder}/{within}")
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


class _Holder(ModuleType):
    """A package of modules, each imported when what it holds is asked for."""

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(name)
        self.__path__ = [folder]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return _held(importlib.import_module(f"{self.__name__}.{name}"), name)
        except ModuleNotFoundError as error:
            raise AttributeError(name) from error

    def __setattr__(self, name: str, value: Any) -> None:
        # An import puts the module into its package.
        super().__setattr__(name, _held(value, name) if isinstance(value, ModuleType) else value)


def _held(module: ModuleType, name: str) -> Any:
    """What a module calls by its own name; the module itself if it has no such thing."""
    return getattr(module, name, module)
