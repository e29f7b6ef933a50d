"""What a search asks of each commit: slower, different from the golden, larger, or not to be built.

A question names the command of `hil` that measures a step, reads the figure from what it left, and
divides figures into good and bad ones by those of GOOD and BAD.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from harness.bisect.figures import (
    BUILDS,
    Figure,
    Step,
    Unjudged,
    arena,
    layers,
    model,
    size_of,
    stack,
)
from harness.errors import WrongUse
from harness.measure.gate import LatencyVerdict, Sessions, judge
from harness.text import counted

SIZES = ("flash", "ram", "arena", "stack")


class Answer(Enum):
    """What a commit is; the value is the word of the table."""

    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A figure's place: `why` says what decided, or why nothing did."""

    answer: Answer
    why: str = ""


Divide = Callable[[Figure], Judged]
"""Whether a figure is good or bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """From where on a figure is bad: `over` a figure, or more than GOOD's by a `share` or `by`.

    With none of them any difference counts, as far as it is certain.
    """

    share: float | None = None
    by: float | None = None
    over: float | None = None

    def limit(self, good: float) -> float | None:
        """The greatest figure that is good; None if nothing was said."""
        if self.over is not None:
            return self.over
        if self.share is not None:
            return good * (1 + self.share)
        return None if self.by is None else good + self.by

    def __str__(self) -> str:
        if self.over is not None:
            return f"over {self.over:g}"
        if self.share is not None:
            return f"by more than {100 * self.share:g} %"
        return "" if self.by is None else f"by more than {self.by:g}"


def parse_threshold(by: str | None, over: str | None) -> Threshold:
    """Of the options --by (`3%` or `512`) and --over.

    Raises:
        WrongUse: neither a number nor a share, or both options.
    """
    if by and over:
        raise WrongUse("--by and --over both say from where on a figure is bad: take one")
    if over:
        return Threshold(over=_number(over, "--over", "a figure, such as 3000"))
    wanted = "a share or a figure, such as 3% or 512"
    if by and by.endswith("%"):
        return Threshold(share=_number(by[:-1], "--by", wanted) / 100)
    return Threshold(by=_number(by, "--by", wanted)) if by else Threshold()


def _number(text: str, option: str, wanted: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise WrongUse(f"{option} takes {wanted}, not {text!r}")
    return number


class Question(Protocol):
    """What is asked of each commit. `threshold` is where figures begin to be bad."""

    @property
    def command(self) -> str:
        """The command of `hil` that measures a step, `bench` or `build`."""

    @property
    def profiles(self) -> bool:
        """Whether its figure is in the profile."""

    @property
    def threshold(self) -> Threshold:
        """From where on a figure is bad."""

    def read(self, step: Step) -> Figure:
        """The figure of a step.

        Raises:
            Unjudged: it has none.
        """

    def __str__(self) -> str:
        """Ends the sentence `the first commit that ...`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slower:
    """Slower, as a whole or in one operator (kind, name or number), by exact count or the gate."""

    threshold: Threshold = Threshold()
    operator: str | None = None
    command = "bench"

    @property
    def profiles(self) -> bool:
        """An operator's cost is."""
        return self.operator is not None

    def read(self, step: Step) -> Figure:
        """Median of session medians, or an exact count."""
        return model(step) if self.operator is None else layers(step, self.operator)

    def __str__(self) -> str:
        of = f" in {self.operator}" if self.operator else ""
        return f"is slower{of} {self.threshold}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Differs from the golden in any input; `further`: in more than another commit."""

    threshold: Threshold = Threshold()
    further: bool = False
    command = "bench"
    profiles = False

    def read(self, step: Step) -> Figure:
        """Inputs whose output is not the golden's."""
        rows = [run.row for run in step.runs if run.row.mismatches is not None]
        if not rows:
            raise Unjudged(step.reason)
        row = rows[-1]
        assert row.mismatches is not None
        far = f", by up to {row.max_abs_lsb:g} LSB" if row.max_abs_lsb else ""
        where = f" of {row.samples}{far}" if row.samples else ""
        return Figure(value=row.mismatches, unit="inputs", note=where)

    def __str__(self) -> str:
        return f"differs from the golden {self.threshold}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Larger:
    """Takes more flash, RAM, arena or stack. Of the first two no board is needed."""

    what: str
    threshold: Threshold = Threshold()
    profiles = False

    def __post_init__(self) -> None:
        if self.what not in SIZES:
            raise WrongUse(f"--larger takes one of {', '.join(SIZES)}, not {self.what!r}")

    @property
    def command(self) -> str:
        """Sizes of an ELF file need no board."""
        return "build" if self.what in ("flash", "ram") else "bench"

    def read(self, step: Step) -> Figure:
        """Bytes."""
        if self.what == "arena":
            return arena(step)
        return stack(step) if self.what == "stack" else size_of(step, self.what)

    def __str__(self) -> str:
        named = self.what.upper() if self.what == "ram" else self.what
        return f"takes more {named} {self.threshold}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Does not build, for the reason for which BAD does not."""

    threshold: Threshold = Threshold()
    command = "build"
    profiles = False

    def read(self, step: Step) -> Figure:
        """0, or the reason why there is no firmware."""
        if step.elf is not None:
            return Figure(value=0, unit=BUILDS)
        if step.failure is None:
            raise Unjudged(step.reason)
        return Figure(value=1, unit=BUILDS, note=step.failure)

    def __str__(self) -> str:
        return "does not build"


