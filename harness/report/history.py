"""The history of figures as text with plots, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.measure.history import Change, FigureHistory, FigureKind, Move, Point, Split
from harness.measure.history_read import History, SubjectHistory
from harness.measure.runs import Subject
from harness.names import is_commit, is_name
from harness.report.textplot import text_plot
from harness.text import counted, duration, figure_text, printable, wrapped

_SETUPS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHANGES = "123456789"
_LATER = "*"
"""The mark of a setup that there is no letter left for."""
_DIRTY = "-dirty"


def history_text(history: History, *, width: int, unicode: bool) -> str:
    """Of every figure that changed a plot and a paragraph for each change; in `width` columns."""
    blocks = [
        "\n".join(_subject_lines(subject, width=width, unicode=unicode))
        for subject in history.subjects
    ]
    return "\n\n".join(blocks)


def _subject_lines(subject: SubjectHistory, *, width: int, unicode: bool) -> Iterator[str]:
    board, runtime, model, dtype = (printable(name) for name in subject.subject)
    days = f"{_day(subject.first_utc)} to {_day(subject.last_utc)}"
    kind = " (emulated)" if _is_emulated(subject) else ""
    heading = f"{model}_{dtype} on {board}{kind}, {runtime}: {_runs(subject.runs)}, {days}"
    yield from wrapped(heading, width)
    constant = [figure for figure in subject.figures if figure.constant and not figure.changes]
    told = set()
    for figure in subject.figures:
        if figure not in constant:
            yield ""
            yield from _figure_lines(subject.subject, figure, width=width, unicode=unicode)
            told |= {split.reason for split in figure.splits}
    if constant:
        yield ""
        yield from wrapped(f"Always the same: {_constants(constant)}", width)
        yield from dict.fromkeys(
            line
            for figure in constant
            for split in figure.splits
            if split.reason not in told
            for line in _split_lines(figure, split, width)
        )


def _is_emulated(subject: SubjectHistory) -> bool:
    points = (judged.point for figure in subject.figures for judged in figure.points)
    return any(point.setup.key.emulated for point in points)


def _constants(figures: Sequence[FigureHistory]) -> str:
    operators = [figure for figure in figures if figure.kind.name.startswith("operator ")]
    parts = [
        f"{_name(figure.kind)} {amount(figure.kind, figure.points[-1].point.value)}"
        for figure in figures
        if figure not in operators
    ]
    if operators:
        parts.append(counted(len(operators), "operator"))
    return ", ".join(parts)


def _figure_lines(
    subject: Subject, figure: FigureHistory, *, width: int, unicode: bool
) -> Iterator[str]:
    values = [judged.point.value for judged in figure.points]
    kind = figure.kind
    times = figure.points[0].point.time_utc, figure.points[-1].point.time_utc
    yield from wrapped(f"{_name(kind)}: {_summary(figure)}", width)
    yield from text_plot(
        values,
        width=width,
        label=lambda value: amount(kind, value),
        marks=_marks(figure),
        ends=(_day(times[0]), _day(times[1])),
        unicode=unicode,
    )
    changes, splits = _shown(figure)
    if earlier := len(figure.changes) + len(figure.splits) - len(changes) - len(splits):
        yield from wrapped(f"{earlier} earlier changes and setups: --json has them all", width)
    for mark, change in changes:
        yield from _change_lines(mark, subject, kind, change, width)
    for split in splits:
        yield from _split_lines(figure, split, width)
    if undecided := figure.undecided:
        said = f"cannot tell of {len(undecided)} of {_runs(len(values))}; the last"
        yield from wrapped(printable(f"{said}: {undecided[-1].rule}", 400), width)


def _shown(figure: FigureHistory) -> tuple[list[tuple[str, Change]], Sequence[Split]]:
    """The newest changes with their marks, and the newest setups."""
    newest = figure.changes[-len(_CHANGES) :]
    return list(zip(_CHANGES, newest, strict=False)), figure.splits[-len(_CHANGES) :]


def _marks(figure: FigureHistory) -> dict[int, str]:
    """By place what stands below the plot: digits of changes, letters of setups."""
    changes, splits = _shown(figure)
    marks = {split.at: _letter(split) for split in splits}
    for digit, change in changes:
        marks[change.at] = digit
    return marks


def _letter(split: Split) -> str:
    return _SETUPS[split.setup] if split.setup < len(_SETUPS) else _LATER


def _summary(figure: FigureHistory) -> str:
    values = [judged.point.value for judged in figure.points]
    low, high = amount(figure.kind, min(values)), amount(figure.kind, max(values))
    changed = counted(len(figure.changes), "change") if figure.changes else "no change found"
    return f"{low} to {high} in {_runs(len(values))}, {changed}"


def _change_lines(
    mark: str, subject: Subject, kind: FigureKind, change: Change, width: int
) -> Iterator[str]:
    before, after = (amount(kind, point.value) for point in (change.reference, change.bad))
    exact = change.bad.sessions is None or change.bad.sessions.exact
    how = f" ({_percent(change.ratio)}exact)" if exact else ""
    yield from wrapped(f"{mark} {kind.word(change.move)}: {before} to {after}{how}", width)
    for name, point in (("first", change.bad), ("last before", change.good)):
        yield from _indented(f"{name} {_when(point)}, run {printable(point.run, 60)}", width)
    yield from _indented(commit_range(change), width)
    if change.undecided:
        yield from _indented(f"between them {_runs(change.undecided)} that cannot be told", width)
    for cause in change.causes:
        yield from _indented(printable(cause, 200), width)
    if not exact:
        yield from _indented(printable(change.rule, 300), width)
    if command := bisect_command(subject, kind, change):
        yield from _to_paste(command, width)


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{100 * (ratio - 1):+.3g} %, "


def _split_lines(figure: FigureHistory, split: Split, width: int) -> list[str]:
    now, before = (figure.points[at].point for at in (split.at, split.at - 1))
    values = f"{amount(figure.kind, now.value)}, before {amount(figure.kind, before.value)}"
    said = f"{_letter(split)} {_day(now.time_utc)}: {values}; not compared"
    return wrapped(f"{said}: {printable(split.reason, 400)}", width)


def _to_paste(command: str, width: int) -> list[str]:
    """A command that a shell takes as one, on as many lines as it needs."""
    room = width - len("    ") - len(" \\")
    lines = textwrap.wrap(command, room, break_on_hyphens=False, break_long_words=False)
    whole = " \\\n    ".join(lines).split("\n")
    return [f"  {whole[0]}", *whole[1:]]


def _indented(text: str, width: int) -> list[str]:
    return [f"  {line}" for line in wrapped(text, width - 2)]


def _runs(count: int) -> str:
    return counted(count, "run")


def _name(kind: FigureKind) -> str:
    return printable(kind.name)


def amount(kind: FigureKind, value: float) -> str:
    """A figure with its unit."""
    if kind.unit == "us":
        return duration(value)
    if kind.unit == "share":
        return f"{100 * value:.4g} %"
    unit = {"instructions": " instr", "bytes": " B", "": ""}.get(kind.unit, f" {kind.unit}")
    return f"{figure_text(value)}{unit}"


def _day(time_utc: str) -> str:
    return printable(time_utc[:10])


def _when(point: Point) -> str:
    return printable(point.time_utc[:16].replace("T", " ")) + " UTC"


def _commits(change: Change) -> tuple[str, str] | None:
    """Good and bad as git understands them; None where one is absent or no name of a commit."""
    names = [(point.commit or "").removesuffix(_DIRTY) for point in (change.good, change.bad)]
    return (names[0], names[1]) if all(map(is_commit, names)) else None


def commit_range(change: Change) -> str:
    """Which commits lie between the two runs, in words."""
    if (pair := _commits(change)) is None:
        given = [point.commit or "unknown" for point in (change.good, change.bad)]
        return f"commits: {printable(given[0], 60)}, then {printable(given[1], 60)}"
    dirty = [point.commit for point in (change.good, change.bad) if _is_dirty(point)]
    said = f"commits {pair[0]}..{pair[1]}"
    if pair[0] == pair[1]:
        said = f"both of commit {pair[0]}: no commit made the change"
    return f"{said}; {' and '.join(dirty)} had changes of its own" if dirty else said  # type: ignore[arg-type]


def _is_dirty(point: Point) -> bool:
    return (point.commit or "").endswith(_DIRTY)


def bisect_command(subject: Subject, kind: FigureKind, change: Change) -> str | None:
    """What searches the range for a change to the worse.

    None where there is no range, `hil bisect` has no such question, or a name is none that a shell
    may see.
    """
    pair, question = _commits(change), _question(kind, change)
    board, runtime, model, _ = subject
    if pair is None or pair[0] == pair[1] or question is None:
        return None
    if not all(map(is_name, (board, runtime, model))):
        return None
    measured = ("--board", board, "--runtime", runtime, "--model", model)
    return " ".join(["hil bisect", *question, *pair, "--", *measured])


def _question(kind: FigureKind, change: Change) -> tuple[str, ...] | None:
    """The options of `hil bisect` that ask for a change of this figure."""
    if change.move is not Move.MORE:
        return None
    name, number = (*kind.name.split(" "), "")[:2]
    if name == "operator":
        return ("--operator", number)
    questions = {
        "latency": (),
        "mismatches": ("--wrong",),
        **{what: ("--larger", what.lower()) for what in ("flash", "RAM", "arena", "stack")},
    }
    return questions.get(kind.name)


def history_data(history: History) -> dict[str, Any]:
    """Everything of a history for programs; docs/history.md has its fields."""
    return {
        "source": history.source,
        "subjects": [_subject_object(subject) for subject in history.subjects],
        "notes": list(history.notes),
    }


def _subject_object(subject: SubjectHistory) -> Mapping[str, Any]:
    names = dict(zip(("board", "runtime", "model", "dtype"), subject.subject, strict=True))
    return names | {"figures": [_figure_object(figure) for figure in subject.figures]}


def _figure_object(figure: FigureHistory) -> Mapping[str, Any]:
    return {
        "figure": figure.kind.name,
        "unit": figure.kind.unit or None,
        "runs": [
            _run_object(judged.point)
            | {
                "setup": judged.setup,
                "verdict": "first" if judged.move is None else figure.kind.word(judged.move),
                "rule": judged.rule,
            }
            for judged in figure.points
        ],
        "changes": [_change_object(figure.kind, change) for change in figure.changes],
        "splits": [
            {
                "setup": split.setup,
                "first": _run_object(figure.points[split.at].point),
                "reason": split.reason,
            }
            for split in figure.splits
        ],
    }


def _run_object(point: Point) -> dict[str, Any]:
    return {
        "time_utc": point.time_utc,
        "run": point.run,
        "git_commit": point.commit,
        "emulated": point.setup.key.emulated,
        "value": point.value,
    }


def _change_object(kind: FigureKind, change: Change) -> Mapping[str, Any]:
    pair = _commits(change)
    return {
        "verdict": kind.word(change.move),
        "good": _run_object(change.good),
        "bad": _run_object(change.bad),
        "reference": _run_object(change.reference),
        "range": None if pair is None else f"{pair[0]}..{pair[1]}",
        "ratio": change.ratio,
        "low": change.low,
        "high": change.high,
        "undecided": change.undecided,
        "causes": list(change.causes),
        "rule": change.rule,
    }
