"""A board attached: started or found, flashed if need be, and greeted over an open link."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from harness.board.pins import Marking
from harness.board.place import SCHEME
from harness.board.ports import Bench
from harness.board.registry import load_registry
from harness.errors import Where
from harness.link.dut import Dut
from harness.link.faults import parse_faults
from harness.link.link import Link
from harness.link.streams import ByteStream, SerialStream, open_serial
from harness.project import Project
from harness.rig.counting import counting
from harness.rig.flash import Uploader
from harness.rig.options import VIRTUAL_SCHEME
from harness.rig.plugged_in import plugged_in, real_of
from harness.rig.qemu import QemuProcess, installed_qemu
from harness.rig.ready import Ready, greet
from harness.rig.recovery import Remedy
from harness.rig.sim import PinEdges, sim_bench, sim_process
from harness.rig.virtual import VirtualProcess
from harness.rig.wanted import Wanted


def attached(
    wanted: Wanted, project: Project, bench: Bench, upload: Uploader | None
) -> AbstractContextManager[Ready]:
    """Finds or starts the board: plugged in, at a port that was named, an emulator, or virtual."""
    options = wanted.options
    port = wanted.held.url if wanted.held else options.place or ""
    if wanted.board.attachment in ("serial", "url"):
        real = real_of(wanted.board, wanted, project, bench, upload)
        return plugged_in(real, wanted, project.state)
    if wanted.held is not None or not options.starts(wanted.board):
        return _at_port(port, wanted)
    if wanted.board.emulator is not None:
        return _emulated(wanted, project)
    if wanted.board.takes_uploads and options.flash == "always":
        return _simulated_and_flashed(wanted, project, upload)
    return _virtual(port, wanted) if wanted.board.simulator is None else _simulated(wanted)


@contextmanager
def _emulated(wanted: Wanted, project: Project) -> Iterator[Ready]:
    """The firmware on an emulator of its own."""
    emulator, firmware = wanted.board.emulator, wanted.firmware
    assert emulator is not None and firmware is not None, "its attachment is `emulator`"
    where = replace(wanted.where, port=f"qemu:{emulator.machine}")
    with ExitStack() as stack:
        counter = None
        if wanted.options.functions:
            folder = project.state / "plugins"
            counter = stack.enter_context(
                counting(firmware.elf, folder, installed_qemu(emulator), where=where)
            )
        process = stack.enter_context(
            QemuProcess(
                emulator,
                firmware.elf,
                where=where,
                counted=wanted.options.timed,
                much=wanted.errand is not None,
                counter=counter,
            )
        )

        def restart(link: Link) -> None:
            process.restart()
            link.reopen()

        reset = Remedy(name="system_reset of QEMU", act=lambda link: process.power_cycle())
        anew = Remedy(name="start the emulator anew", act=restart)
        with _greeted(process.stream, process.reopen, wanted, where, reset, anew) as ready:
            yield replace(ready, fresh=True, counter=counter)


@contextmanager
def _simulated(wanted: Wanted) -> Iterator[Ready]:
    """The real board's firmware on a simulated chip of its own."""
    simulator, firmware = wanted.board.simulator, wanted.firmware
    assert simulator is not None and firmware is not None, "its attachment is `sim`"
    where = replace(wanted.where, port=f"sim:{simulator.chip}")
    pins, edges = _told_pins(wanted), None
    with ExitStack() as stack:
        file = None
        if pins is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hil-pins-"))
            file = Path(folder) / "edges"
            edges = PinEdges(file, pins.pin, wanted.board.clock_hz)
        process = stack.enter_context(sim_process(simulator, firmware.elf, where=where, pins=file))

        def restart(link: Link) -> None:
            process.restart()
            link.reopen()

        remedy = Remedy(name="start the simulated chip anew", act=restart)
        with _greeted(
            process.stream, process.reopen, wanted, where, remedy, clock=process.clock
        ) as ready:
            yield replace(ready, fresh=True, edges=edges)


def _told_pins(wanted: Wanted) -> Marking | None:
    """The pin whose edges a simulated chip is to tell; None for a chip that tells none."""
    simulator = wanted.board.simulator
    assert simulator is not None, "its attachment is `sim`"
    return wanted.options.marking if simulator.tells_pins else None


@contextmanager
def _simulated_and_flashed(
    wanted: Wanted, project: Project, upload: Uploader | None
) -> Iterator[Ready]:
    """A simulated board that is found, touched and uploaded to as the real one is."""
    board, firmware = wanted.board, wanted.firmware
    assert board.simulator is not None and firmware is not None, "its attachment is `sim`"
    assert board.runs is not None, "its attachment is `sim`"
    real = load_registry()[board.runs]
    touched = replace(
        board, usb=real.usb, bootloader_usb=real.bootloader_usb, touch_baud=real.touch_baud
    )
    with sim_bench(board.simulator, firmware.elf, where=wanted.where) as bench:
        with plugged_in(real_of(touched, wanted, project, bench, upload), wanted) as ready:
            yield ready


@contextmanager
def _virtual(port: str, wanted: Wanted) -> Iterator[Ready]:
    """A virtual board in a process of its own, with the faults that `port` asks for."""
    faults = parse_faults(port.removeprefix(VIRTUAL_SCHEME))
    where = replace(wanted.where, port=port or VIRTUAL_SCHEME)
    own = wanted.artifact if wanted.swap is None else wanted.swap.own
    with VirtualProcess(own, faults, where=where, swap=wanted.swap) as process:
        with _greeted(process.stream, process.reopen, wanted, where, clock=process.clock) as ready:
            yield replace(ready, fresh=True)


@contextmanager
def _at_port(port: str, wanted: Wanted) -> Iterator[Ready]:
    """A board that somebody else started and put behind a port or URL."""
    held = wanted.held
    where = replace(wanted.where, port=f"{SCHEME}{held.place}" if held else port)

    def open_again() -> SerialStream:
        return open_serial(held.check() if held else port, where=where)

    with _greeted(open_serial(port, where=where), open_again, wanted, where) as ready:
        yield ready


@contextmanager
def _greeted(
    stream: ByteStream,
    reopen: Callable[[], ByteStream],
    wanted: Wanted,
    where: Where,
    *remedies: Remedy,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Ready]:
    """A board on an open stream, greeted; the link is closed when the block ends."""
    line = wanted.options.line_to(wanted.board)
    patience = wanted.options.patience
    link = Link(stream, where=where, options=patience, reopen=reopen, line=line, clock=clock)
    with closing(link):
        yield greet(Dut(link, errand=wanted.errand), wanted.expected, remedies)
