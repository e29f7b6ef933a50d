"""A history without branches, and commits whose figures are made up."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from harness.bisect.choose import Choice, chosen
from harness.bisect.figures import Figure, Step
from harness.bisect.hunt import Hunt, Hunted
from harness.bisect.lab import Taken
from harness.bisect.question import Question
from harness.bisect.repository import Commit
from harness.measure.gate import Sessions

NOWHERE = Step(folder=Path("nowhere"), status=0)


class Line:
    """A history without branches, and a lab that has a figure for each commit of it."""

    def __init__(self, figure: Callable[[int], Figure | str], count: int) -> None:
        self._figure = figure
        self.commits = [
            Commit(id=f"{number:040x}", tree="", parents=(f"{number - 1:040x}",) if number else ())
            for number in range(count)
        ]
        self.taken: dict[str, Taken] = {}
        self.asked: list[int] = []

    def of_id(self, oid: str) -> Commit:
        return self.commits[int(oid, 16)]

    def choose(self, goods: Sequence[str], bad: str, skipped: Collection[str]) -> Choice:
        """As `git rev-list --bisect-all` lists a line of commits."""
        first, last = max(int(good, 16) for good in goods) + 1, int(bad, 16)
        left = range(first, last + 1)
        ranked = sorted(left, key=lambda number: -min(number - first + 1, last - number))
        ids = [f"{number:040x}" for number in ranked]
        return chosen(ids if skipped else ids[:1], bad, skipped)

    def take(self, commit: Commit) -> Taken:
        if commit.id not in self.taken:
            self.asked.append(int(commit.id, 16))
            self._measure(commit, ())
        return self.taken[commit.id]

    def take_more(self, commit: Commit) -> Taken:
        before = self.taken[commit.id].figure
        self._measure(commit, before.sessions.figures if before and before.sessions else ())
        return self.taken[commit.id]

    def take_anew(self, commit: Commit, sessions: int) -> Taken:
        kept = self.taken.pop(commit.id)
        self._measure(commit, ())
        while (figure := self.taken[commit.id].figure) and figure.sessions:
            if len(figure.sessions.figures) >= sessions:
                break
            self.take_more(commit)
        anew, self.taken[commit.id] = self.taken[commit.id], kept
        return anew

    def _measure(self, commit: Commit, known: tuple[float, ...]) -> None:
        found = self._figure(int(commit.id, 16))
        if isinstance(found, str):
            self.taken[commit.id] = Taken(commit=commit, step=NOWHERE, why=found)
            return
        if found.sessions is not None:
            together = replace(found.sessions, figures=(*known, *found.sessions.figures))
            found = replace(found, sessions=together, value=together.median)
        self.taken[commit.id] = Taken(commit=commit, step=NOWHERE, figure=found)

    def hunt(self, question: Question, *, only_first: bool = False) -> Hunted:
        hunt = Hunt(self, question, self.choose, self.of_id, only_first=only_first)
        return hunt.hunt(self.commits[0], self.commits[-1])


def noisy(place: int, size: float, noise: float, seed: int, sessions: int = 5) -> Line:
    """64 commits measured in sessions of normal noise; one is slower by a share."""
    dice = random.Random(seed)

    def figure(number: int) -> Figure:
        middle = 100.0 * (1 + size * (number >= place))
        times = tuple(middle * dice.gauss(1, noise) for _ in range(sessions))
        return Figure(value=times[0], unit="us", sessions=Sessions(figures=times))

    return Line(figure, 64)
