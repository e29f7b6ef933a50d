"""Progress of long work: reported here, shown elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

Advance = Callable[[int], None]
"""Called with how many more are done."""


class Progress(Protocol):
    """Called when a piece of work begins; the `with` block lasts as long as the work."""

    def __call__(self, what: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Begin a piece of work.

        Args:
            what: in a few words, with the board it is done on.
            total: how many it is of; None where nobody knows.
        """


@contextmanager
def no_progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """A Progress that shows nothing."""
    yield lambda count: None


@dataclass(slots=True)
class Task:
    """Work that began at clock time `start`, with `done` of `total` parts finished.

    `begun` is the share of the next part that nested work has reported as done.
    """

    what: str
    total: int | None
    start: float
    done: int = 0
    begun: float = 0.0

    def advance(self, count: int) -> None:
        """Count this many more parts as done."""
        self.done += count
        self.begun = 0.0

    @property
    def share(self) -> float | None:
        """Share done, from 0 to 1; None if the total is unknown or was exceeded."""
        if not self.total or self.done > self.total:
            return None
        return min(1.0, (self.done + self.begun) / self.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Progress of all work under way. `share` is from 0 to 1, None if unknown."""

    what: str
    share: float | None
    elapsed_s: float


def state(tasks: Sequence[Task], now: float) -> State:
    """The state of nested tasks.

    A task within another's part counts as that part: half of the second part of two is 3/4. The
    share and the time are those of the first task whose total is known, else of the last. How far
    each had got is noted in the one around it, so that it does not go back when it ends.

    Args:
        tasks: at least one, outermost first.
    """
    for outer, inner in reversed(list(zip(tasks, tasks[1:], strict=False))):
        outer.begun = max(outer.begun, inner.share or 0.0)
    told = next((task for task in tasks if task.share is not None), tasks[-1])
    return State(what=_names(tasks), share=told.share, elapsed_s=now - told.start)


def _names(tasks: Sequence[Task]) -> str:
    """`nano: session 2/5, timing`; without the board again, and without `session 1/1`."""
    board, colon, _ = tasks[0].what.partition(": ")
    *outer, last = (task.what.removeprefix(f"{board}: ") for task in tasks)
    counted = [
        name if task.total is None else f"{name} {task.done + 1}/{task.total}"
        for name, task in zip(outer, tasks, strict=False)
        if task.total != 1
    ]
    return (f"{board}: " if colon else "") + ", ".join([*counted, last])
