"""Opening a board: build, lock, start or find it, flash it if need be, and greet it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from harness.board.lock import hold
from harness.board.pins import Marking
from harness.board.place import SCHEME, PlaceSpec, parse_place
from harness.board.ports import THIS_MACHINE, Bench, Listing, SerialPort, find_port
from harness.board.registry import Board, load_registry
from harness.board.rigfile import Plugged
from harness.errors import (
    BoardNotFound,
    BoardStatus,
    ModelError,
    ModelRefused,
    ProtocolError,
    StaleFirmware,
    SwapRefused,
    Where,
    WrongUse,
)
from harness.firmware.build import Builder, Firmware
from harness.firmware.runtimes import runtime_of
from harness.firmware.swap import SwapPlan, brought
from harness.firmware.verdict import refuse_unrunnable
from harness.link.dut import Dut
from harness.link.faults import parse_faults
from harness.link.link import Link, LinkOptions, attach_link_log
from harness.link.loading import Errand
from harness.link.speed import Line, SlowLines
from harness.link.streams import ByteStream, SerialStream, open_serial
from harness.measure.compare import Comparison
from harness.model.artifact import Artifact
from harness.pool.hold import Held, Pool, hold_place
from harness.progress import Progress, no_progress
from harness.project import Project, find_project
from harness.rig.allowance import Allowance
from harness.rig.checks import checks_for
from harness.rig.counting import counting
from harness.rig.far import explained
from harness.rig.flash import Uploader
from harness.rig.flashed import note_flashed
from harness.rig.keeper import Keeper
from harness.rig.opened import Attribute, OpenBoard
from harness.rig.qemu import QemuProcess, installed_qemu
from harness.rig.ready import Expected, Ready, greet
from harness.rig.real import RealBoard
from harness.rig.recovery import PROBE, SILENT, Remedy
from harness.rig.sim import PinEdges, sim_bench, sim_process
from harness.rig.supply import Supplies
from harness.rig.swapping import Swaps
from harness.rig.upload import uploader_for
from harness.rig.virtual import VirtualProcess, virtual_build_id
from harness.settings import FLASH, LOCK_TIMEOUT
from harness.tolerance import Stated

__all__ = ["OpenBoard", "RigOptions", "open_board"]

VIRTUAL_SCHEME = "virtual:"


@dataclass(frozen=True, slots=True, kw_only=True)
class RigOptions:
    """What a run was asked for, from the command line, ini file and environment.

    `port` overrides where a board is, else `plugged` says; `neighbours` are the rig file's other
    boards, whose ports are not this one's. `runtime` None is each board's default. `flash` is one
    of FLASH_CHOICES: `auto` skips an upload when HELLO shows the very build, `never` raises
    StaleFirmware where it does not. `tflm` is a folder with a TFLM library to build with, instead
    of the one that the board's environment pins, and `arena_bytes` the capacity of its arena
    instead of the one planned from the model. Without `check_support` a model that the runtime is
    known to compute wrongly is built and run all the same. `profile` is for firmware that tells the
    time of each operator: not the one whose latency counts. Without `timed` only outputs count, and
    an emulator runs faster. With `functions` the emulator of a board counts the instructions of
    each invoke (`OpenBoard.counter`), in firmware and time that are as ever. `progress` is told of
    what takes a while. No faster rate of a UART than `most_baud` is asked for, else than the rig
    file or the board's entry says; `slow` is told, and remembers, what a line does not carry.
    `supplies` are the meters that boards have their power from.
    `pool` is where boards are that `port` or the rig file says are places of one, and `keeper`
    keeps a board between two openings. `allowance` counts differences that are attributed to an
    operator.
    `swaps` says which models are brought over the link to one firmware, instead of built into their
    own.
    """

    lock_timeout_s: float = float(LOCK_TIMEOUT.default)
    runtime: str | None = None
    port: str | None = None
    link: LinkOptions = field(default_factory=LinkOptions)
    plugged: Plugged | None = None
    neighbours: tuple[Plugged, ...] = ()
    flash: str = FLASH.default
    tflm: Path | None = None
    arena_bytes: int | None = None
    check_support: bool = True
    tolerance: Stated = Stated()
    progress: Progress = no_progress
    profile: bool = False
    timed: bool = True
    functions: bool = False
    most_baud: int | None = None
    pool: Pool = Pool()
    keeper: Keeper = field(default_factory=Keeper, compare=False)
    allowance: Allowance = field(default_factory=Allowance, compare=False)
    slow: SlowLines = field(default_factory=SlowLines, compare=False)
    supplies: Supplies = field(default_factory=Supplies, compare=False)
    swaps: Swaps = field(default_factory=Swaps, compare=False)

    @property
    def place(self) -> str | None:
        """The port, URL or place of a pool that somebody named for the board."""
        if self.port or self.plugged is None:
            return self.port
        pooled = self.plugged.pooled
        return self.plugged.port if pooled is None else f"{SCHEME}{pooled}"

    def starts(self, board: Board) -> bool:
        """Whether the board is an emulator, or a virtual one, that is started anew for this run."""
        place = self.place or VIRTUAL_SCHEME
        return board.emulated and place.startswith(VIRTUAL_SCHEME)

    def swap_for(self, board: Board, artifact: Artifact) -> SwapPlan | None:
        """What the firmware takes to which the model is brought; None where it is built in.

        A firmware that is to be profiled is built for one model.

        Raises:
            WrongUse: models are always to be brought, and the board takes none.
        """
        if self.profile:
            return None
        may_upload = not board.emulated and self.flash != "never"
        ours = self.starts(board) or may_upload
        return self.swaps.plan_for(board, board.runtime(self.runtime), artifact, ours=ours)

    def counts_functions(self, board: Board) -> bool:
        """Whether a QEMU of this run's own is the board: it counts instructions by function."""
        return board.emulator is not None and self.starts(board)

    @property
    def pooled(self) -> PlaceSpec | None:
        """The place of the pool that somebody named for the board.

        Raises:
            RigError: what was named is none.
        """
        if self.port is not None:
            named = self.port.startswith(SCHEME)
            return parse_place(self.port.removeprefix(SCHEME)) if named else None
        return self.plugged.pooled if self.plugged else None

    def hold(
        self, board: Board, bench: Bench = THIS_MACHINE
    ) -> AbstractContextManager[Held | None]:
        """Holds a board that exists once, against other runs; may be entered again within.

        Any number of runs can each start an emulator of their own. A board of a pool is held there,
        by whichever of its machines; it is yielded. A board whose meter is its supply has power
        meanwhile, and its port has had the time to appear. Within `keeper` the board stays held
        until another one is, or the run ends.

        Raises:
            BoardBusy: another process still held it after `lock_timeout_s`.
            PoolError: the pool did not give it, or lost it.
            MeterError: its supply cannot be switched on.
        """
        if self.shared(board):
            return self.keeper.use(board.id, partial(self._hold, board, bench))
        return nullcontext()

    def shared(self, board: Board) -> bool:
        """Whether other runs may want this very board: one of a pool, or of this machine.

        Raises:
            RigError: what was named as a place is none.
        """
        return self.pooled is not None or not self.starts(board)

    @contextmanager
    def _hold(self, board: Board, bench: Bench) -> Iterator[Held | None]:
        if (place := self.pooled) is not None:
            with (
                hold_place(board.id, place, self.pool, progress=self.progress) as held,
                self.supplies.on(self.plugged, board.id),
            ):
                yield held
        else:
            timeout_s = self.lock_timeout_s
            with (
                hold(board.id, timeout_s=timeout_s, progress=self.progress, again=True),
                self.supplies.on(self.plugged, board.id) as fresh,
            ):
                if fresh and self.plugged is not None:
                    bench.wait_for(partial(self._found, board), self.plugged.deadlines.port_s)
                yield None

    def _found(self, board: Board, listing: Listing) -> SerialPort | None:
        assert self.plugged is not None, "its supply is of the rig file"
        plugged = replace(self.plugged, port=self.port or self.plugged.port)
        with suppress(BoardNotFound):
            return find_port(board, plugged, listing, neighbours=self.neighbours)
        return None

    def tolerance_for(self, artifact: Artifact) -> Stated:
        """Who says most of how far outputs may be off: the run, the rig file, the manifest."""
        names = (artifact.name, artifact.model)
        by_rig = self.plugged.tolerance_of(*names) if self.plugged else Stated()
        said = (self.tolerance, by_rig, artifact.tolerance)
        return next((stated for stated in said if stated.items), Stated())

    def line_to(self, board: Board) -> Line:
        """What is known of the line to a board before it is asked."""
        by_rig = self.plugged.most_baud if self.plugged else None
        return Line(
            native_usb=board.native_usb,
            baud=board.baud,
            most_baud=self.most_baud or by_rig or board.most_baud,
            slow=self.slow,
        )

    @property
    def marking(self) -> Marking | None:
        """What firmware is to do with a pin, by the rig file."""
        return self.plugged.marking if self.plugged else None

    @property
    def patience(self) -> LinkOptions:
        """Time-outs and retries of the link, with the rig file's deadline for a reply."""
        if self.plugged is None:
            return self.link
        return replace(self.link, timeout_s=self.plugged.deadlines.reply_s)


