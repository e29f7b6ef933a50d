"""A board made ready: started or found, opened, greeted, and flashed or brought back if need be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

from harness.board.registry import Emulator
from harness.errors import (
    BoardStatus,
    HilError,
    LinkTimeout,
    ProtocolError,
    StaleFirmware,
    Where,
)
from harness.firmware.build import Firmware
from harness.link.dut import Dut, check_identity
from harness.link.faults import Faults
from harness.link.link import Link, LinkOptions, attach_link_log
from harness.link.protocol import Hello
from harness.link.streams import SerialStream, open_serial
from harness.model.artifact import Artifact
from harness.rig.flash import FlashReport
from harness.rig.qemu import QemuProcess
from harness.rig.real import RealBoard
from harness.rig.recovery import PROBE, SILENT, Attempt, Remedy, recover
from harness.rig.virtual import VirtualProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What HELLO must show."""

    model_sha256: str
    build_id: str
    runtime: str

    def check(self, hello: Hello, where: Where) -> None:
        """Raise StaleFirmware unless HELLO shows it."""
        check_identity(
            hello,
            where=where,
            model_sha256=self.model_sha256,
            build_id=self.build_id,
            runtime=self.runtime,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A board that said the HELLO expected, and what it took to get there.

    `remedies` may bring it back when it breaks. `fresh` says that it was started for this session.
    """

    dut: Dut
    expected: Expected
    remedies: tuple[Remedy, ...] = ()
    flash: FlashReport | None = None
    escalations: tuple[Attempt, ...] = ()
    fresh: bool = False

    @property
    def port(self) -> str:
        """Where it was last."""
        return self.dut.link.where.port or ""


@contextmanager
def emulated(
    emulator: Emulator, firmware: Firmware, expected: Expected, where: Where, options: LinkOptions
) -> Iterator[Ready]:
    """A firmware on an emulator of its own."""
    where = replace(where, port=f"qemu:{emulator.machine}")
    with QemuProcess(emulator, firmware.elf, where=where) as process:
        reset = Remedy(name="system_reset of QEMU", act=lambda link: process.power_cycle())
        link = Link(process.stream, where=where, options=options, reopen=process.reopen)
        with closing(link):
            yield replace(_greet(Dut(link), expected, (reset,)), fresh=True)


@contextmanager
def virtual(
    artifact: Artifact, faults: Faults, expected: Expected, where: Where, options: LinkOptions
) -> Iterator[Ready]:
    """A virtual board in a process of its own."""
    with VirtualProcess(artifact, faults, where=where) as process:
        link = Link(process.stream, where=where, options=options, reopen=process.reopen)
        with closing(link):
            yield replace(_greet(Dut(link), expected, ()), fresh=True)


@contextmanager
def at_port(port: str, expected: Expected, where: Where, options: LinkOptions) -> Iterator[Ready]:
    """A board that somebody else started and put behind a port or URL."""
    where = replace(where, port=port)

    def open_port() -> SerialStream:
        return open_serial(port, where=where)

    link = Link(open_port(), where=where, options=options, reopen=open_port)
    with closing(link):
        yield _greet(Dut(link), expected, ())


@contextmanager
def plugged_in(
    seat: RealBoard,
    expected: Expected,
    flash: Callable[[], FlashReport],
    *,
    policy: str,
    options: LinkOptions,
) -> Iterator[Ready]:
    """A real board, with an upload before if the policy (auto, always or never) asks for it.

    Raises:
        StaleFirmware: it runs other firmware, although it was flashed or must not be.
        BoardSilent: it does not answer, whatever was tried.
        BoardStatus: the firmware expected is on it, but its setup failed.
        RigError: it was not found, opened or flashed.
    """
    ready = _make_ready(seat, expected, flash, policy, options)
    with closing(ready.dut.link):
        yield replace(ready, escalations=seat.steps + ready.escalations)


def _greet(
    dut: Dut,
    expected: Expected,
    remedies: tuple[Remedy, ...],
    *,
    patience: LinkOptions | None = None,
    silent: tuple[type[HilError], ...] = (LinkTimeout, ProtocolError),
) -> Ready:
    """Greet a board, bring it back if it is silent, and see that it is the one expected."""
    steps: tuple[Attempt, ...] = ()
    with attach_link_log(dut.link):
        try:
            dut.greet(patience)
        except silent as error:
            if not remedies:
                raise
            steps = recover(dut, error, remedies)
        expected.check(dut.hello, dut.link.where)
    return Ready(dut=dut, expected=expected, remedies=remedies, escalations=steps)


def _make_ready(
    seat: RealBoard,
    expected: Expected,
    flash: Callable[[], FlashReport],
    policy: str,
    options: LinkOptions,
) -> Ready:
    flash_it = f"hil flash --board {seat.board.id}"
    if policy == "never":
        with _advice(f"Allow uploads, or run: {flash_it}"):
            return _as_it_is(seat, expected, options)
    if policy == "auto" and seat.far:
        with _advice(f"Nothing is uploaded through a URL. At the board's own machine: {flash_it}"):
            return _as_it_is(seat, expected, options)
    if policy == "auto" and (dut := _if_current(seat, expected, options)) is not None:
        return Ready(dut=dut, expected=expected, remedies=seat.remedies)
    report = flash()
    with _advice(f"It was uploaded just now: is this board a {seat.board.kind}?"):
        ready = _as_it_is(seat, expected, options, seat.plugged.deadlines.port_s)
    return replace(ready, flash=report, fresh=True)


@contextmanager
def _advice(cure: str) -> Iterator[None]:
    """Says what to do about other firmware."""
    try:
        yield
    except StaleFirmware as error:
        error.hint = cure
        raise


def _if_current(seat: RealBoard, expected: Expected, options: LinkOptions) -> Dut | None:
    """A greeted board that runs the firmware expected; None where an upload may cure it."""
    if seat.in_bootloader:
        return None
    with ExitStack() as stack:
        dut = seat.connect(options)
        stack.callback(dut.link.close)
        try:
            dut.greet(PROBE)
            expected.check(dut.hello, seat.where)
        except (*SILENT, StaleFirmware):
            return None
        except BoardStatus:
            if _runs(dut, expected):
                raise
            return None
        stack.pop_all()
        return dut


def _runs(dut: Dut, expected: Expected) -> bool:
    """Whether the last HELLO, though of a failed setup, was of the very build."""
    try:
        return dut.hello.build_id.hex() == expected.build_id
    except ProtocolError:
        return False


def _as_it_is(
    seat: RealBoard, expected: Expected, options: LinkOptions, patience_s: float = 0.0
) -> Ready:
    if seat.in_bootloader:
        raise StaleFirmware(
            where=seat.where,
            field="build id",
            expected=expected.build_id,
            actual="none (it is in its bootloader)",
        )
    with ExitStack() as stack:
        dut = seat.connect(options, patience_s)
        stack.callback(dut.link.close)
        ready = _greet(dut, expected, seat.remedies, patience=PROBE, silent=SILENT)
        stack.pop_all()
        return ready
