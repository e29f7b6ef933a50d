"""Markers of board tests, as `-m` sees them."""

import pytest

pytest_plugins = ["pytester"]

MIXED = """
import pytest
def test_plain(): pass
def test_on(dut): pass
@pytest.mark.hil
def test_own(): pass
"""
ON_QEMU, ON_VIRTUAL = "test_on[qemu-m4-sine]", "test_on[virtual-sine]"


@pytest.mark.parametrize(
    ("options", "selected"),
    [
        (("-m", "hil"), {ON_QEMU, ON_VIRTUAL, "test_own"}),
        (("-m", "qemu"), {ON_QEMU}),
        (("-m", "not hil"), {"test_plain"}),
        (("-m", "hil and not qemu"), {ON_VIRTUAL, "test_own"}),
        (("-m", "hil", "-k", "virtual"), {ON_VIRTUAL}),
    ],
)
def test_board_tests_are_selected_by_their_markers(run, options, selected):
    result = run("--collect-only", "-q", *options, tests=MIXED)
    ids = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert set(ids) == selected and len(ids) == len(selected)


@pytest.mark.parametrize(("selection", "passed"), [("hil", 2), ("not hil", 1)])
def test_workers_select_by_markers_too(run, selection, passed):
    result = run("-n", "2", "--board", "virtual", "-m", selection, tests=MIXED)
    assert result.ret == 0 and result.parseoutcomes()["passed"] == passed


@pytest.mark.parametrize("processes", [(), ("-n", "1")])
def test_tests_without_a_board_run_whatever_is_said_of_boards(run, monkeypatch, processes):
    monkeypatch.setenv("HIL_BOARD", "nosuch")
    monkeypatch.setenv("HIL_SAMPLES", "none")
    result = run("-m", "not hil", *processes, tests=MIXED)
    assert result.ret == 0 and result.parseoutcomes()["passed"] == 1
    assert "hil:" not in result.stdout.str() and "hil boards" not in result.stdout.str()
