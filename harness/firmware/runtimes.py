"""The runtimes by id: the harness's own, and those of distributions, loaded where they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.board.packages import MOST_SAID, leave_out
from harness.board.runtimes import AOT, TFLM, added_runtime, added_runtimes, fault_of
from harness.errors import ModelError, RigError, WrongUse
from harness.firmware.added import load_runtime
from harness.firmware.platformio import Job
from harness.firmware.runtime import Question, Runtime
from harness.model.graph import read_graph
from harness.text import printable

if TYPE_CHECKING:
    from harness.board.registry import Board

VIRTUAL = "virtual"
"""TFLM on the host, as the virtual board runs it."""


def runtime_of(runtime: str, board: Board | None = None) -> Runtime:
    """The runtime of an id, on a board if one is named.

    Raises:
        RigError: it is a distribution's, and cannot be loaded.
        WrongUse: it does not run on the board.
    """
    if runtime == VIRTUAL or (board is not None and board.attachment == VIRTUAL):
        from harness.firmware.runtime_tflm import HOST_RUNTIME

        return HOST_RUNTIME
    if runtime == TFLM:
        from harness.firmware.runtime_tflm import TFLM_RUNTIME

        return TFLM_RUNTIME
    if runtime == AOT:
        from harness.firmware.runtime_aot import AOT_RUNTIME

        return AOT_RUNTIME
    found = load_runtime(added_runtime(runtime))
    refused = found.refuses(board) if board is not None else ""
    if board is not None and refused:
        raise WrongUse(
            f"runtime {runtime} does not run on {board.id}: {printable(refused, MOST_SAID)}",
            hint=f"It has {', '.join(board.runtimes)}.",
        )
    return found


def refuse_early(job: Job) -> None:
    """Raise ModelError for what `generate` would refuse, before a folder is made or locked."""
    runtime = runtime_of(job.runtime, job.board)
    if not runtime.look_is_built:
        return
    graph = read_graph(job.artifact.content, name=job.artifact.name)
    try:
        runtime.look(Question(artifact=job.artifact, graph=graph, board=job.board))
    except ModelError as error:
        error.where = job.where
        raise


def takes(runtime: Runtime, board: Board) -> bool:
    """Whether a runtime of a distribution runs on a board that firmware is built for."""
    return board.takes_firmware and not runtime.refuses(board)


def usable_runtimes() -> dict[str, Runtime]:
    """The runtimes of distributions by id. One that cannot be used is said, and left out."""
    found, everything = {}, added_runtimes()
    for added in everything:
        fault = fault_of(added, everything)
        try:
            if not fault:
                found[added.id] = load_runtime(added)
        except RigError as error:
            fault = error.what.removeprefix(f"{added} ")
        if fault:
            leave_out(f"{added} is", fault)
    return found
