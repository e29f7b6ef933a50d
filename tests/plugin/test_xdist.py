from __future__ import annotations

import pytest

pytest.importorskip("xdist")

from harness.plugin.xdist import board_of

BOARDS = ("nano", "nano-2", "qemu-m4")


@pytest.mark.parametrize(
    ("nodeid", "board"),
    [
        ("tests/test_it.py::test_it[qemu-m4-sine]", "qemu-m4"),
        ("tests/test_it.py::TestIt::test_it[nano-sine]", "nano"),
        ("tests/test_it.py::test_it[nano-2-sine]", "nano-2"),
        ("tests/test_it.py::test_it[a[0]-nano-sine-1]", "nano"),
        ("tests/test_it.py::test_it[nano]", "nano"),
        ("tests/test_it.py::test_nano", None),
        ("tests/nano/test_it.py::test_it[1]", None),
        ("tests/test_it.py::test_it[nanosecond-sine]", None),
        ("tests/test_it.py::test_it", None),
    ],
)
def test_the_board_is_read_from_a_tests_id(nodeid: str, board: str | None) -> None:
    assert board_of(nodeid, BOARDS) == board
