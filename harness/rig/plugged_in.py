"""A real board: found, flashed if the policy asks for it, and greeted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from harness.board.ports import THIS_MACHINE, Bench
from harness.board.registry import Board
from harness.errors import BoardStatus, ModelRefused, ProtocolError, StaleFirmware, Where
from harness.link.dut import Dut
from harness.link.loading import Errand
from harness.pool.hold import Held
from harness.project import Project
from harness.rig.flash import Uploader
from harness.rig.flashed import note_flashed
from harness.rig.options import RigOptions
from harness.rig.ready import Expected, Ready, greet
from harness.rig.real import RealBoard
from harness.rig.recovery import PROBE, SILENT
from harness.rig.upload import uploader_for
from harness.rig.wanted import Wanted


def real_of(
    board: Board, wanted: Wanted, project: Project, bench: Bench, upload: Uploader | None
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
def plugged_in(real: RealBoard, wanted: Wanted, state: Path | None = None) -> Iterator[Ready]:
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


def _flash_if_needed(real: RealBoard, wanted: Wanted) -> Ready:
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


def _if_current(real: RealBoard, wanted: Wanted) -> Dut | None:
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


def _as_it_is(real: RealBoard, wanted: Wanted, patience_s: float = 0.0) -> Ready:
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
