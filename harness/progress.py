"""How work that takes a while says how far it is; who shows that is not its business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

Advance = Callable[[int], None]
"""Called with how many more are done."""


class Progress(Protocol):
    """Told of every piece of work when it begins, for the length of a `with` block."""

    def __call__(self, what: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Work begins.

        Args:
            what: in a few words, with the board it is done on.
            total: how many it is of; None where nobody knows.
        """


@contextmanager
def unseen(what: str, total: int | None = None) -> Iterator[Advance]:
    """Progress that nobody looks at."""
    yield lambda count: None


@dataclass(slots=True)
class Task:
    """Work that began at `start` of some clock, of which `done` parts of `total` are over."""

    what: str
    total: int | None
    start: float
    done: int = 0

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where the total is unknown, or proved wrong."""
        return self.done / self.total if self.total and self.done <= self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far everything under way is. `share` is from 0 to 1, None if unknown."""

    what: str
    share: float | None
    elapsed_s: float


def state(tasks: list[Task], now: float) -> State:
    """The state of tasks, each begun within the one before it.

    A task within another's part counts as that part: half of the second part of two is 3/4. The
    share and the time are those of the first task whose total is known, else of the last.

    Args:
        tasks: at least one, outermost first.
    """
    *outer, last = tasks
    what = ", ".join([*(_counted(task) for task in outer), last.what])
    share = last.share
    timed = last
    for task in reversed(outer):
        if task.share is not None:
            share = min(1.0, task.share + (share or 0.0) / (task.total or 1))
            timed = task
    return State(what=what, share=share, elapsed_s=now - timed.start)


def _counted(task: Task) -> str:
    return task.what if task.total is None else f"{task.what} {task.done + 1}/{task.total}"