DEFAULT_OPTIONS = RigOptions()


@contextmanager
def open_board(
    board: Board,
    artifact: Artifact,
    project: Project | None = None,
    options: RigOptions = DEFAULT_OPTIONS,
    *,
    bench: Bench = THIS_MACHINE,
    upload: Uploader | None = None,
) -> Iterator[OpenBoard]:
    """Build, lock, start or find, flash and greet a board; all is undone when the block ends.

    Within `options.hold(board)` the board stays locked when the block has ended.

    Args:
        project: where sources and builds lie; `find_project` says if None.
        bench: the serial ports and the clock of this machine.
        upload: what uploads to the board; `uploader_for` says if None.

    Raises:
        UnknownName: the board lacks the runtime.
        WrongUse: faults were asked of a board that is not the virtual one.
        ModelError, ToolMissing, BuildFailed: nothing was started; ModelError also where the
            firmware on the board cannot reset the state of a model that keeps some.
        BoardBusy, BoardNotFound, StartFailed, FlashFailed: it could not be had.
        StaleFirmware, BoardError: it is not what was built, or does not answer.
    """
    project = project or find_project()
    runtime = board.runtime(options.runtime)
    _refuse_faults(board, options.place)
    _refuse_uncounted(board, options)
    look_at(board, artifact, project, options)
    wanted = _wanted(board, artifact, project, options)
    with (
        options.hold(board, bench) as held,
        explained(held),
        _ready(replace(wanted, held=held), project, bench, upload) as (wanted, ready),
    ):
        ready.dut.progress = options.progress
        ready.dut.name_tensors(artifact.inputs, artifact.outputs)
        with attach_link_log(ready.dut.link):
            _refuse_lost_state(wanted, ready.dut)
            first = ready.dut.infer(checks_for(artifact).inputs[:1])
        opened = OpenBoard(
            declared=board,
            artifact=artifact,
            runtime=runtime,
            firmware=wanted.firmware,
            ready=ready,
            cold_ticks=int(first.ticks[0]) if ready.fresh else None,
            stated=options.tolerance_for(artifact),
        )
        if options.starts(board) and wanted.firmware is not None and not options.profile:
            opened.attribute = _attribution(board, artifact, project, options)
            opened.allowance = options.allowance
        with closing(opened.references):
            yield opened


