"""What a step left in its folder, and the figures that are read from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.errors import HilError, ReportError
from harness.files import write_atomic
from harness.firmware.elf import elf_sections
from harness.firmware.memory import flash_bytes, ram_bytes
from harness.measure.csvfile import beside
from harness.measure.frames import Tables, records_of
from harness.measure.gate import Sessions
from harness.measure.runs import Run, load_runs
from harness.measure.tables import LayerRow
from harness.outcome import Outcome
from harness.text import counted, printable

CSV, ELF, LOG, NOTE = "latency.csv", "firmware.elf", "log.txt", "step.json"
INSTRUCTIONS, BUILDS = "instr", "builds"
MOST_LOG = 1_000_000
"""Bytes of a log that are looked through; the first, where compilers name the cause."""

_COMPILER = re.compile(
    r"^\s*(?:\S*/)?([\w.+-]+):\d+(?::\d+)?: (?:fatal )?error: (.*)$", re.MULTILINE
)
_OURS = re.compile(r"^hil: (.*)$", re.MULTILINE)
_ARGPARSE = re.compile(r"^hil \w+: error: (.*)$", re.MULTILINE)
_LINKER = re.compile(
    r"(undefined reference to \S+|multiple definition of [^;\s]+|region \S+ overflowed)"
)
"""Without places in sections and sizes, which differ from commit to commit."""


class Unjudged(Exception):
    """A step without the figure that is asked for; the text is one line that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What was measured of a commit: `value` is exact unless there are `sessions` of times.

    `counts` are those of all sessions, where they can differ. `note` is for people.
    """

    value: float
    unit: str
    sessions: Sessions | None = None
    counts: tuple[float, ...] = ()
    note: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest of its counts."""
        counts = self.counts or (self.value,)
        return min(counts), max(counts)

    def __str__(self) -> str:
        if self.unit == BUILDS:
            return self.note or "builds"
        number = f"{self.value:,.0f}" if self.sessions is None else f"{self.value:,.4g}"
        of = f" in {counted(len(self.sessions.figures), 'session')}" if self.sessions else ""
        return f"{number} {self.unit}{self.note}{of}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A commit that was run. `status` is the exit status of the command; `kept`: of an earlier
    search, and not run again."""

    folder: Path
    status: int
    kept: bool = False
    seconds: float = field(default=0.0, compare=False)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Complete runs; none where nothing was measured."""
        try:
            return load_runs(self.folder / CSV).runs
        except (ReportError, OSError):
            return ()

    @cached_property
    def layers(self) -> tuple[LayerRow, ...]:
        """Rows of its profiles, the oldest first; none where it has none."""
        path = beside(self.folder / CSV, "layers")
        tables = Tables()
        try:
            tables.add(path, "layers")
        except (ReportError, OSError):
            return ()
        return tuple(records_of(tables.frame("layers"), LayerRow))

    @property
    def elf(self) -> Path | None:
        """The firmware, where the question is about it."""
        path = self.folder / ELF
        return path if path.is_file() else None

    @cached_property
    def said(self) -> str:
        """What the command wrote."""
        try:
            with (self.folder / LOG).open("rb") as log:
                return log.read(MOST_LOG).decode(errors="replace")
        except OSError:
            return ""

    @property
    def failure(self) -> str | None:
        """Why no firmware was made, without what differs from machine to machine; None if it
        failed for another reason than the commit's own."""
        own = {Outcome.FAILED.exit_status, Outcome.UNRUNNABLE.exit_status}
        if self.status not in own or _ARGPARSE.search(self.said):
            return None
        return self.reason

    @property
    def reason(self) -> str:
        """Why it ended as it did, on one line."""
        if found := _ARGPARSE.search(self.said):
            return printable(f"its harness says: {found[1]}")
        if found := _COMPILER.search(self.said) or None:
            return printable(f"does not build: {found[1]}: {found[2]}")
        if "firmware build failed" in self.said:
            linked = _LINKER.search(self.said)
            return printable(f"does not build: {linked[1] if linked else 'see its log'}")
        if found := _OURS.search(self.said):
            return printable(found[1])
        last = self.said.strip().splitlines()
        said = last[-1] if last else "said nothing"
        return printable(f"ended with status {self.status}: {said}")

    def save(self) -> None:
        """Note how it ended, last of all: a folder without the note is not whole."""
        note = {"status": self.status, "seconds": round(self.seconds, 3)}
        write_atomic(self.folder / NOTE, json.dumps(note).encode())


