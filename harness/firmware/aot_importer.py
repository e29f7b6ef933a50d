"""BakeNN's importer of `.tflite` files, asked what it takes."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from harness.imports import without_whole


def importer_says(content: bytes) -> str:
    """Why the importer does not take a file; empty if it does."""
    import_tflite, refused = _importer()
    try:
        with without_whole("tflite", {"tflite": ""}):  # 187 modules, 0.05 s
            import_tflite(content)
    except (refused, ValueError) as error:
        return re.sub(r"^(TFLite model is incompatible.*?: )?(tflite_\d+_\w+: )?", "", str(error))
    return ""


@cache
def _importer() -> tuple[Any, type[Exception]]:
    # The compiler, which both packages import, takes 0.1 s.
    with without_whole("bakenn", {"bakenn": "", "bakenn.frontends": "frontends"}):
        from bakenn.errors import BakeNNError
        from bakenn.frontends.tflite import import_tflite
    return import_tflite, BakeNNError
