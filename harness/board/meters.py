"""What a rig file says of a board's meter: `[boards.NAME.meter]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import RigError
from harness.names import NAME_RULE, SERIAL_RULE, is_name, is_serial_number


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSpec:
    """A meter on this rig.

    `kind` is one of harness.meter's, or of an installed distribution. Which one of its kind: by its
    USB `serial_number`, else the `port` it is at (a path or pyserial URL), else by the `path` of a
    file or folder that it writes. `volts` is the supply of the board: set by a meter that is its
    source, taken as given by one that does not measure it. `pin` is the meter's digital channel
    that follows the board's pin. `supply` says that the board has its power from the meter.
    `options` are the kind's own.
    """

    kind: str
    serial_number: str | None = None
    port: str | None = None
    path: str | None = None
    volts: float | None = None
    pin: int | None = None
    supply: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_name(self.kind):
            raise RigError(f"a meter's kind must be {NAME_RULE}")
        if "" in (self.serial_number, self.port, self.path):
            raise RigError("serial_number, port and path must not be empty: leave them out")
        if self.serial_number is not None and not is_serial_number(self.serial_number):
            raise RigError(f"a meter's serial_number must be {SERIAL_RULE}")
        if self.volts is not None and not 0 < self.volts <= MOST_VOLTS:
            raise RigError(f"volts must be above 0 and at most {MOST_VOLTS}, not {self.volts:g}")
        if self.pin is not None and not 0 <= self.pin < MOST_CHANNELS:
            raise RigError(f"pin must be a channel from 0 to {MOST_CHANNELS - 1}, not {self.pin}")

    @property
    def powers(self) -> bool:
        """Whether the board has its power from the meter: a PPK2's `mode` says so as well."""
        return self.supply or (self.kind == "ppk2" and self.options.get("mode") == "source")

    @property
    def name(self) -> str:
        """What messages call it: `ppk2 D1A2B3`."""
        which = self.serial_number or self.port or self.path
        return f"{self.kind} {which}" if which else self.kind


MOST_VOLTS = 60.0
"""Above it nobody powers a microcontroller's board, and it is no longer safe to touch."""

MOST_CHANNELS = 32
