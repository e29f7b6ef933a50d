"""The wheels that hold the interpreters on the host. Nothing that takes time is imported here."""

from __future__ import annotations

import importlib.metadata

TFLM_WHEEL = "tflite-micro"
TFLM_INSTALL = "pip install --pre tflite-micro  (Linux on x86-64 only)"
LITERT_WHEEL = "ai-edge-litert"

ARENA_HEADROOM = 256 * 1024 * 1024
"""Added to ten times the file's size, the wheel's default, which convolution networks exceed.

TFLM touches only what it uses of an arena, so that the rest costs no memory."""


def tflm_version() -> str | None:
    """Version of the TFLM wheel, or None where it is not installed."""
    try:
        return importlib.metadata.version(TFLM_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return None


def litert_version() -> str | None:
    """Version of the LiteRT wheel, or None where it is not installed."""
    try:
        return importlib.metadata.version(LITERT_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return None


def host_arena_bytes(content: bytes) -> int:
    """Size of an arena on the host that no model in a file of this size needs."""
    return 10 * len(content) + ARENA_HEADROOM