def divider(question: Question, good: Figure, bad: Figure) -> Divide:
    """How a question divides figures, by those of a good and of a bad commit."""
    if isinstance(question, Broken):
        return lambda figure: _broken(figure, bad)
    limit = question.threshold.limit(good.value)
    if isinstance(question, Wrong) and limit is None and not question.further:
        limit = 0.0
    if good.sessions is None:
        return lambda figure: _counted(figure, good.value if limit is None else limit)
    if limit is None:
        return lambda figure: _timed(figure, good, bad)
    ceiling = _scaled(good, limit, held=question.threshold.over is not None)
    return lambda figure: _timed(figure, ceiling, ceiling)


def _broken(figure: Figure, bad: Figure) -> Judged:
    if not figure.value:
        return Judged(answer=Answer.GOOD)
    if figure.note == bad.note:
        return Judged(answer=Answer.BAD, why=figure.note)
    return Judged(answer=Answer.SKIPPED, why=f"fails for another reason: {figure.note}")


def _counted(figure: Figure, limit: float) -> Judged:
    """Counts and sizes are exact: one more decides."""
    low, high = figure.ends
    if low > limit:
        return Judged(answer=Answer.BAD)
    if high <= limit:
        return Judged(answer=Answer.GOOD)
    return Judged(
        answer=Answer.SKIPPED,
        why=f"cannot tell: sessions of one firmware count {low:.0f} to {high:.0f}",
    )


def _timed(figure: Figure, good: Figure, bad: Figure) -> Judged:
    """By the gate, in both directions: a time that it calls neither slower than GOOD nor faster
    than BAD is neither good nor bad.

    The gate's own `same` would be right in 95 of 100 cases only: too few for many steps in a row.
    """
    assert figure.sessions and good.sessions and bad.sessions, "times have sessions"
    up = judge(good.sessions, figure.sessions)
    if up.verdict is LatencyVerdict.SLOWER:
        return Judged(answer=Answer.BAD, why=up.rule)
    down = judge(figure.sessions, bad.sessions)
    if down.verdict is LatencyVerdict.SLOWER:
        return Judged(answer=Answer.GOOD, why=down.rule)
    count = counted(len(figure.sessions.figures), "session")
    return Judged(answer=Answer.SKIPPED, why=f"cannot tell from {count}: {up.rule}")


def _scaled(good: Figure, limit: float, *, held: bool) -> Figure:
    """GOOD's sessions as if their median were the limit; with `held` all are the limit."""
    assert good.sessions is not None
    figures = good.sessions.figures
    moved = (limit if held else figure * limit / good.value for figure in figures)
    sessions = Sessions(
        figures=tuple(moved),
        step_us=good.sessions.step_us,
        least_delta=good.sessions.least_delta,
    )
    return Figure(value=limit, unit=good.unit, sessions=sessions)


def further(question: Question) -> Question:
    """The question of whether there is one more change, after one that was found.

    A figure that is bad from some value on is so everywhere behind the first change: then any
    difference counts.
    """
    over = question.threshold.over is not None
    threshold = Threshold() if over else question.threshold
    if isinstance(question, Wrong):
        return Wrong(threshold=threshold, further=True)
    if isinstance(question, Slower):
        return Slower(threshold=threshold, operator=question.operator)
    return (
        Larger(what=question.what, threshold=threshold)
        if isinstance(question, Larger)
        else question
    )


def questions(
    *,
    operator: str | None,
    wrong: bool,
    larger: str | None,
    broken: bool,
    threshold: Threshold,
) -> Question:
    """The question of the command line; slower where nothing else is said.

    Raises:
        WrongUse: several were asked, or a threshold of one that has none.
    """
    asked = [
        name
        for name, said in (
            ("--operator", operator),
            ("--wrong", wrong),
            ("--larger", larger),
            ("--broken", broken),
        )
        if said
    ]
    if len(asked) > 1:
        raise WrongUse(f"{' and '.join(asked)} are different questions: ask one at a time")
    if broken:
        if threshold != Threshold():
            raise WrongUse("--broken has no figure: leave --by and --over out")
        return Broken()
    if wrong:
        return Wrong(threshold=threshold)
    if larger:
        return Larger(what=larger, threshold=threshold)
    return Slower(threshold=threshold, operator=operator)
