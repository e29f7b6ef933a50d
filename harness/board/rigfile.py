"""The rig file: which boards are plugged in on this machine, and which tests are quarantined."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness import toml
from harness.board.far import FarUpload
from harness.board.meters import MeterSpec
from harness.board.pins import ENERGY_BAUD, Marking
from harness.board.place import PlaceSpec, parse_place
from harness.board.power import BY_SERIAL_NUMBER, HubPort
from harness.board.registry import Board, Registry, inherited_table, parse_board
from harness.errors import RigError, UnknownName
from harness.names import NAME_RULE, SERIAL_RULE, is_name, is_serial_number
from harness.text import printable
from harness.tolerance import Stated, parse_tolerance

SIMULATED = "simulated"
"""A kind of meter of which each board can have one: no instrument is behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Time limits for one board, in seconds, each counted on its own.

    reply_s: for a reply, in addition to the time that the board computes. bootloader_s: from touch
    to the bootloader's port. upload_s: for the upload. port_s: from upload, reset or power cycle to
    the firmware's port. power_s: for the power-cycle command.
    """

    reply_s: float = 2.0
    bootloader_s: float = 5.0
    upload_s: float = 120.0
    port_s: float = 10.0
    power_s: float = 30.0

    def __post_init__(self) -> None:
        toml.check_above_0(**asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugged:
    """A board on this rig.

    `kind` is its id in the registry, or its own where the file says all of it. It is found by its
    USB `serial_number`, or is always at `port` (a path or pyserial URL), or is `place` of a pool of
    shared boards; then `upload` says how firmware gets there. `power` is a hub's port that switches
    its power; or `power_cycle` is a shell's command line that turns it off and on again, run as it
    stands: nothing is put into it. No
    faster rate than `most_baud` is asked of its UART. Its firmware holds `window_pin` high while it
    invokes, for the `meter` that samples its current; with `mlperf_energy` it is built for MLPerf
    Tiny's energy mode, in which that pin is otherwise used. `budget_us` limits the latency of
    models and `budget_uj` the energy of an inference, by the model's name; `tolerance` says how far
    their outputs may be from the golden's, as `--hil-tolerance` does.
    """

    id: str
    kind: str
    serial_number: str | None = None
    port: str | None = None
    place: str | None = None
    power_cycle: str | None = None
    power: HubPort | None = None
    upload: FarUpload | None = None
    most_baud: int | None = None
    window_pin: int | None = None
    mlperf_energy: bool = False
    deadlines: Deadlines = field(default_factory=Deadlines)
    meter: MeterSpec | None = None
    budget_us: Mapping[str, float] = field(default_factory=dict)
    budget_uj: Mapping[str, float] = field(default_factory=dict)
    tolerance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_name(self.id):  # It names a lock file, and is said to --board.
            raise RigError(f"a board's name must be {NAME_RULE}")
        given = (self.serial_number, self.port, self.power_cycle)
        if any(text is not None and not text.strip() for text in given):
            raise RigError("serial_number, port and power_cycle must not be empty: leave them out")
        if self.serial_number is not None and not is_serial_number(self.serial_number):
            raise RigError(
                f"serial_number {printable(self.serial_number, 40)!r} must be {SERIAL_RULE}: "
                "a board with another one is named by its port"
            )
        if self.serial_number is not None and self.port is not None:
            raise RigError("give serial_number or port, not both: they could name two boards")
        _refuse_no_url(self.port or "")
        if self.place is not None:
            if self.port is not None or self.serial_number is not None:
                raise RigError("give place, or serial_number or port: the pool says where it is")
            parse_place(self.place)
        if self.upload is not None and not self.place and "://" not in (self.port or ""):
            raise RigError("upload is for a board at a place or a URL; others are flashed here")
        if self.power is not None:
            if self.power_cycle is not None:
                raise RigError("give power or power_cycle, not both")
            if self.power.uhubctl == BY_SERIAL_NUMBER and self.serial_number is None:
                raise RigError("power by the serial number needs serial_number")
        toml.check_above_0(most_baud=self.most_baud)
        for name in ("budget_us", "budget_uj"):
            budgets = getattr(self, name)
            toml.check_above_0(**{f"{name}.{model}": most for model, most in budgets.items()})
        if self.mlperf_energy and self.window_pin is None:
            raise RigError("mlperf_energy needs window_pin: its timestamps are pulses of a pin")
        if self.budget_uj and self.meter is None:
            raise RigError("budget_uj needs a meter: add the table [boards.NAME.meter]")
        for model, text in self.tolerance.items():
            try:
                parse_tolerance(text)
            except ValueError:
                raise RigError(
                    f"tolerance.{model} is {text!r}: it takes 1lsb, 4ulp, 1e-6 or exact"
                ) from None

    def at_port(self, port: str) -> Plugged:
        """The board where a port is given for it: what its serial number finds, its hub's port
        among it, is left out, and so is an upload elsewhere where the port is of this machine."""
        by_number = self.power is not None and self.power.uhubctl == BY_SERIAL_NUMBER
        return replace(
            self,
            port=port,
            serial_number=None,
            place=None,
            power=None if by_number else self.power,
            upload=self.upload if "://" in port else None,
        )

    @property
    def pooled(self) -> PlaceSpec | None:
        """The place, or the places, of a pool that the board is at."""
        return None if self.place is None else parse_place(self.place)

    @property
    def marking(self) -> Marking | None:
        """What its firmware is to do with a pin; None without one."""
        if self.window_pin is None:
            return None
        return Marking(pin=self.window_pin, mlperf_energy=self.mlperf_energy)

    def of_kind(self, kind: Board) -> Board:
        """The board that it is, of its kind."""
        if self.mlperf_energy:
            return replace(kind, id=self.id, baud=ENERGY_BAUD)
        return replace(kind, id=self.id)

    def tolerance_of(self, *models: str) -> Stated:
        """What is stated for the first of a model's names that the board has a tolerance for."""
        for model in models:
            if model in self.tolerance:
                items = parse_tolerance(self.tolerance[model])
                return Stated(items=items, by=f"tolerance.{model} of the rig file")
        return Stated()


