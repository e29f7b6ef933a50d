"""From GOOD and BAD to the commits that changed the figure: one search after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.bisect.choose import Choose
from harness.bisect.figures import Figure
from harness.bisect.lab import Taken
from harness.bisect.question import (
    Answer,
    Divide,
    Judged,
    Question,
    divider,
    further,
)
from harness.bisect.repository import Commit
from harness.bisect.search import Narrowed, search
from harness.errors import HilError, RigError, WrongUse
from harness.measure.gate import LatencyVerdict, judge
from harness.outcome import Outcome

MOST_TIMES = 4
"""How often as many sessions are measured of a commit before nobody can tell."""

MOST_CHANGES = 4
"""Changes that are looked for in one range."""

EXPLAINED = 0.1
"""A part of the whole difference that is smaller is not searched for: it can be of many commits."""


MORE = (
    "Measure more of each commit: -- --sessions N; or take a quieter rig, or an emulated board, "
    "whose counts are exact."
)


class Measuring(Protocol):
    """Measures commits: see `harness.bisect.lab`."""

    def take(self, commit: Commit) -> Taken:
        """Measure a commit, once."""

    def take_more(self, commit: Commit) -> Taken:
        """Measure it again, and take both together."""

    def take_anew(self, commit: Commit, sessions: int) -> Taken:
        """Measure it again in so many sessions, and take these alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A row of the table: `number` is the step's, or GOOD, BAD, `base` or `before`."""

    number: str
    taken: Taken
    judged: Judged


