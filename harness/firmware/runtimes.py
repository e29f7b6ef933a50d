"""The runtimes by id: the harness's own, and those of distributions, loaded where they are used."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.board.packages import MOST_SAID, leave_out
from harness.board.runtimes import (
    AOT,
    TFLM,
    AddedRuntime,
    added_runtime,
    added_runtimes,
    fault_of,
)
from harness.errors import ModelError, RigError, WrongUse
from harness.files import tree_digest
from harness.firmware.platformio import Job
from harness.firmware.runtime import Given, Look, Question, Runtime
from harness.model.graph import Step, read_graph
from harness.names import NAME_RULE, is_name
from harness.text import printable

if TYPE_CHECKING:
    from harness.board.registry import Board

VIRTUAL = "virtual"
"""TFLM on the host, as the virtual board runs it."""
MOST_STEPS = 10_000
_NO_BUILD = "00" * 16
Made = TypeVar("Made")


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


def load_runtime(added: AddedRuntime) -> Runtime:
    """Import a distribution's runtime. What it raises later is said to be the distribution's too.

    Raises:
        RigError: it cannot be imported, or is no `Runtime`.
    """
    with _blamed(added, "cannot be loaded"):
        found = added.point.load()
    if not isinstance(found, Runtime):
        raise RigError(
            f"{added}: {printable(added.point.value, MOST_SAID)} must be a harness.Runtime, "
            f"not {type(found).__name__}"
        )
    generate = _generating(added, found.generate)
    return replace(
        found,
        description=printable(found.description, MOST_SAID),
        version=printable(found.version, MOST_SAID),
        look=_checked(added, "look", found.look, Look),
        refuses=_checked(added, "refuses", found.refuses, str),
        plan=_planning(added, found, generate),
        generate=generate,
    )


@contextmanager
def _blamed(added: AddedRuntime, what: str) -> Iterator[None]:
    """Whatever a stranger's module raises becomes an error that names its distribution.

    `sys.exit` included. A ModelError is for the user already.
    """
    try:
        yield
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        said = error.what if isinstance(error, RigError) else f"{type(error).__name__}: {error}"
        reason = printable(said, MOST_SAID)
        raise RigError(
            f"{added} {what}: {reason}",
            hint=f"Its version is {added.version}: install another one, or take another runtime.",
        ) from error


def _checked(
    added: AddedRuntime, name: str, function: Callable[..., Made], kind: type[object]
) -> Callable[..., Made]:
    @wraps(function)
    def call(*given: Any) -> Made:
        with _blamed(added, f"failed in {name}"):
            made = function(*given)
        if not isinstance(made, kind):
            shown = printable(repr(made), 60)
            raise RigError(f"{added}: {name} must return {kind.__name__}, not {shown}")
        return made

    return call


def _planning(
    added: AddedRuntime, found: Runtime, generate: Callable[[Job, str, Path], tuple[Step, ...]]
) -> Callable[[Job, Given], Job]:
    """The plan, whose identity is what is generated where the runtime does not say one."""
    checked: Callable[..., Job] = _checked(added, "plan", found.plan, Job)

    def plan(job: Job, given: Given) -> Job:
        planned = checked(job, given)
        if planned.identity:
            return planned
        with tempfile.TemporaryDirectory(prefix="hil-") as folder:
            generate(planned, _NO_BUILD, Path(folder))
            texts = (repr(found.sources), found.version, tree_digest(Path(folder)))
        return replace(planned, identity=texts)

    return plan


def _generating(
    added: AddedRuntime, function: Callable[[Job, str, Path], tuple[Step, ...]]
) -> Callable[[Job, str, Path], tuple[Step, ...]]:
    checked: Callable[..., tuple[Step, ...]] = _checked(added, "generate", function, tuple)

    def call(job: Job, identity: str, folder: Path) -> tuple[Step, ...]:
        steps = checked(job, identity, folder)
        if not all(isinstance(step, Step) for step in steps) or len(steps) > MOST_STEPS:
            raise RigError(f"{added}: generate must return at most {MOST_STEPS} harness.Step")
        for path in folder.rglob("*"):
            # Makefiles, CMake and a shell of SCons read them.
            if not is_name(path.name):
                raise RigError(f"{added} wrote a file {path.name!r}: a name must be {NAME_RULE}")
        return steps

    return call
