from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakes.pytests import ROOT, SMALL
from fakes.terminals import LINES, Terminal, opened, run_on_terminal
from hypothesis import given
from hypothesis import strategies as st

from harness.board.registry import load_registry
from harness.model.resolve import resolve_model
from harness.progress import Advance, State, no_progress
from harness.project import find_project
from harness.rig.open import RigOptions, open_board
from harness.terminal import (
    BELOW_THE_LINE,
    DELAY_S,
    ON_THE_LINE,
    Place,
    TerminalProgress,
    line,
    progress_on,
    wants_progress,
)

SLOW = "virtual:?delay_ms=450"
"""Every answer is so late that comparing takes more than DELAY_S, however fast the machine."""


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def by_hand(
    place: Place = ON_THE_LINE,
) -> Iterator[tuple[Terminal, Clock, TerminalProgress]]:
    """A terminal with progress that is shown when the test says so."""
    clock = Clock()
    with (
        opened() as (terminal, stream),
        TerminalProgress(stream, place=place, clock=clock, interval_s=None) as progress,
    ):
        yield terminal, clock, progress


def test_work_over_two_seconds_shows_how_much_is_left_and_then_goes_away() -> None:
    with by_hand() as (terminal, clock, progress):
        terminal.write("before\r\n")
        with progress("nano: timing", 10) as advance:
            advance(5)
            clock.now += DELAY_S
            progress.show()
            clock.now += 6.0
            progress.show()
            terminal.settle()
            (before, bar) = terminal.lines
            assert before == "before"
            assert bar.startswith("nano: timing  50%|█") and bar.endswith("| 00:08, 00:08 left")
        terminal.settle()
        assert terminal.lines == ["before"] and terminal.cursor == (1, 0)


def test_work_of_two_seconds_writes_not_a_byte() -> None:
    with by_hand() as (terminal, clock, progress):
        with progress("nano: timing", 10):
            clock.now += DELAY_S
            progress.show()
        progress.show()
        terminal.write("x")
        assert terminal.seen == [["x"]]


def test_work_within_work_is_one_line_until_the_outermost_ends() -> None:
    with by_hand() as (terminal, clock, progress):
        with progress("nano: session", 2) as advance:
            with progress("nano: timing", 4) as inner:
                inner(2)
                clock.now += 5.0
                progress.show()
                terminal.settle()
                assert terminal.lines[0].startswith("nano: session 1/2, timing  25%")
                assert terminal.lines[0].endswith("00:05, 00:15 left")
            advance(1)
            progress.show()
            terminal.settle()
            assert terminal.lines[0].startswith("nano: session  50%")
        terminal.settle()
        assert terminal.lines == []


def test_a_line_that_is_being_written_is_left_alone_also_at_the_bottom_of_the_screen() -> None:
    for above in (3, LINES + 5):
        with by_hand(BELOW_THE_LINE) as (terminal, clock, progress):
            terminal.write("\r\n" * above + "test_it.py ..")
            with progress("nano: timing", 2) as advance:
                advance(1)
                clock.now += 3.0
                for _ in range(3):
                    progress.show()
                    terminal.settle()
                    *_, dots, bar = terminal.lines
                    assert dots == "test_it.py .." and bar.startswith("nano: timing  50%|")
            terminal.settle()
            terminal.write("F")
            assert terminal.lines[-1] == "test_it.py ..F"


def test_an_error_in_the_work_leaves_the_line_clean() -> None:
    with by_hand() as (terminal, clock, progress):
        with pytest.raises(ValueError, match="broken"), progress("nano: timing", 2):
            clock.now += 3.0
            progress.show()
            raise ValueError("broken")
        terminal.settle()
        assert terminal.lines == []


def test_a_terminal_that_is_gone_does_not_stop_the_work() -> None:
    clock = Clock()
    master, slave = os.openpty()
    stream = open(slave, "w", encoding="utf-8")
    os.close(master)
    with TerminalProgress(stream, clock=clock, interval_s=None) as progress:
        with progress("nano: timing", 2) as advance:
            clock.now += 3.0
            progress.show()
            advance(1)
    with pytest.raises(OSError):
        stream.close()


def test_the_line_moves_by_itself_while_nothing_reports() -> None:
    clock = Clock()
    with (
        opened() as (terminal, stream),
        TerminalProgress(stream, clock=clock, interval_s=0.001) as progress,
        progress("nano: uploading"),
    ):
        for seconds in (61.0, 62.0):
            clock.now = 100.0 + seconds
            while terminal.lines != [f"nano: uploading  01:0{seconds - 60:.0f}"]:
                assert terminal.take()


