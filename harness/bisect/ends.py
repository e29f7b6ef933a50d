"""GOOD and BAD: whether there is a way from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.bisect.repository import DEEPEN, Commit, Repository
from harness.errors import WrongUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The two ends of a search over `count` commits. `bases` are the commits in which the ways to
    both began, none if GOOD is BAD's ancestor.
    """

    good: Commit
    bad: Commit
    bases: tuple[str, ...]
    count: int


def ends_of(repository: Repository, good: str, bad: str) -> Ends:
    """The ends by any names that git knows.

    Raises:
        WrongUse: one is no commit, or there is no way between them here.
    """
    lower, upper = repository.commit(good, "GOOD"), repository.commit(bad, "BAD")
    bases = _bases(repository, lower, upper)
    count = len(_range(repository, (lower.id, *bases), upper))
    return Ends(good=lower, bad=upper, bases=bases, count=count)


def _bases(repository: Repository, good: Commit, bad: Commit) -> tuple[str, ...]:
    """The merge bases that have to be good as well, none if GOOD is an ancestor of BAD.

    Raises:
        WrongUse: there is no way from one to the other.
    """
    if good.id == bad.id:
        raise WrongUse(f"GOOD and BAD are the same commit, {good.short}")
    bases = repository.merge_bases(good.id, bad.id)
    if not bases:
        cut = bool(repository.cut)
        raise WrongUse(
            f"GOOD ({good.short}) and BAD ({bad.short}) have no commit in common"
            + (" here: this is a shallow clone" if cut else ""),
            hint=DEEPEN if cut else "Name two commits of one history.",
        )
    if bad.id in bases:
        raise WrongUse(
            f"BAD ({bad.short}) is older than GOOD ({good.short})",
            hint="Exchange them, or ask a question of which the newer one is the bad one.",
        )
    return () if good.id in bases else bases


def _range(repository: Repository, goods: Sequence[str], bad: Commit) -> tuple[str, ...]:
    between = repository.between(goods, bad.id)
    if cut := repository.cut.intersection(between):
        raise WrongUse(
            f"history ends between GOOD and BAD, at {min(cut)[:12]}: this is a shallow clone",
            hint=DEEPEN,
        )
    return between
