"""The registry of boards: those of `boards.toml`, and those of installed distributions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness import toml
from harness.board.own import OwnBuild, OwnFlash
from harness.board.packages import Packaged, leave_out, packaged_boards
from harness.board.pins import Pins
from harness.board.runtimes import AOT, OWN, is_runtime, runtime_ids
from harness.errors import RigError, UnknownName, WrongUse
from harness.names import NAME_RULE, is_name
from harness.text import printable

ATTACHMENTS = ("serial", "url", "emulator", "sim", "virtual")
WIRES = ("uart", "usb")
INSTRUCTIONS, CYCLES = "instructions", "cycles"
QEMU = "qemu-system-arm"
"""The program of most machines, and Debian's package with it."""

BOARDS_FILE = Path(__file__).with_name("boards.toml")
_USB = re.compile("[0-9a-f]{4}:[0-9a-f]{4}")
_QEMU = re.compile("qemu-system-[a-z0-9_]+")
_PACKAGE = re.compile("[a-z0-9][a-z0-9+.-]+")


def _check_name(what: str, name: str) -> None:
    if not is_name(name):
        raise RigError(f"{what} {printable(name)!r} must be {NAME_RULE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """QEMU's machine, and its clock: one guest instruction takes 2**icount_shift virtual ns.

    `program` is the QEMU that has the machine, `package` is Debian's with that program, and
    `arguments` are what else it is given: each for its own machine only. `fault_uart` says that it
    has a second UART, for the words of a fault; `mux` that the first one holds a single byte and
    asks for those that waited until it was enabled, so that QEMU's multiplexer can be before it.
    """

    machine: str
    icount_shift: int
    program: str = QEMU
    package: str = QEMU
    arguments: tuple[str, ...] = ()
    fault_uart: bool = True
    mux: bool = True

    def __post_init__(self) -> None:
        _check_name("machine", self.machine)
        if not _QEMU.fullmatch(self.program):
            raise RigError(f"program {printable(self.program)!r} is not one of qemu-system-*")
        if not _PACKAGE.fullmatch(self.package):
            raise RigError(f"package {printable(self.package)!r} is no name of a Debian package")
        if not 0 <= self.icount_shift <= 10:
            raise RigError(f"icount_shift must be 0 to 10, QEMU's range, not {self.icount_shift}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """A chip of `harness.sim`, and its clock: each instruction takes so many cycles of it.

    `wire` is its port: `uart`, or its own `usb`. `counts` is what its time is a count of:
    `instructions`, or `cycles` where it has a model of its own of what each instruction takes.
    `bootloader` says that it has the board's bootloader too, to which an uploader can speak.
    """

    chip: str
    wire: str = "uart"
    bootloader: bool = False
    cycles_per_instruction: int = 1
    counts: str = INSTRUCTIONS

    @property
    def tells_pins(self) -> bool:
        """Whether the simulator says when a pin changes."""
        return self.chip == "nrf52840" and not self.bootloader

    def __post_init__(self) -> None:
        if self.counts not in (INSTRUCTIONS, CYCLES):
            raise RigError(f"counts {self.counts!r} is neither {INSTRUCTIONS} nor {CYCLES}")
        if self.wire not in WIRES:
            raise RigError(f"wire {self.wire!r} is none of {', '.join(WIRES)}")
        toml.check_above_0(cycles_per_instruction=self.cycles_per_instruction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A board of `boards.toml`.

    `env` holds a PlatformIO environment for each runtime that firmware is built for.
    `flash_bytes` and `ram_bytes` are limits for the whole firmware; None where there are none.
    `firmware_ram_bytes` is what firmware with TFLM takes of RAM without the arena, by which models
    that fit are listed; None where it is as much as on other boards.
    `aot_target` is the BakeNN target profile whose kernels the CPU can run. `core` is the CPU by
    the name that compilers have for it, such as cortex-m4 or rv32imac: firmware with instructions
    that it does not have is refused; None where that is not checked. `toolchain` builds its
    firmware where PlatformIO brings no compiler: one of `harness.firmware.toolchain.TOOLCHAINS`.
    `without` says of runtimes that it lacks why.

    `kind` is the id in the registry; `id` differs from it where a rig file names a board of that
    kind. `runs` is the kind of board whose own firmware a simulated chip runs: its `kind` too, from
    which it has what it does not say itself. `usb` and `bootloader_usb` are VID:PID hints, in
    lower-case hex. `touch_baud` is the baud rate at which opening and closing the port starts the
    bootloader; None if uploads need no touch. `bootloader_port` is False if the bootloader has no
    serial port, like the RP2040's, a disk. `upload_flags` tell an uploader that knows no ports,
    such as OpenOCD, which board is meant: `{serial_number}` stands for its USB serial number, and
    `{probe_uid}` for the id that pyOCD makes of it. `probe` is the target's name in pyOCD, which
    resets a board that has a debug probe. `native_usb` says that its port is USB of the chip that
    runs the firmware, not of a bridge or a probe beside it. `most_baud` is the fastest
    rate that its UART is asked for; None leaves it to the firmware. `masked_us` is the longest
    invoke that its firmware times with interrupts off; None where it does so with any.
    `clock_tolerance_ppm` is the
    largest error of the clock that drives its counter; the default suits quartz, an RC oscillator
    needs more. `pins` are those that its firmware can drive; None where its port drives none.

    `build` is for firmware that is not ours: the command that makes it, in place of `env`. `flash`
    is the command that uploads it; without one it is PlatformIO, or pyOCD where there is `build`
    and a `probe`. Their paths are relative to `home`, the folder of the file that describes the
    board.
    """

    id: str
    description: str
    attachment: str
    mcu: str
    clock_hz: int
    runtimes: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    firmware_ram_bytes: int | None = None
    emulator: Emulator | None = None
    simulator: Simulator | None = None
    runs: str | None = None
    aot_target: str | None = None
    core: str | None = None
    toolchain: str = "arm-none-eabi"
    without: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    usb: tuple[str, ...] = ()
    bootloader_usb: tuple[str, ...] = ()
    touch_baud: int | None = None
    baud: int = 115200
    bootloader_port: bool = True
    probe: str | None = None
    upload_flags: tuple[str, ...] = ()
    native_usb: bool = False
    most_baud: int | None = None
    masked_us: float | None = None
    clock_tolerance_ppm: float = 200.0
    pins: Pins | None = None
    build: OwnBuild | None = None
    flash: OwnFlash | None = None
    home: str = ""

    def __post_init__(self) -> None:
        for what, name in (("id", self.id), *(("env", name) for name in self.env.values())):
            _check_name(what, name)
        if self.attachment not in ATTACHMENTS:
            known = ", ".join(ATTACHMENTS)
            raise RigError(f"attachment {self.attachment!r} is none of {known}")
        if not self.runtimes or not all(map(is_runtime, self.runtimes)):
            raise RigError(f"runtimes {self.runtimes} are not among {runtime_ids()}")
        for runtime in self.without:
            if not is_runtime(runtime) or runtime in self.runtimes:
                raise RigError(
                    f"`without` says of {printable(runtime)!r}, no runtime it lacks, why"
                )
        if (self.attachment == "emulator") != (self.emulator is not None):
            raise RigError("exactly the emulated boards have an [emulator] table")
        if (
            not (self.attachment == "sim")
            == (self.simulator is not None)
            == (self.runs is not None)
        ):
            raise RigError("exactly the simulated boards have a [simulator] table, and `runs`")
        if self.build is not None and self.env:
            raise RigError("a board with `build` has no `env`: its own command builds it")
        if self.build is not None and not (self.home or Path(self.build.project).is_absolute()):
            raise RigError("build.project must be a whole path where no file describes the board")
        for usb in (*self.usb, *self.bootloader_usb):
            if not _USB.fullmatch(usb):
                raise RigError(
                    f"USB id {usb!r} is not VID:PID in lower-case hex, such as 2341:805a"
                )
        toml.check_above_0(
            clock_hz=self.clock_hz,
            flash_bytes=self.flash_bytes,
            ram_bytes=self.ram_bytes,
            firmware_ram_bytes=self.firmware_ram_bytes,
            touch_baud=self.touch_baud,
            baud=self.baud,
            most_baud=self.most_baud,
            masked_us=self.masked_us,
            clock_tolerance_ppm=self.clock_tolerance_ppm,
        )

    @property
    def emulated(self) -> bool:
        """Whether its latency is not time on a real chip."""
        return self.attachment in ("emulator", "sim", "virtual")

    @property
    def takes_firmware(self) -> bool:
        """Whether firmware is built for it: the virtual board is the host's own TFLM."""
        return self.build is not None or bool(self.env)

    @property
    def takes_uploads(self) -> bool:
        """Whether firmware can be uploaded to it, as to a real board."""
        return not self.emulated or (self.simulator is not None and self.simulator.bootloader)

    @property
    def ns_per_instruction(self) -> float | None:
        """Of a board whose time is a count of instructions; None for any other."""
        if self.emulator is not None:
            return float(2**self.emulator.icount_shift)
        if self.simulator is not None and self.simulator.counts == INSTRUCTIONS:
            return self.simulator.cycles_per_instruction * 1e9 / self.clock_hz
        return None

    def refuse_window_pin(self, pin: int) -> None:
        """Raise RigError unless the board's firmware can mark windows on this pin."""
        if self.build is not None:
            raise RigError(
                "the board's firmware is not ours: it marks windows by `window` of its hil_port"
            )
        if self.pins is None:
            raise RigError(
                f"board {self.kind} cannot: its port drives no pin. A meter finds windows there by "
                "the edges of the current"
            )
        if why := self.pins.refusal(pin):
            raise RigError(f"board {self.kind} cannot: {why}")

    def runtime(self, asked: str | None) -> str:
        """The runtime asked for, or the board's default.

        Besides its own it may have any that an installed distribution brings: whether that one
        takes the board is asked where the runtime is loaded.

        Raises:
            WrongUse: the board cannot have it, and says why.
            UnknownName: the board has no such runtime.
        """
        if asked is None:
            return self.runtimes[0]
        if asked in self.without:
            raise WrongUse(
                f"board {self.id} has no runtime {asked}: {self.without[asked]}",
                hint=f"It has {', '.join(self.runtimes)}.",
            )
        if asked in self.runtimes or (
            self.takes_firmware and asked not in OWN and is_runtime(asked)
        ):
            return asked
        others = set(runtime_ids()) - set(OWN) if self.takes_firmware else ()
        raise UnknownName(f"runtime for board {self.id}", asked, [*{*self.runtimes, *others}])

    def env_of(self, runtime: str) -> str:
        """The PlatformIO environment of a runtime.

        One that a distribution brings is built in that of AOT, which pins no library.

        Raises:
            RigError: the board has none for it.
        """
        env = self.env.get(runtime) or (self.env.get(AOT) if runtime not in OWN else None)
        if env is None:
            raise RigError(f"board {self.id} has no PlatformIO environment for {runtime}")
        return env


INHERITED = (
    *("mcu", "clock_hz", "flash_bytes", "ram_bytes", "runtimes", "env", "aot_target", "core"),
    *("firmware_ram_bytes", "native_usb", "most_baud", "masked_us", "toolchain", "without", "pins"),
)
"""What a simulated board has from the board whose firmware it runs."""


def parse_board(
    board_id: str,
    table: Any,
    name: str = "boards file",
    others: Mapping[str, Any] | None = None,
    *,
    at: toml.Key = (),
    home: Path | None = None,
) -> Board:
    """A Board from its TOML table.

    Args:
        name: what errors call the file.
        others: tables of boards, for a board that runs another one's firmware.
        at: the table of the file that holds those of its boards.
        home: what paths in the table are relative to; without one they must not be.

    Raises:
        RigError: a key is unknown or missing, or a value is wrong.
    """
    kind, key = board_id, (*at, board_id)
    if isinstance(table, dict) and "runs" in table:
        kind = table["runs"]
        with toml.naming(name, (*key, "runs")):
            table = {**_inherited(kind, others or {}), **table}
    return toml.record(Board, table, name, key, id=board_id, kind=kind, home=str(home or ""))


def _inherited(kind: object, others: Mapping[str, Any]) -> dict[str, Any]:
    base = others.get(kind) if isinstance(kind, str) else None
    if not isinstance(base, dict) or "runs" in base:
        raise RigError("it must be the id of a real board")
    return {key: base[key] for key in INHERITED if key in base}


def inherited_table(board: Board) -> dict[str, Any]:
    """A board's table as far as one that runs its firmware has it from there; for `parse_board`."""
    values = {key: getattr(board, key) for key in (*INHERITED, "runs")}
    return {key: _as_toml(value) for key, value in values.items() if value is not None}


def _as_toml(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {key: _as_toml(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


class Registry:
    """Boards by id, in the order of the file."""

    def __init__(self, boards: tuple[Board, ...]) -> None:
        self.boards = boards

    @property
    def ids(self) -> list[str]:
        """Ids in file order."""
        return [board.id for board in self.boards]

    def __getitem__(self, board_id: str) -> Board:
        for board in self.boards:
            if board.id == board_id:
                return board
        raise UnknownName("board", board_id, self.ids)


def load_registry(path: Path | None = None) -> Registry:
    """The boards of boards.toml and those of installed distributions, or those of one file.

    A distribution of which a board's table is wrong is said, and left out.

    Raises:
        RigError: a file cannot be read, is not TOML, or a board's table is wrong; or two have a
            board of one id.
    """
    if path is not None:
        return Registry(_boards_of(toml.load(path, _name(path)), _name(path), home=path.parent))
    own, boards = _own_tables(), list(_own_boards())
    brought_by = {board.id: "boards.toml" for board in boards}
    for packaged, more, fault in added_boards(own):
        if fault:
            leave_out(f"{packaged.name} are", fault)
        for board in more:
            _refuse_double(board.id, packaged.distribution, brought_by)
            boards.append(board)
    return Registry(tuple(boards))


def added_boards(
    own: Mapping[str, Any] | None = None,
) -> tuple[tuple[Packaged, tuple[Board, ...], str], ...]:
    """The boards of each installed distribution that brings some, or why it has none.

    Args:
        own: tables of boards.toml, whose firmware its boards may run; they are read if None.
    """
    own = _own_tables() if own is None else own
    return tuple((item, *_parsed(item, own)) for item in packaged_boards())


@cache
def _own_tables() -> Mapping[str, Any]:
    return toml.load(BOARDS_FILE, _name(BOARDS_FILE))


@cache
def _own_boards() -> tuple[Board, ...]:
    return _boards_of(_own_tables(), _name(BOARDS_FILE))


def _parsed(packaged: Packaged, own: Mapping[str, Any]) -> tuple[tuple[Board, ...], str]:
    if packaged.fault:
        return (), packaged.fault
    others = {**own, **packaged.tables}
    try:
        return _boards_of(packaged.tables, packaged.name, others, packaged.folder), ""
    except RigError as error:
        return (), str(error)


def _name(path: Path) -> str:
    return f"boards file {path}"


def _boards_of(
    tables: Mapping[str, Any],
    name: str,
    others: Mapping[str, Any] | None = None,
    home: Path | None = None,
) -> tuple[Board, ...]:
    return tuple(
        parse_board(board_id, table, name, others or tables, home=home)
        for board_id, table in tables.items()
    )


def _refuse_double(board_id: str, distribution: str, brought_by: dict[str, str]) -> None:
    """Refuse a second board of one id: which of the two is meant would hang on a file's order."""
    other = brought_by.setdefault(board_id, distribution)
    if other is not distribution:
        raise RigError(
            f"board {board_id} is in {other} and in distribution {distribution}",
            hint="Uninstall one distribution, or have its board named otherwise.",
        )
