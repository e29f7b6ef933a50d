from __future__ import annotations

import pytest

pytest.importorskip("xdist")

from harness.plugin.start import BOARD_ID, MODEL_NAME, RUNTIME
from harness.plugin.xdist import board_of, has_board_test

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


@pytest.mark.parametrize(
    ("nodeid", "found"),
    [
        ("test_it.py::test_it[qemu-m4-sine]", True),
        ("test_it.py::test_it[1-nano-2-sine-tflm]", True),
        ("test_it.py::test_it[nano-gr\\xfcn]", True),
        ("test_it.py::test_it[nano-gr\\xfcn2]", True),  # two files of one name
        ("test_it.py::test_it[nano]", False),  # another project's
        ("test_it.py::test_it[sine-nano]", False),
        ("test_it.py::test_nano-sine", False),
    ],
)
def test_board_tests_are_known_by_board_and_model(nodeid: str, found: bool) -> None:
    names = {BOARD_ID: BOARDS, MODEL_NAME: ("sine", "models/gr\xfcn.tflite"), RUNTIME: ()}
    assert has_board_test(["test_it.py::test_other", nodeid], names) == found