def build_ahead(
    board: Board, artifact: Artifact, project: Project, options: RigOptions = DEFAULT_OPTIONS
) -> None:
    """Build what `open_board` would, which finds it then: no board is held for a compiler.

    Raises:
        As `open_board` before it holds the board.
    """
    look_at(board, artifact, project, options)
    _wanted(board, artifact, project, options)


def _attribution(
    board: Board, artifact: Artifact, project: Project, options: RigOptions
) -> Attribute:
    def attribute(compared: Comparison, stated: Stated) -> Comparison:
        from harness.rig.attribution import attributed  # It opens boards itself.

        return attributed(compared, stated, board, artifact, project, options)

    return attribute


def _wanted(board: Board, artifact: Artifact, project: Project, options: RigOptions) -> _Wanted:
    """What is to be opened: the firmware built, and what HELLO must say."""
    runtime, firmware = board.runtime(options.runtime), None
    swap = options.swap_for(board, artifact)
    if board.attachment != "virtual":
        firmware = _build(board, artifact, project, options, swap)
        swap = firmware.swap
    own = artifact if swap is None else swap.own
    made_of = own.sha256 if swap is None else f"{own.sha256} {swap.identity}"
    build_id = firmware.build_id if firmware else virtual_build_id(made_of)
    return _Wanted(
        board=board,
        artifact=artifact,
        firmware=firmware,
        swap=swap,
        errand=Errand(model=brought(artifact), build_id=build_id) if swap else None,
        expected=Expected(
            model_sha256=artifact.sha256,
            build_id=build_id,
            runtime=runtime,
            inputs=tuple(artifact.inputs),
            outputs=tuple(artifact.outputs),
        ),
        where=Where(board=board.id, model=artifact.name),
        options=options,
    )


