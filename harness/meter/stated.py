"""What a data sheet or a calibration states of an instrument, and options of one kind of meter."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import TypeVar

from harness import toml
from harness.board.meters import MeterSpec
from harness.errors import MeterError, RigError, Where
from harness.text import listed, printable

Record = TypeVar("Record")


def refuse_supply(spec: MeterSpec) -> None:
    """Refuse a rig file that takes a meter for a supply that is none.

    Raises:
        MeterError: it says `supply = true`.
    """
    if spec.supply:
        raise MeterError(
            f"a meter of kind {spec.kind} powers no board",
            where=Where(meter=spec.name, port=spec.port),
            hint="Leave supply out of [boards.NAME.meter], and give the board its own supply.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Errors of an instrument, as its user states them in the rig file.

    `resolution_amps` is the smallest step of a sample, `gain_error` the bound of its relative error
    (0.01 is 1 %), `offset_amps` the bound of what it reads at no current, `volts_error` the bound
    of the relative error of the voltage, `calibrated` the day of its calibration. `auto_range`: it
    changes ranges by itself, and each has errors of its own.
    """

    resolution_amps: float
    gain_error: float
    offset_amps: float
    volts_error: float = 0.0
    calibrated: date | None = None
    auto_range: bool = False

    def __post_init__(self) -> None:
        for name in ("resolution_amps", "gain_error", "offset_amps", "volts_error"):
            value = getattr(self, name)
            if not 0 <= value < MOST_STATED:
                raise RigError(f"{name} must be from 0 to {MOST_STATED}, not {value:g}")


UNITS = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
"""Factors by what stands before s, V or A."""


def check_unit(name: str, unit: str, base: str) -> None:
    """Check that a unit is one of `base`.

    Raises:
        RigError: it is not; named as its key.
    """
    known = [prefix + base for prefix in UNITS]
    if unit not in known:
        raise RigError(f"{name} must be {listed(known)}, not {printable(unit, 20)!r}")


MOST_STATED = 1.0
_STATED = frozenset(item.name for item in fields(Stated))


def stated_of(spec: MeterSpec) -> Stated:
    """What the rig file states of the instrument.

    Raises:
        MeterError: something is missing or wrong: says what.
    """
    given = {key: value for key, value in spec.options.items() if key in _STATED}
    return _record(Stated, given, spec)


def own_options(spec: MeterSpec, kind: type[Record], stated: bool = True) -> Record:
    """The options of the meter's kind.

    Args:
        stated: `Stated` is among them, and read by `stated_of`.

    Raises:
        MeterError: as `stated_of`.
    """
    own = {key: value for key, value in spec.options.items() if not (stated and key in _STATED)}
    return _record(kind, own, spec)


def _record(kind: type[Record], given: dict[str, object], spec: MeterSpec) -> Record:
    try:
        return toml.record(kind, given, "the rig file's options of the meter")
    except RigError as error:
        where = Where(meter=spec.name, port=spec.port)
        raise MeterError(error.what, where=where, hint=error.hint or _SEE) from error


_SEE = "docs/meters.md has the options of each kind of meter."
