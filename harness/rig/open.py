"""Opening a board: build, lock, start or find it, flash it if need be, and greet it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace

from harness.board.ports import THIS_MACHINE, Bench
from harness.board.registry import Board
from harness.errors import HilError, ModelError, SwapRefused, Where, WrongUse
from harness.firmware.build import Builder, Firmware
from harness.firmware.runtimes import runtime_of
from harness.firmware.swap import SwapPlan, brought
from harness.firmware.verdict import refuse_unrunnable
from harness.link.dut import Dut
from harness.link.link import attach_link_log
from harness.link.loading import Errand
from harness.measure.compare import Comparison
from harness.model.artifact import Artifact
from harness.project import Project, find_project
from harness.rig.attach import attached
from harness.rig.checks import checks_for
from harness.rig.far import explained
from harness.rig.flash import Uploader
from harness.rig.opened import Attribute, OpenBoard
from harness.rig.options import VIRTUAL_SCHEME, RigOptions
from harness.rig.ready import Expected, Ready
from harness.rig.virtual import virtual_build_id
from harness.rig.wanted import Wanted
from harness.tolerance import Stated

__all__ = ["OpenBoard", "RigOptions", "open_board"]

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
    board: Board,
    artifact: Artifact,
    project: Project,
    options: RigOptions = DEFAULT_OPTIONS,
    *,
    profiled: bool = False,
) -> None:
    """Build what `open_board` would, which finds it then: no board is held for a compiler.

    Of a board that no other run may want nothing is built. What goes wrong is said when it is
    opened.

    Args:
        profiled: what it is profiled with, too.
    """
    for each in (options, replace(options, profile=True)) if profiled else (options,):
        with suppress(HilError):
            if each.shared(board):
                look_at(board, artifact, project, each)
                _wanted(board, artifact, project, each)


def _attribution(
    board: Board, artifact: Artifact, project: Project, options: RigOptions
) -> Attribute:
    def attribute(compared: Comparison, stated: Stated) -> Comparison:
        from harness.rig.attribution import attributed  # It opens boards itself.

        return attributed(compared, stated, board, artifact, project, options)

    return attribute


def _wanted(board: Board, artifact: Artifact, project: Project, options: RigOptions) -> Wanted:
    """What is to be opened: the firmware built, and what HELLO must say."""
    runtime, firmware = board.runtime(options.runtime), None
    swap = options.swap_for(board, artifact)
    if board.attachment != "virtual":
        firmware = _build(board, artifact, project, options, swap)
        swap = firmware.swap
    own = artifact if swap is None else swap.own
    made_of = own.sha256 if swap is None else f"{own.sha256} {swap.identity}"
    build_id = firmware.build_id if firmware else virtual_build_id(made_of)
    return Wanted(
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
    wanted: Wanted, project: Project, bench: Bench, upload: Uploader | None
) -> Iterator[tuple[Wanted, Ready]]:
    """The board attached; with firmware of its own for a model that it does not take."""
    with ExitStack() as stack:
        try:
            ready = stack.enter_context(attached(wanted, project, bench, upload))
        except SwapRefused as error:
            board, artifact, options = wanted.board, wanted.artifact, wanted.options
            options.swaps.give_up(board, wanted.expected.runtime, error, artifact)
            wanted = replace(_wanted(board, artifact, project, options), held=wanted.held)
            ready = stack.enter_context(attached(wanted, project, bench, upload))
        yield wanted, ready


def _refuse_lost_state(wanted: Wanted, dut: Dut) -> None:
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