@contextmanager
def _ready(
    wanted: _Wanted, project: Project, bench: Bench, upload: Uploader | None
) -> Iterator[tuple[_Wanted, Ready]]:
    """The board attached; with firmware of its own for a model that it does not take."""
    with ExitStack() as stack:
        try:
            ready = stack.enter_context(_attached(wanted, project, bench, upload))
        except SwapRefused as error:
            board, artifact, options = wanted.board, wanted.artifact, wanted.options
            options.swaps.give_up(board, wanted.expected.runtime, error, artifact)
            wanted = replace(_wanted(board, artifact, project, options), held=wanted.held)
            ready = stack.enter_context(_attached(wanted, project, bench, upload))
        yield wanted, ready


def _refuse_lost_state(wanted: _Wanted, dut: Dut) -> None:
    """Refuse a model whose answers would depend on all that the board was ever sent."""
    if wanted.artifact.stateful and not dut.keeps_state:
        raise ModelError(
            "the model keeps state from one invoke to the next, which the board's firmware cannot "
            "reset",
            where=dut.link.where,
            hint="Firmware of an older harness lacks op STATE. Build and upload it again: "
            f"hil flash --board {wanted.board.id}",
        )


def look_at(board: Board, artifact: Artifact, project: Project, options: RigOptions) -> None:
    """Look at a model before anything is built, started or locked for it, if `check_support`.

    What was built before needs no look where to look takes longer: loading a generator, 0.2 s.

    Raises:
        ModelError: it cannot run on the board with the runtime.
        WrongUse, RigError: the runtime does not run on the board, or cannot be loaded.
    """
    runtime = board.runtime(options.runtime)
    if not options.check_support:
        return
    looked_at = runtime_of(runtime, board).look_is_built
    if looked_at and _builder(project, options).has_built(board, runtime, artifact):
        return
    refuse_unrunnable(artifact, board, runtime)


def _refuse_faults(board: Board, place: str | None) -> None:
    if place is not None and place.startswith(VIRTUAL_SCHEME) and board.attachment != "virtual":
        raise WrongUse(
            "only the virtual board can inject faults, or be at such a port",
            where=Where(board=board.id, port=place),
            hint="Take --board virtual, or a port of this board.",
        )


