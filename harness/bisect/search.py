"""The search itself: who is judged next, what that narrows, and when it ends.

It knows neither git nor boards: both come in as functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.bisect.choose import Choose
from harness.bisect.question import Answer, Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """How a search ended: the first bad commit is among `suspects`, the only one if `found`.

    `goods` are the commits that were found to be good, GOOD first, `skipped` those that could not
    be judged.
    """

    suspects: tuple[str, ...]
    bad: str
    goods: tuple[str, ...]
    skipped: frozenset[str]

    @property
    def found(self) -> str | None:
        """The first bad commit; None where several can be."""
        return self.suspects[0] if len(self.suspects) == 1 else None


Judge = Callable[[str, int], Judged]
"""Judges a commit; also told how many more there are after it, roughly."""


def search(goods: Sequence[str], bad: str, choose: Choose, judge: Judge) -> Narrowed:
    """Find the first bad commit, or the commits among which it is.

    Args:
        goods: at least one.
        choose: see `harness.bisect.choose`.
    """
    known, skipped = list(goods), set[str]()
    while (choice := choose(known, bad, skipped)).next is not None:
        answer = judge(choice.next, choice.steps).answer
        if answer is Answer.BAD:
            bad = choice.next
        elif answer is Answer.GOOD:
            known.append(choice.next)
        else:
            skipped.add(choice.next)
    return Narrowed(
        suspects=choice.suspects, bad=bad, goods=tuple(known), skipped=frozenset(skipped)
    )
