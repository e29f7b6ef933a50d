"""Which commit is judged next: git's own arithmetic, also around commits that cannot be judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from harness.bisect.repository import Repository

_MODULUS = 32768


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The commit to judge next, or None: then `suspects` are all that the first bad one can be.

    `steps` is git's guess of how many more there are.
    """

    next: str | None
    suspects: tuple[str, ...] = ()
    steps: int = 0


Choose = Callable[[Sequence[str], str, Collection[str]], Choice]
"""Of the good commits, the bad one and those that cannot be judged: what comes next."""


def git_chooser(repository: Repository, *, first_parent: bool = False) -> Choose:
    """Choice as `git bisect` makes it, by `git rev-list --bisect`.

    Args:
        first_parent: only follow the first parent of merges, as with `git bisect --first-parent`.
    """
    flags = ("--first-parent",) if first_parent else ()

    def choose(goods: Sequence[str], bad: str, skipped: Collection[str]) -> Choice:
        every = ("--bisect-all",) if skipped else ()
        text = repository.ask(
            "rev-list", *flags, *every, "--bisect-vars", bad, *(f"^{good}" for good in goods)
        )
        lines = text.splitlines()
        said = dict(line.split("=", 1) for line in lines if line.startswith("bisect_"))
        # A line of dashes parts them from the ids, behind each of which is its distance.
        ranked = [line.split()[0] for line in lines if line[:1] not in ("-", "b") or "(" in line]
        steps = int(said.get("bisect_steps", "0"))
        if not skipped:
            best = said["bisect_rev"].strip("'")
            ranked = [best] if best else [bad]
        return chosen(ranked, bad, skipped, steps=steps)

    return choose


def chosen(ranked: Sequence[str], bad: str, skipped: Collection[str], *, steps: int = 0) -> Choice:
    """The choice from commits of which the first halves the rest best.

    Where that one cannot be judged, git takes one some way off, since its neighbours often cannot
    be judged either: `skip_away` in its bisect.c.

    Args:
        ranked: the commits that the first bad one can be, with `bad` among them; only the best one
            where there is none to be skipped.
    """
    left = [commit for commit in ranked if commit not in skipped]
    if ranked and ranked[0] not in skipped:
        best: str | None = ranked[0]
    else:
        best = _skip_away(left, bad) if left else None
    if best is None or best == bad:
        return Choice(next=None, suspects=tuple(ranked) or (bad,))
    return Choice(next=best, steps=steps)


def _skip_away(left: Sequence[str], bad: str) -> str:
    """Git's pseudo-random choice, by the number of commits alone, which prefers the middle."""
    seed = _draw(len(left))
    index = len(left) * seed // _MODULUS * math.isqrt(seed) // math.isqrt(_MODULUS)
    if left[index] != bad:
        return left[index]
    return left[index - 1] if index else left[0]


def _draw(count: int) -> int:
    """The number from 0 to 32767 that git draws for a count of commits."""
    return (count * 1103515245 + 12345) % 2**32 // 65536 % _MODULUS