def _refuse_uncounted(board: Board, options: RigOptions) -> None:
    if options.functions and not options.counts_functions(board):
        raise WrongUse(
            "instructions of functions are counted by QEMU only, which this board is not",
            where=Where(board=board.id, port=options.place),
            hint="Take an emulated board, such as --board qemu-m4, and no port.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A board that is to be opened, what is to run on it, and what HELLO must show.

    `swap` is what its firmware has for models that are brought, of which `errand` is one.
    """

    board: Board
    artifact: Artifact
    firmware: Firmware | None
    swap: SwapPlan | None
    errand: Errand | None
    expected: Expected
    where: Where
    options: RigOptions
    held: Held | None = None


def _build(
    board: Board,
    artifact: Artifact,
    project: Project,
    options: RigOptions,
    swap: SwapPlan | None,
) -> Firmware:
    builder, runtime = _builder(project, options), board.runtime(options.runtime)
    if swap is not None:
        try:
            return builder.build_for_all(board, runtime, swap)
        except ModelError as error:
            options.swaps.give_up(board, runtime, error)
    return builder.build(board, runtime, artifact)


def _builder(project: Project, options: RigOptions) -> Builder:
    return Builder(
        project,
        tflm=options.tflm,
        arena_bytes=options.arena_bytes,
        check_support=options.check_support,
        progress=options.progress,
        profile=options.profile,
        marking=options.marking,
    )


def _attached(
    wanted: _Wanted, project: Project, bench: Bench, upload: Uploader | None
) -> AbstractContextManager[Ready]:
    """Finds or starts the board: plugged in, at a port that was named, an emulator, or virtual."""
    options = wanted.options
    port = wanted.held.url if wanted.held else options.place or ""
    if wanted.board.attachment in ("serial", "url"):
        uploader = upload or uploader_for(wanted.board, project)
        real = _real(wanted.board, wanted, project, bench, uploader)
        return _plugged_in(real, wanted, project.state)
    if wanted.held is not None or not options.starts(wanted.board):
        return _at_port(port, wanted)
    if wanted.board.emulator is not None:
        return _emulated(wanted, project)
    if wanted.board.takes_uploads and options.flash == "always":
        return _simulated_and_flashed(
            wanted, project, upload or uploader_for(wanted.board, project)
        )
    return _virtual(port, wanted) if wanted.board.simulator is None else _simulated(wanted)


@contextmanager
def _emulated(wanted: _Wanted, project: Project) -> Iterator[Ready]:
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
def _simulated(wanted: _Wanted) -> Iterator[Ready]:
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


def _told_pins(wanted: _Wanted) -> Marking | None:
    """The pin whose edges a simulated chip is to tell; None for a chip that tells none."""
    simulator = wanted.board.simulator
    assert simulator is not None, "its attachment is `sim`"
    return wanted.options.marking if simulator.tells_pins else None


@contextmanager
def _simulated_and_flashed(wanted: _Wanted, project: Project, upload: Uploader) -> Iterator[Ready]:
    """A simulated board that is found, touched and uploaded to as the real one is."""
    board, firmware = wanted.board, wanted.firmware
    assert board.simulator is not None and firmware is not None, "its attachment is `sim`"
    assert board.runs is not None, "its attachment is `sim`"
    real = load_registry()[board.runs]
    touched = replace(
        board, usb=real.usb, bootloader_usb=real.bootloader_usb, touch_baud=real.touch_baud
    )
    with sim_bench(board.simulator, firmware.elf, where=wanted.where) as bench:
        with _plugged_in(_real(touched, wanted, project, bench, upload), wanted) as ready:
            yield ready


def _real(
    board: Board, wanted: _Wanted, project: Project, bench: Bench, upload: Uploader
) -> RealBoard:
    return real_board(
        board,
        wanted.options,
        project,
        where=wanted.where,
        held=wanted.held,
        bench=bench,
        upload=upload,
        errand=wanted.errand,
    )


def real_board(
    board: Board,
    options: RigOptions,
    project: Project,
    *,
    where: Where,
    held: Held | None = None,
    bench: Bench = THIS_MACHINE,
    upload: Uploader | None = None,
    errand: Errand | None = None,
) -> RealBoard:
    """A real board as options say it is plugged in; nothing is opened yet.

    Args:
        held: its place in a pool, if it is a board of one.
        errand: the model to bring to it, where its firmware takes one over the link.
    """
    return RealBoard(
        board,
        port=options.port,
        held=held,
        plugged=options.plugged,
        neighbours=options.neighbours,
        where=where,
        bench=bench,
        upload=upload or uploader_for(board, project),
        lock_timeout_s=options.lock_timeout_s,
        progress=options.progress,
        sockets=project.state / "sockets",
        line=options.line_to(board),
        errand=errand,
    )


@contextmanager
def _virtual(port: str, wanted: _Wanted) -> Iterator[Ready]:
    """A virtual board in a process of its own, with the faults that `port` asks for."""
    faults = parse_faults(port.removeprefix(VIRTUAL_SCHEME))
    where = replace(wanted.where, port=port or VIRTUAL_SCHEME)
    own = wanted.artifact if wanted.swap is None else wanted.swap.own
    with VirtualProcess(own, faults, where=where, swap=wanted.swap) as process:
        with _greeted(process.stream, process.reopen, wanted, where, clock=process.clock) as ready:
            yield replace(ready, fresh=True)


@contextmanager
def _at_port(port: str, wanted: _Wanted) -> Iterator[Ready]:
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
    wanted: _Wanted,
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


@contextmanager
def _plugged_in(real: RealBoard, wanted: _Wanted, state: Path | None = None) -> Iterator[Ready]:
    """A real board, flashed before if the policy (auto, always or never) asks for it.

    Args:
        state: where to remember what it was flashed with.

    Raises:
        StaleFirmware: it runs other firmware, although it was flashed or must not be.
        BoardSilent: it does not answer, whatever was tried.
        BoardStatus: the firmware expected is on it, but its setup failed.
        ModelRefused: the same, because of the model.
        RigError: it was not found, opened or flashed.
    """
    ready = _flash_if_needed(real, wanted)
    if state is not None and ready.flash is not None:
        note_flashed(state, real.board.id, wanted.expected.runtime, wanted.swap)
    with closing(ready.dut.link):
        yield replace(ready, escalations=real.steps + ready.escalations)


def _flash_if_needed(real: RealBoard, wanted: _Wanted) -> Ready:
    policy, firmware = wanted.options.flash, wanted.firmware
    flash_it = f"hil flash --board {real.board.id}"
    if policy == "never":
        with _advice(f"Allow uploads, or run: {flash_it}"):
            return _as_it_is(real, wanted)
    if policy == "auto" and not real.takes_uploads:
        with _advice(
            "Nothing is uploaded through a URL, unless the rig file's `upload` says how. At the "
            f"board's own machine: {flash_it}"
        ):
            return _as_it_is(real, wanted)
    if policy == "auto" and (dut := _if_current(real, wanted)) is not None:
        return Ready(dut=dut, expected=wanted.expected, remedies=real.remedies)
    assert firmware is not None, "built for every real board"
    report = real.flash(firmware)
    with _advice(f"It was uploaded just now: is this board a {real.board.kind}?"):
        ready = _as_it_is(real, wanted, real.plugged.deadlines.port_s)
    return replace(ready, flash=report, fresh=True)


@contextmanager
def _advice(cure: str) -> Iterator[None]:
    """Puts into a StaleFirmware error what to do about it."""
    try:
        yield
    except StaleFirmware as error:
        error.hint = cure
        raise


def _if_current(real: RealBoard, wanted: _Wanted) -> Dut | None:
    """The board greeted, if it runs the firmware expected; None where an upload may help."""
    if real.in_bootloader:
        return None
    with ExitStack() as stack:
        dut = real.connect(wanted.options.patience)
        stack.callback(dut.link.close)
        try:
            dut.greet(PROBE)
            wanted.expected.check(dut.hello, real.where)
        except (*SILENT, StaleFirmware):
            return None
        except (BoardStatus, ModelRefused):
            if _runs(dut, wanted.expected):
                raise
            return None
        stack.pop_all()
        return dut


def _runs(dut: Dut, expected: Expected) -> bool:
    """Whether the board's last HELLO named the build expected, even if its setup failed."""
    try:
        return dut.hello.build_id.hex() == expected.build_id
    except ProtocolError:
        return False


def _as_it_is(real: RealBoard, wanted: _Wanted, patience_s: float = 0.0) -> Ready:
    """The board greeted without an upload; its port may be absent for `patience_s`."""
    if real.in_bootloader:
        raise StaleFirmware(
            where=real.where,
            field="build id",
            expected=wanted.expected.build_id,
            actual="none (it is in its bootloader)",
        )
    with ExitStack() as stack:
        dut = real.connect(wanted.options.patience, patience_s)
        stack.callback(dut.link.close)
        ready = greet(dut, wanted.expected, real.remedies, patience=PROBE, silent=SILENT)
        stack.pop_all()
        return ready
