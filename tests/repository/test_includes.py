"""Includes of the firmware go one way: each folder of firmware/src knows those listed for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "firmware" / "src"
BASE = {"format.h", "status.h", "tensor.h"}
"""Single files that every folder may include; they include each other only."""

INTERFACES = {"port/port.h", "runtime/runtime.h"}
"""What a board family and a runtime are to the rest: all that others may know of them."""

MAY_INCLUDE = {
    "wire": {"wire"},
    "port": {"port", "app.h"},
    "runtime": {"runtime"},
    "measure": {"measure", "wire", *INTERFACES},
    "answer": {"answer", "measure", "wire", *INTERFACES},
}
_INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def own_includes(path: Path) -> Iterator[str]:
    """Names of our headers that a file includes, from firmware/src on.

    One is in firmware/include, for firmware that is not ours, and is included in angle brackets.
    """
    for name in _INCLUDE.findall(path.read_text()):
        if (SOURCE / name).is_file():
            yield name
        else:
            assert name.startswith("tensorflow/"), f"{path}: {name} is not found from firmware/src"


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".h", ".cpp"))


def test_every_folder_is_listed() -> None:
    assert {path.parent.name for path in SOURCE.glob("*/*.cpp")} == set(MAY_INCLUDE)


@pytest.mark.parametrize("folder", MAY_INCLUDE)
def test_a_folder_includes_what_is_listed_for_it(folder: str) -> None:
    for path in sources(SOURCE / folder):
        for name in own_includes(path):
            allowed = MAY_INCLUDE[folder] | BASE
            assert {name, name.partition("/")[0]} & allowed, f"{folder}/{path.name}: {name}"


def test_the_base_includes_itself_only() -> None:
    for path in sources(SOURCE):
        if path.with_suffix(".h").name in BASE:
            assert set(own_includes(path)) <= BASE, path


def test_a_port_learns_of_the_firmware_no_more_than_the_size_of_a_frame() -> None:
    assert set(own_includes(SOURCE / "app.h")) == {"wire/frame.h"}
