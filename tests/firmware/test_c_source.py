from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.firmware.c_source import c_bytes, c_comment, c_spec, c_string
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
    assert c_string("sine_int8 2.0, [x]") == '"sine_int8 2.0, [x]"'
    assert c_string('"\\\n7?é') == r'"\042\134\0127\077\303\251"'


HOSTILE = (
    '"; } // */ \\\n#include "/etc/passwd"\n??/\n'
    + "".join(map(chr, range(1, 128)))
    + "é\u2028\ud800"
)


def test_a_compiler_reads_any_text_in_strings_and_comments_as_it_was(tmp_path: Path) -> None:
    source, program = tmp_path / "text.c", tmp_path / "text"
    source.write_text(
        f"// {c_comment(HOSTILE)}\n/* {c_comment(HOSTILE)} */\n"
        f"#include <stdio.h>\nint main(void) {{ fputs({c_string(HOSTILE)}, stdout); return 0; }}\n"
    )
    command = ["g++", "-x", "c", "-std=c99", "-trigraphs", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, str(source), "-o", str(program)], check=True)
    said = subprocess.run([str(program)], capture_output=True, check=True).stdout
    assert said == HOSTILE.encode("utf-8", "replace")


def test_a_comment_is_one_short_line_of_plain_characters() -> None:
    assert c_comment("sine_int8-2.0 (a+b), c:d") == "sine_int8-2.0 (a+b), c:d"
    assert c_comment("*/ \\\n?\x1bé") == "__ _____"
    assert len(c_comment("x" * 1000)) == 80