Tell = Callable[[Shown], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of the figure. `before` and `after` are the commits on its two sides, next to each
    other if the search found one commit. `suspects` are those that can have made it, newest first.
    """

    before: Taken
    after: Taken
    suspects: tuple[Commit, ...]
    skipped: tuple[Taken, ...] = ()

    @property
    def found(self) -> Commit | None:
        """The commit that made it; None where several can have."""
        return self.suspects[0] if len(self.suspects) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunted:
    """What a search came to: at least one change, the oldest first.

    `rest` is how much of the difference between GOOD and BAD lies in none of the changes, where
    figures can be subtracted. `judged` steps were good or bad, `skipped` were not; `kept` of the
    rows are of an earlier search.
    """

    good: Taken
    bad: Taken
    changes: tuple[Change, ...]
    judged: int
    skipped: int
    kept: int = 0
    rest: float = 0.0


class Hunt:
    """Searches one range for what a question asks.

    Args:
        commit_of: a commit by its id.
        bases: the best common ancestors of GOOD and BAD.
        only_first: do not search for another change.
        tell: is given each row of the table at once.
    """

    def __init__(
        self,
        lab: Measuring,
        question: Question,
        choose: Choose,
        commit_of: Callable[[str], Commit],
        tell: Tell = lambda shown: None,
        *,
        only_first: bool = False,
    ) -> None:
        self._lab = lab
        self._question = question
        self._choose = choose
        self._commit_of = commit_of
        self._tell = tell
        self._only_first = only_first
        self._steps: dict[str, Judged] = {}
        self._kept = 0

    def hunt(self, good: Commit, bad: Commit, bases: Sequence[str] = ()) -> Hunted:
        """Judge both ends, then the commits between them.

        Args:
            bases: merge bases of both that are not `good`: they must be good, too.

        Raises:
            WrongUse: GOOD is bad already, or BAD still good.
            RigError: an end cannot be judged, or the two cannot be told apart.
        """
        lower, upper = self._ends(good, bad)
        divide = divider(self._question, _figure(lower), _figure(upper))
        for base in bases:
            self._refuse_bad_base(self._commit_of(base), divide, good)
        changes = [self._change((*bases, good.id), bad.id, divide, lower)]
        if why := self._refuted(changes[0]):
            raise RigError(
                f"the search ended at {changes[0].after.commit.short}, and measured anew it is not "
                f"slower than {changes[0].before.commit.short}: cannot tell: {why}",
                hint=MORE,
            )
        while not self._only_first and self._goes_on(changes, lower, upper):
            last = changes[-1].after
            again = divider(further(self._question), _figure(last), _figure(upper))
            change = self._change((last.commit.id,), bad.id, again, last)
            if self._refuted(change):
                break
            changes.append(change)
        answers = [judged.answer for judged in self._steps.values()]
        return Hunted(
            good=lower,
            bad=upper,
            changes=tuple(changes),
            judged=len(answers) - answers.count(Answer.SKIPPED),
            skipped=answers.count(Answer.SKIPPED),
            kept=self._kept,
            rest=_rest(changes, lower, upper),
        )

    def _show(self, shown: Shown) -> None:
        self._kept += shown.taken.step.kept
        self._tell(shown)

    def _ends(self, good: Commit, bad: Commit) -> tuple[Taken, Taken]:
        lower = self._end(good, "GOOD")
        upper = self._end(bad, "BAD")
        for more in reversed(range(MOST_TIMES)):
            divide = divider(self._question, _figure(lower), _figure(upper))
            down, up = divide(_figure(lower)), divide(_figure(upper))
            unclear = Answer.SKIPPED in (down.answer, up.answer) and _may_differ(lower, upper)
            if not unclear or not more or _figure(upper).sessions is None:
                break
            lower, upper = self._lab.take_more(good), self._lab.take_more(bad)
        self._show(Shown(number="GOOD", taken=lower, judged=down))
        self._show(Shown(number="BAD", taken=upper, judged=up))
        if down.answer is Answer.BAD:
            raise WrongUse(
                f"GOOD is bad already: {good.short} {self._question}: {_figure(lower)}",
                hint="Name an older commit, or ask another question.",
            )
        if up.answer is Answer.GOOD or not _may_differ(lower, upper):
            raise WrongUse(
                f"BAD is still good: {bad.short} has {_figure(upper)}, GOOD {_figure(lower)}: not "
                f"one that {self._question}",
                hint="Name a newer commit, or ask another question.",
            )
        if unclear:
            told = up if up.answer is Answer.SKIPPED else down
            raise RigError(f"BAD cannot be told from GOOD: {told.why}", hint=MORE)
        return lower, upper

    def _end(self, commit: Commit, called: str) -> Taken:
        taken = self._lab.take(commit)
        if taken.figure is not None:
            return taken
        sick = taken.step.status == Outcome.SICK.exit_status
        error: type[HilError] = RigError if sick else WrongUse
        raise error(
            f"{called} ({commit.short}) cannot be judged: {taken.why}",
            hint=f"What it said is in {taken.step.folder}.",
        )

    def _refuse_bad_base(self, base: Commit, divide: Divide, good: Commit) -> None:
        taken = self._lab.take(base)
        judged = _judged(taken, divide)
        self._show(Shown(number="base", taken=taken, judged=judged))
        if judged.answer is not Answer.GOOD:
            raise WrongUse(
                f"GOOD ({good.short}) is no ancestor of BAD, and the commit in which both began, "
                f"{base.short}, is not good: {judged.why or taken.figure}",
                hint="Then the change can lie on either side. Name a GOOD that BAD came from.",
            )

    def _change(self, goods: Sequence[str], bad: str, divide: Divide, lower: Taken) -> Change:
        narrowed = search(goods, bad, self._choose, lambda oid, left: self._judge(oid, divide))
        suspects = tuple(map(self._commit_of, narrowed.suspects))
        return Change(
            before=self._before(narrowed, suspects, lower, divide),
            after=self._lab.take(self._commit_of(narrowed.bad)),
            suspects=suspects,
            skipped=tuple(
                self._lab.take(commit) for commit in suspects if commit.id in narrowed.skipped
            ),
        )

    def _refuted(self, change: Change) -> str | None:
        """Why a change of times is not certain after all; None if it is.

        All steps were compared with the same measurements of GOOD and BAD. Where chance had made
        GOOD seem faster than it is, most steps seem slower, and the search ends at any of them. So
        both sides of the change are measured anew, and compared with each other alone.
        """
        old, new = _figure(change.before), _figure(change.after)
        if old.sessions is None or new.sessions is None:
            return None
        count = 2 * max(len(old.sessions.figures), len(new.sessions.figures))
        sides = [
            self._lab.take_anew(taken.commit, count).figure
            for taken in (change.before, change.after)
        ]
        if any(side is None or side.sessions is None for side in sides):
            return "it could not be measured again"
        seen = judge(*(side.sessions for side in sides if side and side.sessions))
        return None if seen.verdict is LatencyVerdict.SLOWER else seen.rule

    def _judge(self, oid: str, divide: Divide) -> Judged:
        commit = self._commit_of(oid)
        taken = self._lab.take(commit)
        judged = _judged(taken, divide)
        for _ in range(MOST_TIMES - 1):
            if judged.answer is not Answer.SKIPPED or not _has_sessions(taken):
                break
            taken = self._lab.take_more(commit)
            judged = _judged(taken, divide)
        if oid not in self._steps:
            self._steps[oid] = judged
            self._show(Shown(number=str(len(self._steps)), taken=taken, judged=judged))
        return judged

    def _before(
        self, narrowed: Narrowed, suspects: Sequence[Commit], lower: Taken, divide: Divide
    ) -> Taken:
        """The commit before the change: the parent of the one found, else the newest good one."""
        if narrowed.found is None or not suspects[0].parents:
            return self._newest_good(narrowed, lower)
        parent = self._commit_of(suspects[0].parents[0])
        known = parent.id in (*narrowed.goods, lower.commit.id)
        taken = self._lab.take(parent)
        if taken.figure is None:
            return self._newest_good(narrowed, lower)
        if not known:
            self._show(Shown(number="before", taken=taken, judged=_judged(taken, divide)))
        return taken

    def _newest_good(self, narrowed: Narrowed, lower: Taken) -> Taken:
        taken = self._lab.take(self._commit_of(narrowed.goods[-1]))
        return lower if taken.figure is None else taken

    def _goes_on(self, changes: Sequence[Change], lower: Taken, upper: Taken) -> bool:
        """Whether what was found leaves so much of the difference that there is another change."""
        after = changes[-1].after
        if len(changes) == MOST_CHANGES or after.commit.id == upper.commit.id:
            return False
        low, high = _figure(lower), _figure(upper)
        seen = divider(further(self._question), _figure(after), high)(high)
        if seen.answer is not Answer.BAD:
            return False
        return high.value - _figure(after).value >= EXPLAINED * (high.value - low.value)


def _rest(changes: Sequence[Change], lower: Taken, upper: Taken) -> float:
    explained = sum(
        _figure(change.after).value - _figure(change.before).value for change in changes
    )
    return _figure(upper).value - _figure(lower).value - explained


def _figure(taken: Taken) -> Figure:
    assert taken.figure is not None, "its end of the search was judged"
    return taken.figure


def _may_differ(lower: Taken, upper: Taken) -> bool:
    """Whether BAD may be slower, as far as the gate can tell; counts always may."""
    old, new = _figure(lower).sessions, _figure(upper).sessions
    if old is None or new is None:
        return True
    return judge(old, new).verdict in (LatencyVerdict.SLOWER, LatencyVerdict.CANNOT_TELL)


def _has_sessions(taken: Taken) -> bool:
    return taken.figure is not None and taken.figure.sessions is not None


def _judged(taken: Taken, divide: Divide) -> Judged:
    if taken.figure is None:
        return Judged(answer=Answer.SKIPPED, why=taken.why)
    return divide(taken.figure)
