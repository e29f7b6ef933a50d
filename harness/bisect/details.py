"""What is said of a change beside its figure: the operators that moved, who takes the memory."""

from __future__ import annotations

import re
from typing import Protocol

from harness.bisect.figures import Step, last_profile
from harness.bisect.hunt import Change
from harness.bisect.question import Larger, Question, Slower, Wrong
from harness.bisect.repository import Commit
from harness.board.registry import Board
from harness.errors import HilError, ReportError
from harness.firmware.elf import memory_parts
from harness.measure.function_changes import FunctionChange, compare_functions, load_functions
from harness.measure.gate import LatencyVerdict
from harness.measure.operators import APPEARED, WENT, OperatorChange, compare_operators
from harness.text import counted, printable

MOST = 4
"""Operators or owners that are named."""

_MOVED = (LatencyVerdict.SLOWER.value, LatencyVerdict.FASTER.value, APPEARED, WENT)
_DIFFERENCE = re.compile(r"^first difference: (operator .*)\n  (output .*)\n  (.*)$", re.MULTILINE)


class Looking(Protocol):
    """Runs other commands on commits: see `harness.bisect.lab`."""

    def look(self, commit: Commit, command: str, *more: str) -> Step:
        """What a command left; `bench` alone profiles."""


def details(change: Change, question: Question, lab: Looking, board: Board) -> tuple[str, ...]:
    """Lines on a change: of the newer of its two commits, and of what differs from the older."""
    profiled = board.attachment != "virtual"
    if change.found is None:
        return tuple(
            f"{taken.commit.short} was skipped: {taken.why}" for taken in change.skipped[:MOST]
        )
    if isinstance(question, Slower):
        functions = _functions(change, lab) if board.emulator is not None else ()
        return (*_operators(change, lab), *functions) if profiled else ()
    if isinstance(question, Wrong):
        return _first_difference(change, lab) if profiled else ()
    if isinstance(question, Larger) and question.command == "build":
        return _owners(change, ram=question.what == "ram")
    return ()


def _operators(change: Change, lab: Looking) -> tuple[str, ...]:
    sides = [lab.look(taken.commit, "bench") for taken in (change.before, change.after)]
    for step in sides:
        if not step.layers:
            return (f"its operators are not known: {step.reason}",)
    try:
        changes = compare_operators(*map(last_profile, sides))
    except ReportError as error:
        return (f"its operators are not known: {error.what}",)
    found = [change for change in changes if change.verdict in _MOVED]
    found.sort(key=lambda change: -abs((change.b or 0.0) - (change.a or 0.0)))
    if not found:
        return ("no operator that could be told from before",)
    more = (f"and {counted(len(found) - MOST, 'more operator')}",) if len(found) > MOST else ()
    return (*map(_operator, found[:MOST]), *more)


def _functions(change: Change, lab: Looking) -> tuple[str, ...]:
    """The functions whose own instructions differ; none where the commits cannot count them."""
    sides = [
        lab.look(taken.commit, "bench", "--functions") for taken in (change.before, change.after)
    ]
    try:
        before, after = (load_functions(step.folder) for step in sides)
    except ReportError:
        return ()
    found = [one for of in compare_functions(before.rows, after.rows) for one in of.changes]
    more = (f"and {counted(len(found) - MOST, 'more function')}",) if len(found) > MOST else ()
    return (*map(_function, found[:MOST]), *more)


def _function(change: FunctionChange) -> str:
    sides = ["not there" if side is None else f"{side:d}" for side in (change.a, change.b)]
    return f"function {printable(change.function, 60)}: {' to '.join(sides)} instructions"


def _operator(change: OperatorChange) -> str:
    named = f" ({printable(change.name, 40)})" if change.name else ""
    label = printable(change.label, 40)
    if change.a is None or change.b is None:
        return f"operator {label}{named} {change.verdict}"
    return f"operator {label}{named}: {change.a:.6g} to {change.b:.6g} {change.unit}"


def _first_difference(change: Change, lab: Looking) -> tuple[str, ...]:
    step = lab.look(change.after.commit, "profile", "--first-difference")
    if (found := _DIFFERENCE.search(step.said)) is None:
        return (f"its first wrong operator is not known: {_last_word(step)}",)
    return (printable(f"first wrong {found[1]}, {found[2]}: {found[3].strip()}", 300),)


def _last_word(step: Step) -> str:
    if step.status:
        return step.reason
    return "on the first check input every operator's output is that of TFLM on the host"


def _owners(change: Change, *, ram: bool) -> tuple[str, ...]:
    sizes: list[dict[tuple[str, str], int]] = []
    for taken in (change.before, change.after):
        elf = taken.step.elf
        if elf is None:
            return ()
        try:
            parts = memory_parts(elf)
        except (HilError, OSError, ValueError):
            return ()
        sizes.append(
            {
                (part.section, part.owner): part.ram_bytes if ram else part.flash_bytes
                for part in parts
            }
        )
    old, new = sizes
    changes = [(new.get(key, 0) - old.get(key, 0), key) for key in {**old, **new}]
    changes.sort(key=lambda change: -abs(change[0]))
    return tuple(
        f"{size:+d} B of {owner} in {printable(section, 40)}"
        for size, (section, owner) in changes[:MOST]
        if size
    )
