"""Verdicts at the top of a report: are the outputs right, did it get slower, is the rig well?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from harness.measure.compare import Verdict
from harness.measure.operator_gate import change_of
from harness.measure.operators import SLOWER
from harness.measure.tables import GOLDEN_INPUTS, PROFILE, LatencyRow, OperatorRow
from harness.report.operators import tally
from harness.text import counted, listed
from harness.tolerance import EXACT


class Mood(str, Enum):
    """How a reader should take a verdict. `NEUTRAL`: nothing was judged."""

    GOOD = "good"
    BAD = "bad"
    DOUBTFUL = "doubtful"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A verdict in a few words, and in `detail` what it rests on."""

    mood: Mood
    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """All verdicts on one measurement."""

    outputs: Badge
    baseline: Badge
    clock: Badge
    retries: Badge
    sessions: Badge

    @property
    def mood(self) -> Mood:
        """The worst of them."""
        moods = {self.outputs.mood, self.baseline.mood, self.clock.mood}
        moods |= {self.retries.mood, self.sessions.mood}
        for mood in (Mood.BAD, Mood.DOUBTFUL, Mood.GOOD):
            if mood in moods:
                return mood
        return Mood.NEUTRAL


def verdicts_of(
    summary: LatencyRow,
    sessions: Sequence[LatencyRow],
    operators: Sequence[OperatorRow] = (),
    *,
    cut_short: bool = False,
) -> Verdicts:
    """Verdicts on a measurement, from the rows of its run and of its sessions."""
    return Verdicts(
        outputs=outputs_badge(summary),
        baseline=with_operators(baseline_badge(summary), operators),
        clock=clock_badge(summary),
        retries=retries_badge(summary),
        sessions=sessions_badge(sessions, cut_short=cut_short),
    )


def outputs_badge(row: LatencyRow) -> Badge:
    """Whether the outputs equal the golden's, and are as accurate as the model promises."""
    if row.verdict is None or row.samples is None:
        return Badge(mood=Mood.NEUTRAL, text="not compared")
    right = row.samples - (row.mismatches or 0)
    if row.verdict == Verdict.PASS.value:
        text = f"right, {right} of {row.samples}"
        return Badge(mood=Mood.GOOD, text=text, detail=_judged_within(row))
    if row.verdict == Verdict.INACCURATE.value:
        return Badge(
            mood=Mood.BAD,
            text="inaccurate",
            detail=f"{right} of {row.samples} as the golden says, but off by more than the model "
            "promises",
        )
    unit = " LSB" if row.max_ulp is None else ""
    by = f", by up to {row.max_abs_lsb:g}{unit}" if row.max_abs_lsb is not None else ""
    where = f" in {row.wrong_outputs}" if row.wrong_outputs else ""
    judge = f"judged by {row.reference}" if row.reference else ""
    return Badge(
        mood=Mood.BAD,
        text=f"{row.verdict}: {row.mismatches} of {row.samples} differ{where}{by}",
        detail="; ".join(part for part in (judge, _judged_within(row)) if part),
    )


def _judged_within(row: LatencyRow) -> str:
    """By what tolerance it was judged, where that is not equality; and on random inputs."""
    parts = []
    if row.tolerance not in (None, str(EXACT)):
        parts.append(f"tolerance {row.tolerance}; {row.within_tolerance} differ within it")
    if row.check_inputs not in (None, GOLDEN_INPUTS):
        parts.append(f"inputs {row.check_inputs}")
    return "; ".join(parts)


_AGAINST_BASELINE = {
    "slower": Mood.BAD,
    "faster": Mood.GOOD,
    "same": Mood.GOOD,
    "cannot tell": Mood.DOUBTFUL,
}


def with_operators(badge: Badge, operators: Sequence[OperatorRow]) -> Badge:
    """A verdict against the baseline, and that on the operators of the run's profile."""
    if not operators:
        return badge
    if operators[0].operator == PROFILE:
        return replace(badge, detail=_joined(badge.detail, f"operators: {operators[0].rule}"))
    changes = [change_of(row) for row in operators]
    slower = [change.label for change in changes if change.verdict == SLOWER]
    said = _joined(badge.detail, f"operators: {tally(changes)}")
    if not slower:
        return replace(badge, detail=said)
    text = f"the whole {badge.text}; slower in operator {listed(slower, 3)}"
    return Badge(mood=Mood.BAD, text=text, detail=said)