def test_the_thread_ends_with_the_block() -> None:
    before = threading.active_count()
    with opened() as (_, stream), TerminalProgress(stream):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_pipe_gets_nothing() -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as stream, progress_on(stream) as progress:
        assert progress is no_progress
    with open(reading) as pipe:
        assert pipe.read() == ""


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "CI": ""}, True),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_only_a_terminal_that_somebody_looks_at_gets_progress(
    environment: dict[str, str], wanted: bool
) -> None:
    with opened() as (_, stream):
        assert wants_progress(stream, environment) is wanted


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (None, "nano: timing  01:15"),
        (0.0, "nano: timing   0%|          | 01:15"),
        (0.02, "nano: timing   2%|          | 01:15"),
        (0.5, "nano: timing  50%|#    | 01:15, 01:15 left"),
    ],
)
def test_the_time_left_is_told_as_far_as_it_is_known(share: float | None, shown: str) -> None:
    text = line(State(what="nano: timing", share=share, elapsed_s=75.2), 79, unicode=False)
    assert text.split("|")[0] == shown.split("|")[0]
    assert text.split("|")[-1] == shown.split("|")[-1]
    assert share is None or len(text) == 79


@given(
    st.text(max_size=120),
    st.one_of(st.none(), st.integers(0, 10**9).map(lambda done: done / 10**9)),
    st.floats(0, 1e6),
    st.integers(1, 200),
)
def test_the_line_is_one_line_no_wider_than_asked_for(
    what: str, share: float | None, elapsed_s: float, columns: int
) -> None:
    text = line(State(what=what, share=share, elapsed_s=elapsed_s), columns)
    assert len(text) <= columns and all(char.isprintable() for char in text)


def test_a_slow_measurement_tells_the_time_left_after_every_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))
    sine = resolve_model("sine", find_project().artifacts)
    shares = []
    with by_hand() as (terminal, clock, progress):

        @contextmanager
        def shown(what: str, total: int | None = None) -> Iterator[Advance]:
            def step(count: int) -> None:
                clock.now += 2.5
                advance(count)
                progress.show()
                terminal.settle()
                shares.append(terminal.lines[-1])

            with progress(what, total) as advance:
                yield step

        options = RigOptions(port="virtual:?delay_ms=5", progress=shown)
        with open_board(load_registry()["virtual"], sine, find_project(), options) as board:
            del shares[:]
            board.dut.measure(np.zeros(1, np.int8), 2000)
        terminal.settle()
        assert terminal.lines == []
    assert len(shares) > 2
    assert all("virtual: timing" in text and " left" in text for text in shares)
    assert shares[-1].startswith("virtual: timing 100%") and "00:00 left" in shares[-1]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a program on a terminal at a desk."""
    own = {"PYTHONPATH": str(ROOT), "HIL_LOCK_DIR": str(tmp_path / "locks")}
    return {**{name: text for name, text in os.environ.items() if name != "CI"}, **own}


def bars(terminal: Terminal) -> list[str]:
    """All lines ever seen that tell the time left."""
    return [line for lines in terminal.seen for line in lines if " left" in line]


def test_hil_bench_shows_a_bar_on_a_terminal_and_leaves_none(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "harness.cli", "bench", "--board", "virtual"]
    status, terminal = run_on_terminal(
        [*command, "--port", SLOW, "--samples", "20"], folder=tmp_path, environment=environment
    )
    assert status == 0
    assert any(text.startswith("virtual: inference ") for text in bars(terminal))
    assert terminal.lines[0].startswith("virtual, tflm, sine_int8: build, start, compare")
    assert terminal.lines[1].startswith("board, runtime")
    assert not any("left" in text or "█" in text for text in terminal.lines)


def test_pytest_shows_the_bar_below_its_dots_and_leaves_those_whole(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "test_it.py").write_text(SMALL)
    command = [sys.executable, "-m", "pytest", "-p", "harness.plugin", "--board", "virtual"]
    status, terminal = run_on_terminal(
        [*command, "--hil-port", SLOW, "--hil-samples", "20", "-k", "last or after"],
        folder=tmp_path,
        environment=environment,
    )
    assert status == 0
    below = [
        lines[index - 1]
        for lines in terminal.seen
        for index, text in enumerate(lines)
        if text.startswith("virtual: inference ") and " left" in text
    ]
    assert below and set(below) == {"test_it.py ."}
    assert ["test_it.py", "..", "[100%]"] in [text.split() for text in terminal.lines]
    assert not any("left" in text or "█" in text for text in terminal.lines)
