"""`hil profile`: where an inference spends its time, and where it first goes wrong."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.machine import print_json
from harness.cli.work import Work
from harness.errors import HilError, RigError
from harness.files import write_atomic
from harness.measure.compare import Culprit
from harness.measure.findings import functions_text
from harness.measure.first_difference import FirstDifference
from harness.measure.profile import profile_table
from harness.model.alone import operator_alone
from harness.outcome import Outcome
from harness.rig.alone import OperatorAlone, compare_alone
from harness.rig.functions import count_functions
from harness.rig.opened import OpenBoard
from harness.rig.profiling import first_difference, profile_board, sample_of
from harness.terminal import say
from harness.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

Alone = Callable[[int, "NDArray[Any] | None"], OperatorAlone]


def show_profile(
    opened: OpenBoard,
    *,
    n: int,
    difference: bool,
    as_json: bool = False,
    alone: Alone | None = None,
) -> int:
    """Print a board's profile, and with `difference` the first operator that differs.

    Args:
        opened: with RigOptions(profile=True).
        alone: runs an operator that differs alone on the board, with the input that showed it too.

    Returns:
        Exit status: an operator that differs is a wrong number.
    """
    profile = profile_board(opened, n=n)
    if not as_json:
        print(_about(opened))
        print(profile_table(profile))
    if opened.declared.emulated:
        say("emulated board: instructions, not time on silicon")
    found = first_difference(opened) if difference else None
    by_itself, why = _by_itself(opened, found, alone)
    if as_json:
        content: dict[str, Any] = {"profile": profile}
        if difference:
            content["first_difference"] = found
            content["operator_alone"] = by_itself
        print_json("profile", what_is_measured(opened) | content)
    elif difference:
        print(found or "every operator's output equals that of TFLM on the host")
        if by_itself or why:
            print(by_itself or f"alone it was not run: {why}")
    return (Outcome.PASSED if found is None else Outcome.WRONG).exit_status


def _by_itself(
    opened: OpenBoard, found: FirstDifference | None, alone: Alone | None
) -> tuple[OperatorAlone | None, str]:
    """The operator that differs alone, or why it could not be run."""
    if found is None or alone is None:
        return None, ""
    try:
        return alone(found.index, sample_of(opened, found)), ""
    except HilError as error:
        return None, printable(error.what)


def run_alone(
    work: Work, place: Path | None, index: int, sample: NDArray[Any] | None = None
) -> OperatorAlone:
    """One operator of a model alone on the board; its file is kept if somebody wants it.

    Raises:
        RigError: the file cannot be written, or the board is a real one, where it would have to be
            uploaded while that is open.
        ToolMissing, ModelError: as `operator_alone` and `compare_alone`.
    """
    if place is not None:
        alone = operator_alone(work.artifact.content, index, name=work.artifact.name)
        try:
            write_atomic(place, alone.content)
        except OSError as error:
            raise RigError(f"cannot write {printable(str(place))}: {error.strerror}") from error
        say(f"operator {index} alone: {printable(str(place))}")
    if not work.options.starts(work.board):
        raise RigError(f"{work.board.id} is no emulated board")
    return compare_alone(work.board, work.artifact, work.project, work.options, index, sample)


def say_how_to_attribute(work: Work, opened: OpenBoard) -> None:
    """Say by which command the operator is found that a wrong output comes from."""
    compared = opened.comparison()
    if opened.attribute and compared.culprit is Culprit.KERNEL and not compared.attribution:
        artifact = work.artifact
        named = artifact.name if artifact.goldens else str(artifact.path)
        words = ("--board", work.board.id, "--runtime", work.runtime, "--model", named)
        tflm = ("--tflm", str(work.options.tflm)) if work.options.tflm else ()
        told = printable(shlex.join((*words, *tflm)))
        say(f"which operator: hil profile {told} --first-difference")


def what_is_measured(opened: OpenBoard) -> dict[str, Any]:
    """Board, runtime and model of an open board, for programs."""
    hello = opened.dut.hello
    return {
        "board": opened.declared.id,
        "emulated": opened.declared.emulated,
        "runtime": hello.runtime,
        "runtime_version": hello.runtime_version,
        "model": opened.artifact.name,
        "build_id": hello.build_id.hex(),
    }


def _about(opened: OpenBoard) -> str:
    hello = opened.dut.hello
    return (
        f"{opened.artifact.name} on {opened.declared.id}: {hello.runtime}, {hello.runtime_version}"
    )


def show_functions(opened: OpenBoard, *, as_json: bool) -> int:
    """Print what each function took in one invoke.

    Args:
        opened: with RigOptions(functions=True).
    """
    found = count_functions(opened)
    if as_json:
        counted = {"functions": found.functions, "calls": found.calls}
        print_json("profile", what_is_measured(opened) | counted)
        return Outcome.PASSED.exit_status
    print(_about(opened))
    print(functions_text(found.functions, found.calls))
    say("emulated board: instructions, not time on silicon")
    return Outcome.PASSED.exit_status
