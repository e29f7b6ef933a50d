"""One operator of a model alone on a board, on what the golden gives it within the model."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.board.registry import Board
from harness.firmware import host
from harness.measure.apart import tolerances
from harness.measure.compare import difference
from harness.model.alone import Alone, operator_alone
from harness.model.artifact import Artifact
from harness.model.goldens import Reading
from harness.model.graph import Operator, read_operators
from harness.model.resolve import inspect_model
from harness.model.samples import Layout
from harness.project import Project
from harness.rig.checks import affordable, checks_for, run_batch
from harness.rig.open import RigOptions, open_board
from harness.text import printable
from harness.tolerance import Stated

MOST_SAMPLES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAlone:
    """How far one operator, alone on a board, is from the golden given the same inputs.

    `differing` of the `samples` differ beyond what floats usually may, integers at all; by
    `max_abs` at most, in LSB for integers. `kernels` are the firmware's own words.
    """

    board: str
    runtime: str
    kernels: str
    operator: Operator
    samples: int
    differing: int
    max_abs: float
    golden: str

    def __str__(self) -> str:
        unit = "" if self.operator.dtype == "float32" else " LSB"
        kernels = f", {self.kernels}" if self.kernels else ""
        most = f", by up to {self.max_abs:g}{unit}" if self.differing else ""
        return (
            f"{self.operator} alone on {self.board} ({self.runtime}{kernels}), given what the "
            f"golden gives it: {self.differing} of {self.samples} outputs differ from "
            f"{self.golden}{most}"
        )


def compare_alone(
    board: Board,
    artifact: Artifact,
    project: Project,
    options: RigOptions,
    index: int,
    sample: NDArray[Any] | None = None,
) -> OperatorAlone:
    """Build and run an operator alone, for as many of a model's check inputs as are `affordable`.

    Args:
        options: of the run that showed a difference.
        index: of the model's operators.
        sample: a check input that showed a difference, as a batch of one: it is the first.

    Raises:
        ToolMissing, ModelError: as `operator_alone`; and as `open_board`.
    """
    operator = read_operators(artifact)[index]
    alone = operator_alone(artifact.content, index, name=artifact.name)
    with tempfile.TemporaryDirectory(prefix="hil-alone-") as folder:
        path = Path(folder, f"{artifact.model}-operator-{index}.tflite")
        path.write_bytes(alone.content)
        model = inspect_model(path)
    takes, gives = Layout(specs=tuple(model.inputs)), Layout(specs=tuple(model.outputs))
    first = checks_for(artifact).inputs[: affordable(artifact, MOST_SAMPLES)]
    given = _given(artifact, alone, takes, _with(first, sample))
    with closing(host.tflm(alone.content, name=model.name)) as reference:
        golden = run_batch(reference, given, takes, gives).reading
    plain = replace(options, profile=False, timed=False, functions=False, check_support=False)
    with open_board(board, model, project, plain) as opened:
        answered = opened.dut.infer(given).samples
        hello = opened.dut.hello
    allowed = tolerances(Stated(), gives)
    apart = difference(Reading(source=board.id, outputs=answered), golden, allowed)
    return OperatorAlone(
        board=board.id,
        runtime=hello.runtime,
        kernels=printable(hello.kernels),
        operator=operator,
        samples=len(given),
        differing=apart.mismatches,
        max_abs=apart.max_abs_lsb,
        golden=golden.source,
    )


def _with(inputs: NDArray[Any], sample: NDArray[Any] | None) -> NDArray[Any]:
    """The inputs, behind a sample that is not to be missed."""
    if sample is None:
        return inputs
    same = np.array([np.array_equal(each, sample[0]) for each in inputs])
    return np.concatenate([sample, inputs[~same]])


def _given(artifact: Artifact, alone: Alone, takes: Layout, inputs: NDArray[Any]) -> NDArray[Any]:
    """What the operator takes in the golden's run of each input."""
    whole = Layout(specs=tuple(artifact.inputs))
    reference = host.tflm(artifact.content, name=artifact.name, keep_tensors=True)
    with closing(reference):
        samples = []
        for index in range(len(inputs)):
            reference.reset()
            reference.run_all(whole.tensors(inputs, index))
            samples.append(takes.sample([reference.tensor(number) for number in alone.inputs]))
    return np.concatenate(samples)
