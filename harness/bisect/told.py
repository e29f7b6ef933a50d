"""What a search says: a row for each step as it is judged, the answer, and all of it as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.bisect.figures import BUILDS, Figure
from harness.bisect.hunt import Change, Hunted, Shown
from harness.bisect.question import Answer, Question
from harness.bisect.repository import Commit
from harness.text import WIDTH, counted, printable, shortened, wrapped

_SUBJECT_AT = 53
MOST_SUSPECTS = 12
"""Commits of a range that are listed."""


def heading(unit: str) -> str:
    """The first line of the table."""
    return _line("step", "commit", "is", unit, "to GOOD", "subject")


def row(shown: Shown, good: Figure | None) -> Iterator[str]:
    """The line of a step, and below it why it is skipped."""
    taken, judged = shown.taken, shown.judged
    figure = taken.figure
    amount = "-" if figure is None else _amount(figure)
    word = judged.answer.value + ("*" if taken.step.kept else "")
    subject = printable(taken.commit.subject, WIDTH - _SUBJECT_AT)
    yield _line(shown.number, taken.commit.short[:10], word, amount, _change(figure, good), subject)
    if judged.answer is Answer.SKIPPED:
        yield from wrapped(f"      {printable(judged.why, 300)}")


def _line(number: str, commit: str, word: str, amount: str, change: str, subject: str) -> str:
    return f"{number:6}  {commit:10}  {word:8}  {amount:>10}  {change:>8}  {subject}".rstrip()


def _amount(figure: Figure) -> str:
    if figure.unit == BUILDS:
        return "fails" if figure.value else "builds"
    return f"{figure.value:.0f}" if figure.sessions is None else f"{figure.value:.6g}"


def _change(figure: Figure | None, good: Figure | None) -> str:
    if figure is None or good is None or figure.unit == BUILDS or figure.value == good.value:
        return ""
    if not good.value:
        return f"{figure.value - good.value:+.0f}"
    if figure.unit == "B":
        return f"{figure.value - good.value:+.0f}"
    return f"{100 * (figure.value / good.value - 1):+.2f} %"


def named(commit: Commit) -> str:
    """A commit as people know it: digits, subject, author, day."""
    about = ", ".join(filter(None, (printable(commit.author, 40), commit.date)))
    return f"{commit.short} {printable(commit.subject)}" + (f" ({about})" if about else "")


def answer(
    hunted: Hunted, question: Question, details: Sequence[Sequence[str]], again: Sequence[str]
) -> Iterator[str]:
    """The lines after the table.

    Args:
        details: for each change what is known of it: operators, owners of memory, errors.
        again: commands that show it again.
    """
    steps = counted(hunted.judged, "step")
    yield f"{steps} judged, {hunted.skipped} skipped, beside GOOD and BAD"
    if hunted.kept:
        yield f"* as an earlier search found it: {hunted.kept}; --again judges anew"
    for number, (change, known) in enumerate(zip(hunted.changes, details, strict=True)):
        yield ""
        yield from _told(change, question, first=number == 0)
        for line in known:
            yield from wrapped(f"  {line}")
    yield from _rest(hunted)
    yield ""
    yield "see it again:"
    yield from (f"  {command}" for command in again)


def _told(change: Change, question: Question, *, first: bool) -> Iterator[str]:
    which = "the first commit that" if first else "another change: the next commit that"
    if change.found is not None:
        yield f"{which} {question}:"
        yield from wrapped(f"  {named(change.found)}")
    else:
        yield f"{which} {question} is one of these {len(change.suspects)}:"
        for commit in change.suspects[:MOST_SUSPECTS]:
            yield f"  {shortened(named(commit), WIDTH - 2)}"
        if len(change.suspects) > MOST_SUSPECTS:
            yield f"  and {len(change.suspects) - MOST_SUSPECTS} more"
    before, after = change.before.figure, change.after.figure
    yield from wrapped(f"  before  {before} ({change.before.commit.short})")
    yield from wrapped(f"  after   {after} ({change.after.commit.short})")


def _rest(hunted: Hunted) -> Iterator[str]:
    good, bad = hunted.good.figure, hunted.bad.figure
    if good is None or bad is None or not round(hunted.rest, 6) or bad.unit == BUILDS:
        return
    if good.sessions is not None:
        return
    whole = bad.value - good.value
    yield ""
    yield from wrapped(
        f"of {whole:+.0f} {bad.unit} from GOOD to BAD {hunted.rest:+.0f} lie in other commits"
    )


def as_data(
    hunted: Hunted, question: Question, details: Iterable[Sequence[str]]
) -> dict[str, object]:
    """The answer for programs."""
    return {
        "question": str(question),
        "good": _commit_data(hunted.good.commit, hunted.good.figure),
        "bad": _commit_data(hunted.bad.commit, hunted.bad.figure),
        "judged": hunted.judged,
        "skipped": hunted.skipped,
        "rest": hunted.rest,
        "changes": [
            {
                "found": change.found.id if change.found else None,
                "suspects": [_commit_data(commit, None) for commit in change.suspects],
                "before": _commit_data(change.before.commit, change.before.figure),
                "after": _commit_data(change.after.commit, change.after.figure),
                "details": list(known),
            }
            for change, known in zip(hunted.changes, details, strict=True)
        ],
    }


def _commit_data(commit: Commit, figure: Figure | None) -> dict[str, object]:
    data: dict[str, object] = {
        "commit": commit.id,
        "subject": printable(commit.subject),
        "author": printable(commit.author),
        "date": commit.date,
    }
    if figure is not None:
        data |= {"figure": figure.value, "unit": figure.unit, "note": figure.note}
        if figure.sessions is not None:
            data["sessions"] = list(figure.sessions.figures)
    return data
