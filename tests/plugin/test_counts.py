from __future__ import annotations

from dataclasses import replace

from fakes.described import row

from harness.outcome import Outcome
from harness.plugin.counts import Note, Recovery, RunCounts
from harness.text import WIDTH

ROW = row(p99_us=None, mismatches=3, emulated=True)
SICK = Note(board="nano", outcome=Outcome.SICK, reason="no reply to INFER within 2 s")


def test_a_note_survives_its_journey() -> None:
    for note in (
        Note(board="a"),
        Note(board="a", outcome=Outcome.SLOW, reason="r", retries=3, rows=(ROW, ROW)),
        Note(board="a", skipped=True, slow=("a: no reply at 1000000 baud",)),
        Note(board="a", recovery=Recovery(helped=True, text="no reply: HELLO: it answers")),
    ):
        packed = note.pack()
        assert Note.unpack(packed) == note
        plain = (dict, list, tuple, str, int, float, bool, type(None))
        assert all(isinstance(value, plain) for value in packed.values())


def test_boards_are_told_in_the_order_asked_for_and_the_silent_ones_left_out() -> None:
    tally = RunCounts(["c", "b", "a"])
    tally.add(Note(board="a", outcome=Outcome.PASSED))
    tally.add(Note(board="c", skipped=True))
    assert [board.board for board in tally.boards] == ["c", "a"]


def test_a_board_says_how_often_what_happened_and_each_reason_once() -> None:
    tally = RunCounts(["nano"])
    for note in (
        Note(board="nano", outcome=Outcome.PASSED, rows=(ROW,)),
        Note(board="nano", outcome=Outcome.PASSED, retries=2, slow=("nano: too slow a line",)),
        Note(board="nano"),
        SICK,
        SICK,
        replace(SICK, outcome=Outcome.WRONG, reason="3 of 256 differ"),
        Note(board="nano", skipped=True),
    ):
        tally.add(note)
    (board,) = tally.boards
    assert board.lines() == [
        "nano: 1 wrong numbers, 2 sick rig, 2 passed, 1 skipped",
        "nano: 2 requests were sent again",
        "nano: too slow a line",
        "  wrong numbers: 3 of 256 differ",
        "  sick rig: no reply to INFER within 2 s (2 times)",
    ]
    assert tally.rows == [ROW]
    assert tally.outcome is Outcome.WRONG


def test_recoveries_are_told_and_those_that_helped_counted() -> None:
    tally = RunCounts(["nano"])
    for helped in (True, False, True):
        tally.add(Note(board="nano", recovery=Recovery(helped=helped, text="silence: reset")))
    tally.add(SICK)
    (board,) = tally.boards
    assert board.counted() == "1 sick rig, recovered 2 times"
    after = ["  recovered after silence: reset", "  not recovered after silence: reset"]
    assert board.lines()[-3:] == [*after, after[0]]


def test_long_reasons_fit_a_terminal() -> None:
    tally = RunCounts(["nano"])
    tally.add(replace(SICK, reason="/dev/serial/by-id/" + "x" * 40 + " said nothing" * 20))
    lines = tally.boards[0].lines()
    assert len(lines) > 3 and all(len(line) <= WIDTH for line in lines)


def test_what_failed_without_a_board_comes_first() -> None:
    tally = RunCounts(["nano"])
    assert tally.outcome is Outcome.PASSED
    tally.add(SICK)
    assert tally.outcome is Outcome.SICK
    tally.failed_elsewhere = True
    assert tally.outcome is Outcome.FAILED
