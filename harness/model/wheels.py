"""The wheels that hold the interpreters on the host. Nothing that takes time is imported here."""

from __future__ import annotations

import importlib.util
from typing import Any

from harness.imports import without_whole

TFLM_WHEEL = "tflite-micro"
TFLM_INSTALL = "pip install --pre tflite-micro  (Linux on x86-64 only)"
LITERT_WHEEL = "ai-edge-litert"

ARENA_HEADROOM = 256 * 1024 * 1024
"""Added to ten times the file's size, the wheel's default, which convolution networks exceed.

TFLM touches only what it uses of an arena, so that the rest costs no memory."""


def tflm_installed() -> bool:
    """Whether the TFLM wheel is installed; quicker than its version."""
    return importlib.util.find_spec("tflite_micro") is not None


def tflm_runtime() -> Any:
    """The TFLM wheel's module that runs models: 0.06 s, beside NumPy.

    Raises:
        ImportError: the wheel is not installed.
    """
    # Tools to compress models, which the package imports with it, take 0.03 s.
    with without_whole("tflite_micro", {"tflite_micro": ""}):
        try:
            from tflite_micro.python.tflite_micro import runtime
        except ImportError:  # It lies elsewhere in another version.
            runtime = None
    if runtime is None:
        from tflite_micro import runtime
    return runtime


def tflm_version() -> str | None:
    """Version of the TFLM wheel, or None where it is not installed."""
    return _version(TFLM_WHEEL)


def litert_version() -> str | None:
    """Version of the LiteRT wheel, or None where it is not installed."""
    return _version(LITERT_WHEEL)


def _version(wheel: str) -> str | None:
    from importlib import metadata  # 0.02 s

    try:
        return metadata.version(wheel)
    except metadata.PackageNotFoundError:
        return None


def host_arena_bytes(content: bytes) -> int:
    """Size of an arena on the host that no model in a file of this size needs."""
    return 10 * len(content) + ARENA_HEADROOM
