"""BakeNN's importer of `.tflite` files, asked what it takes."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any


def importer_says(content: bytes) -> str:
    """Why the importer does not take a file; empty if it does."""
    import_tflite, refused = _importer()
    try:
        with _without_whole("tflite", {"tflite": ""}):
            import_tflite(content)
    except (refused, ValueError) as error:
        return re.sub(r"^(TFLite model is incompatible.*?: )?(tflite_\d+_\w+: )?", "", str(error))
    return ""


@cache
def _importer() -> tuple[Any, type[Exception]]:
    packages = {"bakenn": "", "bakenn.frontends": "frontends"}
    with _without_whole("bakenn", packages):
        from bakenn.errors import BakeNNError
        from bakenn.frontends.tflite import import_tflite
    return import_tflite, BakeNNError


@contextmanager
def _without_whole(top: str, packages: Mapping[str, str]) -> Iterator[None]:
    """Leaves out what packages import by themselves: BakeNN's compiler takes 0.1 s, and the 187
    modules of TFLite's schema 0.05 s.

    In their place are packages that hold modules only, until the end of the block. A name in them
    stands for what the module of that name calls so, as in `tflite`.

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