def _refuse_no_url(port: str) -> None:
    """Of pyserial's URLs only these name a machine: `hwgrep://` has a pattern there."""
    try:
        _ = urlsplit(port).port if port.startswith(("socket://", "rfc2217://")) else None
    except ValueError as error:
        raise RigError(f"port {printable(port, 60)!r} is no URL: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Tests of a board that run and are reported, but do not fail the run.

    `test` is a pattern (`*` and `?`) for the part of a test's id after the file's name.
    """

    board: str
    test: str = "*"
    reason: str
    since: date

    def covers(self, board: str, test: str) -> bool:
        """Whether the entry is for this test on this board."""
        return board == self.board and fnmatch(test, self.test)


@dataclass(frozen=True, slots=True, kw_only=True)
class RigFile:
    """The content of a rig file; empty without one. `own` are boards that it says all of."""

    path: Path | None = None
    boards: tuple[Plugged, ...] = ()
    own: tuple[Board, ...] = ()
    quarantine: tuple[Quarantine, ...] = ()

    def plugged(self, board_id: str) -> Plugged | None:
        """The file's entry for a board; None if it has none."""
        return next((board for board in self.boards if board.id == board_id), None)

    def neighbours(self, board_id: str) -> tuple[Plugged, ...]:
        """The file's entries for the other boards."""
        return tuple(board for board in self.boards if board.id != board_id)

    def extend(self, registry: Registry) -> Registry:
        """The registry with this rig's boards added under their own ids."""
        registry = Registry((*registry.boards, *self.own))
        own = {board.id: board.of_kind(registry[board.kind]) for board in self.boards}
        return Registry(
            (
                *(board for board in registry.boards if board.id not in own),
                *own.values(),
            )
        )

    def quarantined(self, board: str, test: str) -> Quarantine | None:
        """The first entry that covers a test on a board."""
        return next((entry for entry in self.quarantine if entry.covers(board, test)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    boards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    quarantine: tuple[Quarantine, ...] = ()


def parse_rig(text: str, registry: Registry, path: Path | None = None) -> RigFile:
    """Read a rig file's text.

    Raises:
        RigError: it is not TOML, or has an unknown key, a wrong value, a board or kind that is not
            in the registry, or one serial number or port for two boards.
    """
    name = f"rig file {path}"
    return _rig(toml.parse(text, name), registry, path, name)


def _rig(content: Any, registry: Registry, path: Path | None, name: str) -> RigFile:
    tables = toml.record(_Tables, content, name)
    boards, own = [], []
    for board_id, table in tables.boards.items():
        here, said = _divided(table)
        if said:
            own.append(_own(board_id, said, registry, name, path))
        key = ("boards", board_id)
        boards.append(toml.record(Plugged, {"kind": board_id, **here}, name, key, id=board_id))
        if not said:
            with toml.naming(name, (*key, "kind")):
                _refuse_unknown(boards[-1], registry)
    with toml.naming(name):
        _refuse_doubles(boards)
    rig = RigFile(path=path, boards=tuple(boards), own=tuple(own), quarantine=tables.quarantine)
    known = rig.extend(registry)
    for board in rig.boards:
        if board.window_pin is not None:
            with toml.naming(name, ("boards", board.id, "window_pin")):
                known[board.id].refuse_window_pin(board.window_pin)
        if board.mlperf_energy and known[board.id].emulated:
            with toml.naming(name, ("boards", board.id, "mlperf_energy")):
                raise RigError("MLPerf Tiny's energy mode is for real boards")
    for number, entry in enumerate(rig.quarantine):
        with toml.naming(name, ("quarantine", number, "board")):
            known[entry.board]
    return rig


_HERE = frozenset(item.name for item in fields(Plugged)) - {"id", "kind"}
_OWN = frozenset(item.name for item in fields(Board)) - {"id", "kind", "home"}
_MAKES_OWN = ("attachment", "runs")
"""Either of these keys begins the description of a board that the registry does not have."""


def _divided(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a table says of the board on this rig, and what it says of a board of its own."""
    if not any(key in table for key in _MAKES_OWN):
        return dict(table), {}
    here = {key for key in table if _is_here(key)}
    return (
        {key: value for key, value in table.items() if key in here},
        {key: value for key, value in table.items() if key not in here},
    )


def _is_here(key: str) -> bool:
    """Whether a key, or what it was meant to be, is one of `Plugged`."""
    return key in _HERE or not {*get_close_matches(key, _HERE | _OWN, n=1)} <= _OWN


def _own(
    board_id: str, said: Mapping[str, Any], registry: Registry, name: str, path: Path | None
) -> Board:
    """A board that the rig file says all of.

    Raises:
        RigError: as `parse_board`; or the registry has a board of that id.
    """
    if board_id in registry.ids:
        with toml.naming(name, ("boards", board_id)):
            raise RigError("the registry has a board of this id: give your own board another one")
    others = {board.id: inherited_table(board) for board in registry.boards}
    return parse_board(
        board_id, dict(said), name, others, at=("boards",), home=path and path.parent
    )


def _refuse_unknown(board: Plugged, registry: Registry) -> None:
    try:
        registry[board.kind]
    except UnknownName as error:
        error.hint = (
            "`kind` names a board of the registry. A board of your own needs `attachment` and the "
            "other keys of one: docs/boards.md"
        )
        raise


def _refuse_doubles(boards: Sequence[Plugged]) -> None:
    for name in ("serial_number", "port"):
        seen: dict[str, str] = {}
        for board in boards:
            value = getattr(board, name)
            if value is not None and (other := seen.setdefault(value, board.id)) != board.id:
                raise RigError(f"boards {other} and {board.id} have the same {name} {value}")
    _refuse_shared_meters(boards)


def _refuse_shared_meters(boards: Sequence[Plugged]) -> None:
    """A meter measures one board; which of two of one kind is meant must be said."""
    seen: dict[tuple[str, str | None, str | None, str | None], str] = {}
    for board in boards:
        meter = board.meter
        if meter is None or meter.kind == SIMULATED:
            continue
        which = (meter.kind, meter.serial_number, meter.port, meter.path)
        if (other := seen.setdefault(which, board.id)) != board.id:
            raise RigError(
                f"boards {other} and {board.id} have the same meter {printable(meter.name, 60)}: "
                "say each one's serial_number, port or path"
            )


def load_rig(path: Path | None, registry: Registry) -> RigFile:
    """Read a rig file; an empty record without one.

    Raises:
        RigError: it cannot be read, or as `parse_rig`.
    """
    if path is None:
        return RigFile()
    name = f"rig file {path}"
    return _rig(toml.load(path, name), registry, path, name)


def job_matrix(rig: RigFile) -> str:
    """The rig's boards as a job matrix of GitHub Actions: one job per board.

    Raises:
        RigError: the rig has no boards. GitHub refuses an empty matrix without a reason.
    """
    if not rig.boards:
        hint = "Give a rig file with boards: --rig FILE or HIL_RIG."
        raise RigError(f"no boards in rig file {rig.path}", hint=hint)
    return json.dumps({"board": [board.id for board in rig.boards]})
