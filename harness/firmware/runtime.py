"""What a runtime is: all that the harness asks of one, its own and those of distributions.

A runtime looks at a model, and writes C++ that runs it behind the functions of `runtime.h`. See
`docs/boards.md` for one of your own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import RigError
from harness.model.graph import Step

if TYPE_CHECKING:
    from harness.board.registry import Board
    from harness.firmware.platformio import Job
    from harness.firmware.probe import Answer
    from harness.model.artifact import Artifact
    from harness.model.graph import Graph
    from harness.project import Project


def _no_limits(board: Board) -> tuple[str, ...]:
    return ()


def _any_board(board: Board) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A model to look at, before anything is built for it.

    `graph` is what is in `artifact.content`. `board` is None where none is named. `answer` is
    TFLM's on the host, None where there is no TFLM on this machine: a model that it does not run is
    refused before any runtime is asked. `limits_of` says what the TFLM library of a board computes
    wrongly.
    """

    artifact: Artifact
    graph: Graph
    board: Board | None = None
    answer: Answer | None = None
    limits_of: Callable[[Board], tuple[str, ...]] = field(default=_no_limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a runtime will do with a model.

    With a `reason` it cannot run it: a clause after "because", best one that begins with an
    operator as `str()` of the graph's has it; `hint` says what to do. `changes` are sentences on
    what it does otherwise than the file says, without another result. `note` is a doubt.
    `flash_bytes` and `ram_bytes` are the least that the model alone takes.
    """

    reason: str = ""
    hint: str = ""
    changes: tuple[str, ...] = ()
    note: str = ""
    flash_bytes: int = 0
    ram_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a run says of a build.

    `tflm` is a folder with TFLM's sources, `arena_bytes` a capacity for the arena in place of the
    one that the runtime plans. Without `check_support` a model is built that the runtime is known
    to compute wrongly.
    """

    project: Project
    tflm: Path | None = None
    arena_bytes: int | None = None
    check_support: bool = True


def _as_it_is(job: Job, given: Given) -> Job:
    return job


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What executes models on boards.

    Args:
        description: one line for people.
        version: name and version of what generates the code or of the interpreter.
        look: what it will do with a model; a ModelError says as much as a `reason`.
        generate: writes C and C++ into an empty folder, of a model on a board, with the build's id
            (16 bytes in hex), the same text for the same arguments. Returns the steps of an
            inference, in order, where the job is to be profiled; else none. `write_model` writes
            what is the same for every runtime.
        sources: the files of firmware/src/runtime that are compiled with it. `aot.cpp` is all of
            `runtime.h` but what `write_model` writes; with none the generated code defines all of
            it.
        refuses: why it does not run on a board, whatever the model; empty if it does.
        plan: fills in what a firmware is built with beside the model, as library and arena, and
            what its build id is of.
        profiled: whether it can measure the steps of an inference.
        swaps: whether models can be brought to its firmware over the link.
        look_is_built: its `look` says all that `generate` would refuse, so that a model that was
            built before needs no look: to find the build is faster.
    """

    description: str
    version: str
    look: Callable[[Question], Look]
    generate: Callable[[Job, str, Path], tuple[Step, ...]]
    sources: tuple[str, ...] = ("aot.cpp",)
    refuses: Callable[[Board], str] = field(default=_any_board)
    plan: Callable[[Job, Given], Job] = field(default=_as_it_is)
    profiled: bool = False
    swaps: bool = False
    look_is_built: bool = False

    def __post_init__(self) -> None:
        for name in ("description", "version"):
            if not isinstance(getattr(self, name), str):
                raise RigError(f"a runtime's {name} must be a string")
        for name in ("look", "generate", "refuses", "plan"):
            if not callable(getattr(self, name)):
                raise RigError(f"a runtime's {name} must be a function")
        if any(os.sep in name or not name.endswith(".cpp") for name in self.sources):
            raise RigError("a runtime's sources must be names of files in firmware/src/runtime")
