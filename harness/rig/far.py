"""A board that is plugged into another machine: what its pool says of errors, and its upload."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import BoardError, BoardStatus, HilError, PoolError, RigError, StaleFirmware
from harness.pool.hold import Held


@contextmanager
def explained(held: Held | None) -> Iterator[None]:
    """Raise what happened to the board's place in the stead of an error that this explains.

    A place that was taken away, or whose machine is gone, looks like a board that fell silent.
    """
    try:
        yield
    except (RigError, BoardError) as error:
        if held is None or not _may_be_the_pool(error):
            raise
        try:
            held.check()
        except PoolError as reason:
            reason.link_log = error.link_log
            raise reason from error
        raise


def _may_be_the_pool(error: HilError) -> bool:
    """Whether a place that is gone could have caused it: not an error of the pool, or an answer."""
    if isinstance(error, BoardStatus):
        return not error.of_request
    return not isinstance(error, PoolError | StaleFirmware)
