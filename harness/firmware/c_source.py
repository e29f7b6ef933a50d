"""C literals and initializers for generated model sources."""

from __future__ import annotations

from string import ascii_letters, digits

from harness.model.tensor import DTYPE_NUMBERS, TensorSpec
from harness.text import shortened

MOST_COMMENT = 80
"""Characters of a name in a comment."""

_PLAIN = frozenset(ascii_letters + digits + " .,:()+-_")


def c_bytes(raw: bytes) -> str:
    """Bytes as a list of initializers, without braces."""
    return ", ".join(f"0x{byte:02x}" for byte in raw)


def c_string(text: str) -> str:
    """A string literal of the text's UTF-8 bytes, whatever the text holds."""
    return '"' + "".join(_quoted(byte) for byte in text.encode("utf-8", "replace")) + '"'


def _quoted(byte: int) -> str:
    """Three octal digits, which no digit after them can prolong; a ? could begin a trigraph."""
    char = chr(byte)
    return char if " " <= char <= "~" and char not in '"\\?' else f"\\{byte:03o}"


def c_comment(text: str) -> str:
    """Text for a comment, which it can neither end nor continue on the next line."""
    return "".join(char if char in _PLAIN else "_" for char in shortened(text, MOST_COMMENT))


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
