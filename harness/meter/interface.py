"""What a meter is and says of itself: the interface that every kind of them has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from types import TracebackType
from typing import Protocol, runtime_checkable

from harness.board.meters import MeterSpec
from harness.errors import MeterError
from harness.measure.energy_trace import Trace
from harness.text import printable

MOST_NAMED = 100
"""Characters of a kind, a serial number or a version that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which instrument has measured. `calibrated` is the day of its calibration, if it is known."""

    kind: str
    serial_number: str | None = None
    firmware: str | None = None
    calibrated: date | None = None
    simulated: bool = False

    def __str__(self) -> str:
        simulated = "simulated " if self.simulated and self.kind != "simulated" else ""
        number = f" {printable(self.serial_number, 60)}" if self.serial_number else ""
        return f"{simulated}{self.kind}{number}"


class Meter(Protocol):
    """An open instrument. It holds a bounded number of samples."""

    @property
    def identity(self) -> Identity: ...

    def arm(self, volts: float | None = None) -> None:
        """Sample from now on.

        Args:
            volts: the board's supply; set by a meter that is its source. None: as in the rig file.

        Raises:
            MeterError: it cannot, or is armed already.
        """

    def disarm(self) -> Trace:
        """End sampling; all samples since `arm`.

        Raises:
            MeterError: it is not armed, or was lost meanwhile.
            CannotTell: what it brought is no trace.
        """

    def close(self) -> None:
        """Let the instrument go. Idempotent."""

    def __enter__(self) -> Meter: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class Marked(Protocol):
    """A meter without a wire to the board's pin: the rig tells it when the pin changes."""

    def mark(self, high: bool, *, at_s: float | None = None) -> None:
        """The pin has changed.

        Args:
            at_s: when, on the board's own clock; None: now. For all edges of a trace alike.
        """


@runtime_checkable
class Looking(Protocol):
    """A kind of meter that can be asked which one it is without measuring, or switching, anything.

    Of a kind that cannot, `hil doctor` says only that its package is there.
    """

    def look(self, spec: MeterSpec) -> Identity:
        """Which instrument is there and answers.

        Raises:
            MeterError: none does, or the rig file says of it what cannot be.
        """


def checked_identity(said: object) -> Identity:
    """What a meter says of itself, printable; it may be of anybody's code.

    Raises:
        MeterError: it is no Identity, or one of other types.
    """
    if not isinstance(said, Identity):
        kind = printable(type(said).__name__, 60)
        raise MeterError(f"it does not say which one it is: {kind} is no Identity", hint=_SEE)
    texts = (said.kind, said.serial_number or "", said.firmware or "")
    if not (all(isinstance(text, str) for text in texts) and isinstance(said.simulated, bool)):
        raise MeterError("its Identity has fields of other types", hint=_SEE)
    # Tables have the day alone; a datetime is a date to isinstance.
    if said.calibrated is not None and type(said.calibrated) is not date:
        raise MeterError("its Identity's `calibrated` is no datetime.date", hint=_SEE)
    kind, serial_number, firmware = (printable(text, MOST_NAMED) for text in texts)
    return replace(said, kind=kind, serial_number=serial_number or None, firmware=firmware or None)


_SEE = "docs/meters.md says what a meter of your own has."
