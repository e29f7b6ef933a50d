"""The runtime `tflm`, TFLite Micro's interpreter; and the same on the host, for `virtual`."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

from harness.board.registry import Board
from harness.errors import MissingKernel, RigError, ToolMissing
from harness.firmware import tflm
from harness.firmware.arena import ArenaPlan, plan_arena
from harness.firmware.failure import too_large
from harness.firmware.platformio import Job
from harness.firmware.runtime import Given, Look, Question, Runtime
from harness.firmware.support import doubt_of, refuse_unsupported, shortage
from harness.firmware.t32 import has_mve
from harness.firmware.tflm_library import Library, find_library, library_for
from harness.firmware.toolchain import RISCV
from harness.model.graph import Step


def _look(question: Question) -> Look:
    artifact, board = question.artifact, question.board
    tflm.distinct_operators(artifact)
    if board is None:
        return Look(note=doubt_of(artifact, ()))
    cannot = question.limits_of(board)
    refuse_unsupported(artifact, board, cannot)
    planned = plan_arena(artifact, question.answer, helium=has_mve(board.core))
    arena_bytes = planned.size_bytes
    lacking = shortage(board, model_bytes=len(artifact.content), arena_bytes=arena_bytes)
    tight = f"Beside a firmware of usual size it may not fit: {lacking}. The build will tell."
    doubts = (doubt_of(artifact, cannot), tight if lacking else "")
    return Look(
        note=" ".join(filter(None, doubts)),
        flash_bytes=len(artifact.content),
        ram_bytes=arena_bytes,
    )


def _plan(job: Job, given: Given) -> Job:
    artifact, board = job.artifact, job.board
    helium = has_mve(board.core)
    library = replace(_library(job, given), plain=needs_plain_kernels(board), helium=helium)
    if given.check_support:
        refuse_unsupported(artifact, board, library.cannot)
    missing = library.missing_kernels(job.operators)
    if missing:
        raise MissingKernel(where=job.where, operators=missing, library=str(library))
    refused = too_large(board, job.where, flash_bytes=len(artifact.content), ram_bytes=0)
    if refused:
        raise refused
    if job.swap is not None:
        arena = job.swap.arena
    elif given.arena_bytes is None:
        arena = plan_arena(artifact, helium=helium)
    else:
        arena = ArenaPlan(size_bytes=given.arena_bytes, source="as asked for")
    texts = (
        *(inspect.getsource(tflm), f"{library} {library.digest}", f"arena {arena.size_bytes}"),
        *library.kernel_defines,
        *((job.swap.identity,) if job.swap else ()),
    )
    return replace(job, library=library, arena=arena, identity=texts)


def needs_plain_kernels(board: Board) -> bool:
    """Whether CMSIS-NN is not for it: a RISC-V."""
    return board.toolchain == RISCV.prefix or (board.core or "").startswith("rv")


def _library(job: Job, given: Given) -> Library:
    """The library that the board's environment pins, or that of a folder.

    Raises:
        RigError: as `library_for`; or the folder holds no source tree, which a board needs that is
            built by its own command.
        ToolMissing: such a board, and no folder is named.
    """
    if job.board.build is None:
        return library_for(given.project, job.env, given.tflm)
    if given.tflm is None:
        raise ToolMissing(
            "a source tree of TFLite Micro",
            needed_for=f"runtime {job.runtime} on {job.board.id}",
            install="name one that upstream's scripts made (docs/tflm.md): --tflm DIR, or HIL_TFLM",
        )
    found = find_library(given.tflm, given.project.state / "libraries")
    if not found.wrapped:
        raise RigError(
            f"{found} is packed for PlatformIO, and the board's own command builds its firmware",
            where=job.where,
            hint="Name a source tree that upstream's scripts made: docs/tflm.md",
        )
    return found


def _generate(job: Job, identity: str, folder: Path) -> tuple[Step, ...]:
    assert job.library is not None and job.arena is not None, "the job is planned"
    return tflm.generate_tflm(
        job.artifact,
        arena_bytes=job.arena.size_bytes,
        version=str(job.library),
        build_id=identity,
        folder=folder,
        profile=job.profile,
        swap=job.swap,
    )


TFLM_RUNTIME = Runtime(
    description="TFLite Micro's interpreter over the model's bytes",
    version="of the library that the firmware is built with",
    look=_look,
    generate=_generate,
    sources=("tflm.cpp", "tflm_log.cpp", "tflm_swap.cpp"),
    plan=_plan,
    profiled=True,
    swaps=True,
)


def _look_on_host(question: Question) -> Look:
    return Look()  # The host's own TFLM has been asked already.


def _nothing(job: Job, identity: str, folder: Path) -> tuple[Step, ...]:
    raise AssertionError("the virtual board has no firmware")


HOST_RUNTIME = Runtime(
    description="TFLite Micro on the host, behind the virtual board",
    version="of the wheel tflite-micro",
    look=_look_on_host,
    generate=_nothing,
    sources=(),
    swaps=True,
)
