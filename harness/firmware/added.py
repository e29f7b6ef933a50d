"""The runtimes of distributions: loaded, bounded in time, and named in what goes wrong in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from harness.board.packages import MOST_SAID
from harness.board.runtimes import AddedRuntime
from harness.bounded import LOADING_S, bounded
from harness.errors import ModelError, RigError
from harness.firmware.generated import Generate, generated, generated_once
from harness.firmware.platformio import Job
from harness.firmware.runtime import Given, Look, Runtime
from harness.model.graph import Step
from harness.names import NAME_RULE, is_name
from harness.text import printable, reason_of

MOST_STEPS = 10_000

GENERATING_S = 600.0
"""To generate the code of one model, which a tuner of kernels may take minutes for."""

Made = TypeVar("Made")


def load_runtime(added: AddedRuntime) -> Runtime:
    """Import a distribution's runtime. What it raises later is said to be the distribution's too.

    Raises:
        RigError: it cannot be imported, or is no `Runtime`.
    """
    with _blamed(added, "cannot be loaded", LOADING_S):
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
        generate=generated_once(found.generate, generate),
    )


@contextmanager
def _blamed(added: AddedRuntime, what: str, most_s: float) -> Iterator[None]:
    """Whatever a stranger's module raises becomes an error that names its distribution.

    `sys.exit` included, and that it does not end within `most_s`. A ModelError is for the user
    already.
    """
    try:
        with bounded(most_s):
            yield
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {reason_of(error, MOST_SAID)}"
        reason = printable(error.what if isinstance(error, RigError) else said, MOST_SAID)
        raise RigError(
            f"{added} {what}: {reason}",
            hint=f"Its version is {added.version}: install another one, or take another runtime.",
        ) from error


def _checked(
    added: AddedRuntime,
    name: str,
    function: Callable[..., Made],
    kind: type[object],
    *,
    slow: bool = False,
) -> Callable[..., Made]:
    @wraps(function)
    def call(*given: Any) -> Made:
        with _blamed(added, f"failed in {name}", GENERATING_S if slow else LOADING_S):
            made = function(*given)
        if not isinstance(made, kind):
            shown = printable(repr(made), 60)
            raise RigError(f"{added}: {name} must return {kind.__name__}, not {shown}")
        return made

    return call


def _planning(added: AddedRuntime, found: Runtime, generate: Generate) -> Callable[..., Job]:
    """The plan, whose identity is what is generated where the runtime does not say one."""
    checked: Callable[..., Job] = _checked(added, "plan", found.plan, Job, slow=True)

    def plan(job: Job, given: Given) -> Job:
        planned = checked(job, given)
        if planned.identity:
            return planned
        made = generated(planned, found.generate, generate)
        return replace(planned, identity=(repr(found.sources), found.version, made.digest))

    return plan


def _generating(added: AddedRuntime, function: Generate) -> Generate:
    checked: Generate = _checked(added, "generate", function, tuple, slow=True)

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
