"""Frames between the harness and a process that runs models for it: see `server` and `served`.

Both ends import it at their start, before they have NumPy.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

TFLM, LITERT = "tflm", "litert"

Header = dict[str, Any]

MOST_HEADER = 1 << 20
MOST_PAYLOAD = 1 << 29
"""Bytes of a frame: samples are handed over in blocks that are far smaller."""

_LENGTHS = struct.Struct("<II")


def write_frame(write: Callable[[bytes], None], header: Header, payload: bytes = b"") -> None:
    """Write a frame: lengths, a header in JSON, and bytes."""
    text = json.dumps(header).encode()
    write(_LENGTHS.pack(len(text), len(payload)) + text)
    if payload:
        write(payload)


def read_frame(read: Callable[[int], bytes]) -> tuple[Header, bytes]:
    """Read a frame.

    Args:
        read: gives exactly as many bytes as asked for, or raises.

    Raises:
        ValueError: it is larger than a frame may be, or its header is no JSON object.
    """
    header_size, size = _LENGTHS.unpack(read(_LENGTHS.size))
    if header_size > MOST_HEADER or size > MOST_PAYLOAD:
        raise ValueError("a frame that is too large")
    header = json.loads(read(header_size))
    if not isinstance(header, dict):
        raise ValueError("a header that is no object")
    return header, read(size) if size else b""
