"""Which operator a difference comes from: the first that differs, and the same alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.board.registry import Board
from harness.errors import HilError
from harness.measure.compare import Comparison, Culprit, Verdict
from harness.measure.first_difference import FirstDifference
from harness.model.artifact import Artifact
from harness.project import Project
from harness.rig.alone import OperatorAlone, compare_alone
from harness.rig.open import RigOptions, open_board
from harness.rig.profiling import first_difference, sample_of
from harness.text import printable
from harness.tolerance import Stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """The first operator that differs; `alone` is what it does by itself, None if it was not run:
    it is not asked for, or `why` says what prevents it."""

    first: FirstDifference
    alone: OperatorAlone | None = None
    why: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of the operators that the board's step stands for."""
        return tuple(self.first.kind.split("+"))

    def __str__(self) -> str:
        alone = f"alone it was not run: {self.why}" if self.why else ""
        return "\n".join(filter(None, (str(self.first), str(self.alone or alone))))


def attribute_difference(
    board: Board,
    artifact: Artifact,
    project: Project,
    options: RigOptions,
    *,
    allowed: frozenset[str] = frozenset(),
) -> Attribution | None:
    """Build an emulated board's firmware with every step's output, and look which differs first.

    Args:
        allowed: kinds of operators that may differ. One of them is not built and run alone: that
            it is the first says enough.

    Returns:
        None where every operator's output equals the golden's in that firmware.

    Raises:
        HilError: as `open_board` and `first_difference`.
    """
    # Not --timed: what counts here are bytes.
    watched = replace(options, profile=True, timed=False, functions=False)
    with open_board(board, artifact, project, watched) as opened:
        opened.stated = Stated()  # What is allowed is what is looked for.
        first = first_difference(opened)
        sample = sample_of(opened, first)
    if first is None:
        return None
    found = Attribution(first=first)
    if allowed & {*found.kinds}:
        return found
    try:
        alone = compare_alone(board, artifact, project, options, first.index, sample)
        return replace(found, alone=alone)
    except HilError as error:
        return replace(found, why=printable(error.what))


def attributed(
    compared: Comparison,
    stated: Stated,
    board: Board,
    artifact: Artifact,
    project: Project,
    options: RigOptions,
) -> Comparison:
    """A comparison that says which operator differs, and holds what is stated of operators.

    A tolerance that names operators is for differences of these alone: where another one differs
    first, or none can be found, what was within it is a mismatch.
    """
    allowed = stated.operators if not compared.mismatches else frozenset[str]()
    try:
        found = attribute_difference(board, artifact, project, options, allowed=allowed)
        told = str(found or "every operator's output equals the golden's in firmware that shows it")
    except HilError as error:
        found, told = None, f"not attributed to an operator: {printable(error.what)}"
    result = replace(compared, attribution=told)
    if not stated.operators or (found and stated.operators & {*found.kinds}):
        return result
    return replace(
        result,
        mismatches=result.mismatches + result.within,
        within=0,
        verdict=Verdict.MISMATCH,
        culprit=Culprit.KERNEL if result.culprit is Culprit.NONE else result.culprit,
        attribution=f"{told}\nthe tolerance names {', '.join(sorted(stated.operators))} alone",
    )
