"""BakeNN's importer of `.tflite` files, asked what it takes."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any


def importer_says(content: bytes) -> str:
    """Why the importer does not take a file; empty if it does."""
    import_tflite, refused = _importer()
    try:
        import_tflite(content)
    except (refused, ValueError) as error:
        return re.sub(r"^(TFLite model is incompatible.*?: )?(tflite_\d+_\w+: )?", "", str(error))
    return ""


@cache
def _importer() -> tuple[Any, type[Exception]]:
    with _without_compiler():
        from bakenn.errors import BakeNNError
        from bakenn.frontends.tflite import import_tflite
    return import_tflite, BakeNNError


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Leaves out what BakeNN's packages import by themselves: the whole compiler, for 0.1 s.

    In their place are packages that hold modules only, until the end of the block.
    """
    found = None if "bakenn" in sys.modules else importlib.util.find_spec("bakenn")
    added = []
    for folder in found.submodule_search_locations or () if found else ():
        for name, path in (("bakenn", folder), ("bakenn.frontends", f"{folder}/frontends")):
            added.append(name)
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__path__ = [path]
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]
