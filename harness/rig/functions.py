"""The functions of an invoke on an emulated board, as records of functions.csv and calls.csv."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from harness.board.registry import Board
from harness.errors import RigError
from harness.firmware.demangle import demangled
from harness.firmware.disassembly import disassembled, named_by
from harness.firmware.functions import CodeMap
from harness.firmware.owners import owner_of
from harness.measure.csvfile import append, beside
from harness.measure.functions import (
    Measured,
    NamedFunction,
    call_rows,
    function_costs,
    function_rows,
)
from harness.measure.tables import CallRow, FunctionRow, time_text
from harness.model.artifact import Artifact
from harness.model.samples import Batch
from harness.project import Project
from harness.rig.open import OpenBoard, RigOptions, open_board

MOST_APART = 32
"""Instructions that may lie between the readings of the board's counter besides the invoke: its
call, and what keeps its result. On the bare boards they are 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedInvoke:
    """One invoke: its functions, and the paths on which they were called."""

    functions: tuple[FunctionRow, ...]
    calls: tuple[CallRow, ...]


def count_functions(
    opened: OpenBoard, *, sample: Batch | None = None, run: str = "", now: datetime | None = None
) -> CountedInvoke:
    """Count one warm invoke, function by function.

    Args:
        opened: with RigOptions(functions=True).
        sample: one input, as `Dut.infer` takes it; the first check input if None.
        run: id of the measured run that the counts belong to.

    Raises:
        RigError: the counts are not those of the invoke that the board's counter saw.
    """
    chosen = opened.checks.inputs[:1] if sample is None else sample
    answered = opened.dut.infer(chosen)
    counts = opened.counter.read()
    ns = opened.declared.ns_per_instruction
    assert ns is not None, "an emulator counts"
    timed = int(opened.dut.timer.instructions(answered.ticks, ns)[-1])
    apart = timed - counts.instructions
    if not 0 <= apart <= MOST_APART:
        raise RigError(
            f"the functions of an invoke add up to {counts.instructions} instructions, and the "
            f"board's counter says {timed}: at most {MOST_APART} more were to be expected",
            where=opened.dut.link.where,
        )
    assert opened.firmware is not None, "an emulator runs one"
    counts = replace(counts, code=named_by(disassembled(opened.firmware.elf), counts.code))
    functions = _named(opened.counter.code)
    of = _measured(opened, run, timed, now or datetime.now(timezone.utc))
    return CountedInvoke(
        functions=function_rows(function_costs(counts, functions), of),
        calls=call_rows(counts, functions, of),
    )


def append_functions(
    board: Board, artifact: Artifact, project: Project, options: RigOptions, *, run: str, csv: Path
) -> CountedInvoke:
    """Open a board anew, count an invoke and append it to functions.csv and calls.csv.

    Args:
        options: of the run that was measured.
        run: its id.
        csv: latency.csv, which the others are beside.
    """
    with open_board(board, artifact, project, replace(options, functions=True)) as opened:
        found = count_functions(opened, run=run)
    append(beside(csv, "functions"), found.functions)
    append(beside(csv, "calls"), found.calls)
    return found


def _measured(opened: OpenBoard, run: str, timed: int, now: datetime) -> Measured:
    hello = opened.dut.hello
    return Measured(
        run=run,
        time_utc=time_text(now),
        board=opened.declared.id,
        runtime=hello.runtime,
        runtime_version=hello.runtime_version,
        model=opened.artifact.model,
        dtype=opened.artifact.dtype,
        model_sha256=opened.artifact.sha256,
        firmware_build=hello.build_id.hex(),
        timed=timed,
    )


def _named(code: CodeMap) -> tuple[NamedFunction, ...]:
    names = demangled([item.name for item in code.functions])
    return tuple(
        NamedFunction(
            name=name,
            symbol=item.name,
            owner=owner_of(item.name, file=item.file, is_function=True),
            address=item.address,
            end=item.end,
        )
        for name, item in zip(names, code.functions, strict=True)
    )
