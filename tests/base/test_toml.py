from __future__ import annotations

import pytest

from harness import toml
from harness.errors import RigError

DOTS = "a." * 300


def test_dots_in_strings_and_comments_are_not_those_of_a_key() -> None:
    text = f'a = ["{DOTS}", \'{DOTS}\']  # {DOTS}\nb = """\n{DOTS}\\""" {DOTS}"""\n'
    assert toml.parse(text, "file")["a"] == [DOTS, DOTS]


@pytest.mark.parametrize(
    "text",
    [
        f"{DOTS}a = 1",
        f"[{DOTS}a]",
        # Strings before and around the key, which a careless look would take for one string.
        f'x = {{ a = "\\"", {DOTS}a = "\\"" }}',
        f"x = {{ a = '\\', {DOTS}a = 1 }}",
        f'x = {{ a = """\n""", {DOTS}a = 1 }}',
        f"# it's\n{DOTS}a = 1",
    ],
)
def test_key_of_too_many_parts_is_refused_before_it_takes_time(text: str) -> None:
    with pytest.raises(RigError, match="cannot read file: line . has more than 200 dots"):
        toml.parse(text, "file")