def load_step(folder: Path) -> Step | None:
    """A step of an earlier search; None if it is not whole."""
    try:
        note = json.loads((folder / NOTE).read_bytes())
        return Step(folder=folder, status=int(note["status"]), kept=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def model(step: Step) -> Figure:
    """The latency of the whole model, of all runs of the step together.

    Raises:
        Unjudged: nothing was measured.
    """
    runs = [run for run in step.runs if run.figures.figures]
    if not runs:
        raise Unjudged(step.reason)
    parts = [run.figures for run in runs]
    figures = tuple(figure for part in parts for figure in part.figures)
    if all(part.exact for part in parts):
        exact = Sessions(figures=figures, exact=True)
        return Figure(value=exact.median, unit=INSTRUCTIONS, counts=figures)
    last = parts[-1]
    return _times(figures, last.step_us, last.least_delta)


def _times(figures: tuple[float, ...], step_us: float, least_delta: float) -> Figure:
    sessions = Sessions(figures=figures, step_us=step_us, least_delta=least_delta)
    return Figure(value=sessions.median, unit="us", sessions=sessions)


def layers(step: Step, operator: str) -> Figure:
    """The cost of one operator, or of all of a kind together; each profile counts as a session.

    Args:
        operator: its number, its name, or a kind.

    Raises:
        Unjudged: there is no profile, or no such operator in it.
    """
    if not step.layers:
        raise Unjudged(step.reason)
    profiles: dict[str, list[LayerRow]] = {}
    for row in step.layers:
        if row.index == 0 or row.run not in profiles:
            profiles.setdefault(row.run, [])
        profiles[row.run].append(row)
    chosen = [picked(rows, operator) for rows in profiles.values()]
    if not all(chosen):
        there = ", ".join(dict.fromkeys(row.operator for row in step.layers))
        raise Unjudged(printable(f"has no operator {operator}, but {there}"))
    counts = [row.instructions_p50 for rows in chosen for row in rows]
    if None not in counts:
        sums = tuple(float(sum(row.instructions_p50 or 0 for row in rows)) for rows in chosen)
        return Figure(value=sums[-1], unit=INSTRUCTIONS, counts=sums)
    times = tuple(sum(row.p50_us for row in rows) for rows in chosen)
    good = [run for run in step.runs if run.figures.figures]
    last = good[-1].figures if good else Sessions(figures=(1.0,))
    return _times(times, last.step_us, last.least_delta)


def picked(rows: Iterable[LayerRow], operator: str) -> tuple[LayerRow, ...]:
    """Rows of an operator by its number, its name, or its kind (one of `MAX_POOL_2D+RESHAPE`)."""
    if operator.isdecimal():
        return tuple(row for row in rows if row.index == int(operator))
    every = tuple(rows)
    named = tuple(row for row in every if row.name == operator)
    kind = operator.upper()
    return named or tuple(row for row in every if kind in (row.operator, *row.operator.split("+")))


def arena(step: Step) -> Figure:
    """Bytes of the arena that the model used."""
    return _column(step, "arena_used_bytes", "the board does not say what its arena takes")


def stack(step: Step) -> Figure:
    """Bytes of stack that were ever used."""
    return _column(step, "stack_used_bytes", "the board does not say what its stack takes")


def _column(step: Step, name: str, absent: str) -> Figure:
    rows = [run.row for run in step.runs]
    if not rows:
        raise Unjudged(step.reason)
    value = getattr(rows[-1], name)
    if value is None:
        raise Unjudged(absent)
    return Figure(value=value, unit="B")


def size_of(step: Step, what: str) -> Figure:
    """Bytes of flash or RAM that the firmware takes.

    Raises:
        Unjudged: there is no firmware.
    """
    if step.elf is None:
        raise Unjudged(step.reason)
    try:
        sections = elf_sections(step.elf)
    except (HilError, OSError, ValueError) as error:
        raise Unjudged(printable(f"its firmware cannot be read: {error}")) from error
    sizes = {"flash": flash_bytes, "ram": ram_bytes}
    return Figure(value=sizes[what](sections), unit="B")


def last_profile(step: Step) -> tuple[LayerRow, ...]:
    """The rows of its newest profile."""
    return tuple(row for row in step.layers if row.run == step.layers[-1].run)