def _joined(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second


def baseline_badge(row: LatencyRow) -> Badge:
    """Whether the run is slower than its baseline."""
    verdict = row.baseline_verdict
    if verdict is None:
        return Badge(mood=Mood.NEUTRAL, text="no baseline")
    changed = row.baseline_ratio not in (None, 1.0)
    by = f", {(row.baseline_ratio or 0) - 1:+.2%}" if changed else ""
    return Badge(
        mood=_AGAINST_BASELINE.get(verdict, Mood.DOUBTFUL),
        text=f"{verdict}{by}",
        detail=row.baseline_rule or "",
    )


def clock_badge(row: LatencyRow) -> Badge:
    """Whether the board's clock runs as fast as the host's."""
    check = row.clock_check
    if check is None:
        return Badge(mood=Mood.NEUTRAL, text="not checked")
    rate = f"{row.clock_ppm:+.0f} ppm" if row.clock_ppm is not None else ""
    if rate and row.clock_ppm_error is not None:
        rate += f" ± {row.clock_ppm_error:.0f} ppm"
    if check.startswith("skipped"):
        mood = Mood.NEUTRAL
    else:
        mood = {"ok": Mood.GOOD, "off": Mood.BAD}.get(check, Mood.DOUBTFUL)
    return Badge(mood=mood, text=check, detail=rate)


def retries_badge(row: LatencyRow) -> Badge:
    """How many requests had to be sent again."""
    if row.retries:
        return Badge(mood=Mood.DOUBTFUL, text=str(row.retries), detail="requests sent again")
    return Badge(mood=Mood.GOOD, text="none")


def sessions_badge(sessions: Sequence[LatencyRow], *, cut_short: bool = False) -> Badge:
    """How many sessions were measured, and why the others were lost."""
    lost = [row for row in sessions if row.error]
    good = len(sessions) - len(lost)
    reasons = "; ".join(f"session {row.session_number or '?'}: {row.error}" for row in lost)
    if lost:
        return Badge(mood=Mood.BAD, text=f"{len(lost)} of {len(sessions)} lost", detail=reasons)
    if cut_short:
        return Badge(mood=Mood.DOUBTFUL, text=f"{good}, then cut short", detail="no row of the run")
    return Badge(mood=Mood.GOOD, text=f"{good} of {good}" if good else "one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """The overall verdict: one line, and what to look at."""

    mood: Mood
    headline: str
    points: tuple[str, ...]


def overall(
    judged: Sequence[tuple[str, Verdicts]],
    *,
    differing: Sequence[str] = (),
    evaluated: int = 0,
    more_energy: Sequence[str] = (),
    no_energy: Sequence[str] = (),
) -> Overall:
    """The verdict on all measurements, each given with its name.

    Args:
        differing: data sets of which a board gave other outputs than the host.
        evaluated: data sets in all.
        more_energy: what takes more energy than its baseline.
        no_energy: whose energy was to be measured and is not known.
    """

    def named(text: str, of: str, *moods: Mood) -> tuple[str, ...]:
        names = [name for name, verdicts in judged if getattr(verdicts, of).mood in moods]
        return (f"{text}: {'; '.join(names)}",) if names else ()

    wrong = named("Wrong outputs", "outputs", Mood.BAD)
    if differing:
        wrong += (f"Wrong outputs for samples of data sets: {'; '.join(differing)}",)
    slower = named("Slower than the baseline", "baseline", Mood.BAD)
    hungry = (f"More energy than the baseline: {'; '.join(more_energy)}",) if more_energy else ()
    sick = named("Sessions lost", "sessions", Mood.BAD) + named("Clock off", "clock", Mood.BAD)
    doubts = (
        named("Run cut short", "sessions", Mood.DOUBTFUL)
        + named("Cannot tell against the baseline", "baseline", Mood.DOUBTFUL)
        + named("Clock cannot be judged", "clock", Mood.DOUBTFUL)
        + named("Requests sent again", "retries", Mood.DOUBTFUL)
        + named("Outputs not compared", "outputs", Mood.NEUTRAL)
    )
    if no_energy:
        doubts += (f"Energy not known: {'; '.join(no_energy)}",)
    if wrong:
        mood, headline = Mood.BAD, "Outputs are wrong"
    elif slower:
        mood, headline = Mood.BAD, "Outputs are right, but something got slower"
    elif hungry:
        mood, headline = Mood.BAD, "Outputs are right, but something takes more energy"
    elif sick:
        mood, headline = Mood.DOUBTFUL, "Outputs are right, but the rig is not well"
    else:
        mood, headline = Mood.GOOD, "All outputs are right"
        if all(verdicts.outputs.mood is Mood.NEUTRAL for _, verdicts in judged):
            mood, headline = Mood.NEUTRAL, "Measured, not compared"
        elif {verdicts.baseline.mood for _, verdicts in judged} - {Mood.NEUTRAL} == {Mood.GOOD}:
            headline += ", and nothing got slower"
    against = sum(verdicts.baseline.mood is not Mood.NEUTRAL for _, verdicts in judged)
    scope = (
        f"{against} of {len(judged)} compared with a baseline"
        if against
        else "none compared with a baseline"
    )
    measured = f"{counted(len(judged), 'measurement')}, {scope}."
    if evaluated:
        measured += f" {counted(evaluated, 'data set')} evaluated."
    return Overall(
        mood=mood, headline=headline, points=(*wrong, *slower, *hungry, *sick, *doubts, measured)
    )
