"""Meters that are the supply of their board: on from when the board is held until it is let go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.board.meters import MeterSpec
from harness.board.rigfile import Plugged
from harness.errors import MeterError

if TYPE_CHECKING:
    from harness.meter.meter import Meter

Opener = Callable[[MeterSpec], "Meter"]


@dataclass(slots=True)
class _On:
    """An open meter, and how many have asked for it; None where it could not be opened again."""

    meter: Meter | None
    users: int = 1


class Supplies:
    """The supplies of a run's boards, each opened once for all that need it.

    Args:
        opener: what opens a meter; `open_meter` if None.
    """

    def __init__(self, opener: Opener | None = None) -> None:
        self._opener = opener
        self._on: dict[str, _On] = {}

    @contextmanager
    def on(self, plugged: Plugged | None, board: str) -> Iterator[bool]:
        """Power for a board whose meter is its supply; of others nothing is switched.

        Yields:
            Whether it was switched on just now.

        Raises:
            MeterError: the meter cannot be opened, so that the board has no power.
        """
        spec = plugged.meter if plugged else None
        if spec is None or not spec.powers:
            yield False
            return
        fresh = spec.name not in self._on
        try:
            self.take(spec, board)
        except MeterError as error:
            raise MeterError(
                f"{error.what}; it is the supply of the board, which has no power without it",
                where=error.where,
                hint=error.hint,
            ) from error
        try:
            yield fresh
        finally:
            self.give_back(spec)

    def take(self, spec: MeterSpec, board: str) -> Meter:
        """The open meter, until it is given back.

        Raises:
            MeterError: it cannot be opened.
        """
        on = self._on.get(spec.name)
        if on is None or on.meter is None:
            meter = self._opened(spec, board)
            self._on[spec.name] = _On(meter=meter, users=1 + (on.users if on else 0))
            return meter
        on.users += 1
        return on.meter

    def give_back(self, spec: MeterSpec) -> None:
        """Switch off and close the meter once all have given it back. One that is gone, too."""
        on = self._on.get(spec.name)
        if on is None:
            return
        on.users -= 1
        if not on.users:
            del self._on[spec.name]
            _close(on.meter)

    def fail(self, spec: MeterSpec, board: str) -> None:
        """Close a meter that has failed. One that is a supply is opened anew, if it can be."""
        on = self._on.get(spec.name)
        if on is None:
            return
        _close(on.meter)
        on.meter = None
        if spec.powers:
            with suppress(MeterError):
                on.meter = self._opened(spec, board)

    def _opened(self, spec: MeterSpec, board: str) -> Meter:
        if self._opener is not None:
            return self._opener(spec)
        from harness.meter.meter import open_meter

        return open_meter(spec, board=board)


def _close(meter: Meter | None) -> None:
    if meter is not None:
        with suppress(MeterError):
            meter.close()
