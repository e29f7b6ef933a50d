"""The pins of a board: which of them may mark windows for a meter, and what the others are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import RigError
from harness.text import printable

MOST_PIN = 255
ENERGY_BAUD = 9600
"""Of a UART in MLPerf Tiny's energy mode, as in its reference implementation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """What firmware is built to do with a pin: hold it high in windows of invokes, or, with
    `mlperf_energy`, what MLPerf Tiny's energy mode asks of it.
    """

    pin: int
    mlperf_energy: bool = False

    @property
    def name(self) -> str:
        """What folders are called by."""
        return f"pin{self.pin}-mlperf" if self.mlperf_energy else f"pin{self.pin}"

    @property
    def flags(self) -> str:
        """For the compiler."""
        energy = f" -D HIL_MLPERF_ENERGY -D HIL_BASE_BAUD={ENERGY_BAUD}"
        return f"-D HIL_WINDOW_PIN={self.pin}" + (energy if self.mlperf_energy else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Pins by their numbers.

    `numbered` says in words whose numbers they are. Firmware may drive any that is `free`; of
    those in `used`, by number, it says what for: the port itself, a debugger, a LED that would
    draw current of its own.
    """

    numbered: str
    free: tuple[int, ...]
    used: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.used:
            if not (name.isascii() and name.isdigit() and name == str(int(name))):
                raise RigError(f"used: {printable(name)!r} is no number of a pin")
        both = sorted({str(pin) for pin in self.free} & self.used.keys(), key=int)
        if both:
            raise RigError(f"pin {both[0]} is both free and used")
        if not self.free or any(not 0 <= pin <= MOST_PIN for pin in self.free):
            raise RigError(f"free must hold one pin at least, each from 0 to {MOST_PIN}")

    def refusal(self, pin: int) -> str | None:
        """Why a pin cannot mark windows; None if it can."""
        if pin in self.free:
            return None
        why = self.used.get(str(pin))
        taken = f"pin {pin} is {why}" if why else f"there is no pin {pin}, or none that is led out"
        return f"{taken}; free are {ranges(self.free)} ({self.numbered})"


def ranges(pins: tuple[int, ...]) -> str:
    """Numbers in order, runs of three and more as `2 to 5`."""
    found: list[list[int]] = []
    for pin in sorted(set(pins)):
        if found and found[-1][-1] == pin - 1:
            found[-1].append(pin)
        else:
            found.append([pin])
    parts = [
        [f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(pin) for pin in run] for run in found
    ]
    return ", ".join(part for run in parts for part in run)
