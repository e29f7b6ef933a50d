"""Two measured checkouts as one document, the files that a workflow passes on, and its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.ci.side import CSV, Side, read_side
from harness.errors import ReportError
from harness.files import write_atomic
from harness.measure.footprint import any_larger
from harness.measure.function_changes import FunctionChanges, compare_functions, load_functions
from harness.measure.operator_gate import with_profiles
from harness.measure.runs import Baselines, load_runs
from harness.outcome import Outcome
from harness.report.comparison import compared, document_of
from harness.report.document import Document, Note, as_json
from harness.report.markdown import as_markdown
from harness.report.part import Part
from harness.text import printable

MARKDOWN, COMMENT, RECORD = "comparison.md", "comment", "comparison.json"
EMPTY = 2
"""Exit status where the head has nothing to measure."""
MOST_VERDICT = 300
_LAST_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A comparison, and the exit status of a job that fails because of it.

    It `warns` of what fails no job: what is larger, and what was not measured.
    """

    document: Document
    status: int
    warns: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """Which findings fail a job beside wrong outputs and a head that cannot be measured."""

    slower: bool = True
    larger: bool = False


def judge_sides(base: Path, head: Path, names: tuple[str, str], gates: Gates) -> Judged:
    """Compare two folders that `measure_side` wrote.

    Args:
        names: of both, as their commits.
    """
    sides = read_side(base), read_side(head)
    a, b = _runs(base), _runs(head)
    profiled = all(any(run.layers for run in side.runs) for side in (a, b))
    found = compared(a, b, sizes=True, operators=profiled)
    found = replace(found, functions=_functions(base, head))
    before = (
        _broken_part("base", sides[0], a, bad=False),
        _broken_part("head", sides[1], b, bad=True),
    )
    notes = [
        Note(subject=names[0], text="the base, A"),
        Note(subject=names[1], text="the head, B"),
        *_side_notes("base", sides[0]),
        *_side_notes("head", sides[1]),
        *(Note(text=note) for side in (a, b) for note in side.notes),
    ]
    document = document_of(found, "Emulated boards", notes, before)
    larger = any_larger(found.sizes or ())
    statuses = [
        sides[1].status,
        # That nothing was found to measure is no success.
        EMPTY if not b.runs else 0,
        Outcome.SLOW.exit_status if gates.slower and found.slower else 0,
        Outcome.FAILED.exit_status if gates.larger and larger else 0,
    ]
    warns = document.bad or larger or bool(sides[0].status)
    return Judged(document=document, status=next(filter(None, statuses), 0), warns=warns)


def _runs(folder: Path) -> Baselines:
    try:
        return with_profiles(load_runs(folder / CSV), folder / CSV)
    except ReportError:
        return Baselines(source=str(folder))


def _functions(base: Path, head: Path) -> tuple[FunctionChanges, ...] | None:
    """None unless both sides counted them, as with the argument `--functions`."""
    try:
        before, after = load_functions(base / CSV), load_functions(head / CSV)
    except ReportError:
        return None
    return compare_functions(before.rows, after.rows)


def _broken_part(name: str, side: Side, found: Baselines, *, bad: bool) -> Part:
    if not side.status:
        said = "" if found.runs else f"the {name} has nothing to measure"
        return Part(section=None, said=said, bad=bool(said) and bad)
    wrong = any(run.row.verdict != "pass" for run in found.runs)
    if side.status == Outcome.WRONG.exit_status and wrong:
        return Part(section=None)
    what = "was not measured to the end" if found.runs else "could not be measured"
    return Part(section=None, said=f"the {name} {what}", bad=bad)


def _side_notes(name: str, side: Side) -> Iterator[Note]:
    if side.absent:
        yield Note(subject=", ".join(side.absent), text=f"not in the {name}")
    if side.status:
        yield Note(text=f"measuring the {name} ended with status {side.status}; its last lines:")
        for line in [line for line in side.said.splitlines() if line.strip()][-_LAST_LINES:]:
            yield Note(subject=line, text="")


def write_judged(judged: Judged, output: Path, *, name: str, pull_request: int | None) -> None:
    """Write the Markdown, and the record for the workflow that comments."""
    folder = output / COMMENT
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(output / MARKDOWN, f"{as_markdown(judged.document)}\n".encode())
    record = {
        "format": 1,
        "name": name,
        "pull_request": pull_request,
        "document": json.loads(as_json(judged.document)),
    }
    write_atomic(folder / RECORD, json.dumps(record, indent=1).encode())


def annotation(judged: Judged, name: str) -> str:
    """The verdict as an annotation that GitHub shows at the run: it has no names from outside."""
    level = "error" if judged.status else "warning" if judged.warns else "notice"
    return f"::{level} title={name}::{printable(judged.document.verdict, MOST_VERDICT)}"
