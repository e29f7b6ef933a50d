from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.board.own import OwnBuild, OwnFlash, filled
from harness.board.registry import parse_board
from harness.errors import RigError

TABLE: dict[str, Any] = {
    "description": "d",
    "attachment": "serial",
    "mcu": "m",
    "clock_hz": 1,
    "runtimes": ["aot"],
    "build": {"command": ["make", "-C", "{project}"], "elf": "out/fw.elf"},
    "flash": {"command": ["probe", "--port={port}", "{elf}"]},
}


def test_a_board_says_how_it_is_built_and_flashed() -> None:
    board = parse_board("b", TABLE, home=Path("/rig"))
    assert board.build == OwnBuild(command=("make", "-C", "{project}"), elf="out/fw.elf")
    assert board.flash == OwnFlash(command=("probe", "--port={port}", "{elf}"))
    assert board.home == "/rig" and not board.flash.needs_serial_number


def test_placeholders_are_filled_within_words_and_other_braces_stay() -> None:
    words = ["-D{model}/x", "{}", "$<{ }>", "${HOME}"]
    assert filled(words, {"model": "a b; {port}"}) == ["-Da b; {port}/x", "{}", "$<{ }>", "${HOME}"]


@pytest.mark.parametrize(
    "change, named",
    [
        ({"build": {"command": [], "elf": "e"}}, "b.build: command must not be empty"),
        ({"build": {"command": "make", "elf": "e"}}, 'must be an array, not the string "make"'),
        ({"build": {"command": ["make"]}}, "b.build.elf is missing"),
        ({"build": {"command": ["m", "{port}"], "elf": "e"}}, "{port} is none of {project}, {mod"),
        ({"build": {"command": ["m"], "elf": "{elf}"}}, "build: elf: {elf} is none of {project}"),
        ({"build": {"command": ["m"], "elf": "e", "inputs": ["../*"]}}, "within the project"),
        ({"flash": {"command": ["f", "{model}"]}}, "{model} is none of {project}, {elf}, {port}"),
        ({"env": {"aot": "x"}}, "a board with `build` has no `env`"),
        ({}, "build.project must be a whole path where no file describes the board"),
        ({"home": "/"}, "home is not a known key"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(RigError) as caught:
        parse_board("b", {**TABLE, **change})
    assert named in str(caught.value)
