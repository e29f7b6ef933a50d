from __future__ import annotations

import pytest

from harness.firmware.c_source import c_bytes, c_spec, c_string
from harness.model.tensor import TensorSpec


def test_bytes_become_an_initializer_list() -> None:
    assert c_bytes(b"\x00\x7f\xff") == "0x00, 0x7f, 0xff"
    assert c_bytes(b"") == ""


@pytest.mark.parametrize(
    "spec, text",
    [
        # Hex floats by hand: 0.5 = 1 * 2^-1, 0.75 = 1.5 * 2^-1. The dtype's numbers are TFLite's.
        (
            TensorSpec(shape=(1, 3), dtype="int8", scale=0.5, zero_point=-128),
            "{9, 2, {1, 3}, 0x1.0000000000000p-1f, -128},",
        ),
        (
            TensorSpec(shape=(4,), dtype="int16", scale=0.75),
            "{7, 1, {4}, 0x1.8000000000000p-1f, 0},",
        ),
        (TensorSpec(shape=(1,), dtype="float32"), "{0, 1, {1}, 0x0.0p+0f, 0},"),
    ],
)
def test_spec_becomes_an_initializer_that_keeps_every_bit(spec: TensorSpec, text: str) -> None:
    assert c_spec(spec).strip() == text


def test_strings_are_quoted_as_c_takes_them() -> None:
    assert c_string('a "b" \\\\ c') == r'"a \"b\" \\\\ c"'
