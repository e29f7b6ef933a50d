"""C literals and initializers for generated model sources."""

from __future__ import annotations

import json

from harness.model.tensor import DTYPE_NUMBERS, TensorSpec


def c_bytes(raw: bytes) -> str:
    """Bytes as a list of initializers, without braces."""
    return ", ".join(f"0x{byte:02x}" for byte in raw)


def c_string(text: str) -> str:
    """A string literal."""
    return json.dumps(text)


def c_spec(spec: TensorSpec) -> str:
    """Initializer of the firmware's TensorSpec. A hex float keeps every bit of the scale."""
    dims = ", ".join(str(size) for size in spec.shape)
    scale = f"{spec.scale.hex()}f"
    return (
        f"    {{{DTYPE_NUMBERS[spec.dtype]}, {len(spec.shape)}, {{{dims}}}, "
        f"{scale}, {spec.zero_point}}},"
    )


def c_specs(specs: tuple[TensorSpec, ...]) -> str:
    """Initializers of an array of TensorSpecs, one per line."""
    return "\n".join(c_spec(spec) for spec in specs)
