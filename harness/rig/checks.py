"""Inputs to compare a board on, fewer for slow models; and the same batch run on the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.firmware.host import HostInterpreter
from harness.measure.compare import Comparison
from harness.measure.tables import GOLDEN_INPUTS
from harness.model.artifact import Artifact
from harness.model.dataset import DataSet, sample_shape
from harness.model.goldens import Goldens, Reading
from harness.model.interpreters import Interpreter
from harness.model.legal import random_inputs
from harness.model.samples import Layout
from harness.model.targets import UNKNOWN, Targets
from harness.model.tensor import TensorSpec

COMPARED_S = 8.0


LEAST_COMPARED = 32


FOREIGN_SAMPLES = 256


MOST_DRAWN = 1 << 27
"""Bytes of random inputs: a foreign model may have inputs of many megabytes."""


FOREIGN_SEED = 20261121


MOST_OF_DATA = 2000
"""Of a user's data set, in the tests of the suite; an evaluation takes all."""


RANDOM_INPUTS = f"random, seed {FOREIGN_SEED}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checks:
    """Samples (k, ...) to compare a board on, as `Layout` has them, and what is known of them.

    `source` says where they are from, in the words of the CSV's column `check_inputs`.
    """

    inputs: NDArray[Any]
    goldens: Goldens | None
    source: str = ""
    targets: Targets = UNKNOWN

    @property
    def labels(self) -> NDArray[Any] | None:
        """Class numbers (k,), as the goldens or the user's data know them."""
        return self.goldens.labels if self.goldens else self.targets.labels

    @property
    def truth(self) -> NDArray[np.float32] | None:
        """What the outputs (k, ...) should be, in the model's unit."""
        return self.goldens.truth if self.goldens else self.targets.expected


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """A comparison and the outputs (k, ...) compared; those of the float model are real numbers."""

    result: Comparison
    board: Reading
    golden: Reading
    float_outputs: NDArray[Any] | None


SECONDS_PER_MAC = 1e-8


SECONDS_PER_BYTE = 2.5e-5


def affordable(
    artifact: Artifact, most: int, *, budget_s: float = 1.0, least: int = 4, sent: bool = True
) -> int:
    """How many invokes of a model to ask for, so that slow models do not hold up a test run.

    All of `most` where they take less than about `budget_s` on the emulated Cortex-M4, whose speed
    on a busy machine SECONDS_PER_MAC and SECONDS_PER_BYTE describe; else fewer, `least` at least.
    The emulated UART takes a context switch for every byte.

    Args:
        sent: input and output cross the link with each invoke.
    """
    specs = (*artifact.inputs, *artifact.outputs)
    transfer_s = SECONDS_PER_BYTE * sum(spec.size_bytes for spec in specs) if sent else 0.0
    each_s = SECONDS_PER_MAC * (artifact.macs or 0) + transfer_s
    return most if most * each_s <= budget_s else min(most, max(least, int(budget_s / each_s)))


def checks_for(artifact: Artifact) -> Checks:
    """The stored golden inputs; for a file without goldens, random inputs of a fixed seed.

    Of a slow model with large inputs only as many as are `affordable`.
    """
    if artifact.goldens is not None:
        stored = len(artifact.goldens.inputs)
        count = affordable(artifact, stored, budget_s=COMPARED_S, least=LEAST_COMPARED)
        goldens = artifact.goldens.first(count)
        return Checks(inputs=goldens.inputs, goldens=goldens, source=GOLDEN_INPUTS)
    count = affordable(artifact, FOREIGN_SAMPLES, budget_s=COMPARED_S, least=LEAST_COMPARED)
    sample_bytes = sum(spec.size_bytes for spec in artifact.inputs)
    count = max(1, min(count, MOST_DRAWN // max(1, sample_bytes)))
    drawn = random_inputs(artifact, count, FOREIGN_SEED)
    return Checks(inputs=drawn, goldens=None, source=RANDOM_INPUTS)


def checks_of(data: DataSet, artifact: Artifact) -> Checks:
    """Samples of a user's data set, spread evenly over it; as many as are `affordable`."""
    most = min(data.count, MOST_OF_DATA)
    count = affordable(artifact, most, budget_s=COMPARED_S, least=LEAST_COMPARED)
    chosen = np.arange(count) * data.count // count
    targets = data.targets.picked(chosen)
    if targets.expected is not None:
        shape = (count, *sample_shape(artifact.outputs[0]))
        targets = replace(targets, expected=targets.expected.reshape(shape))
    return Checks(
        inputs=data.picked(chosen.tolist()),
        goldens=None,
        source=f"{count} of {data.count} samples of {data.source}",
        targets=targets,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostRun:
    """Outputs (k, ...) of a batch on the host, and microseconds of each invoke (k,)."""

    source: str
    outputs: NDArray[Any]
    latency_us: NDArray[np.float64]

    @property
    def reading(self) -> Reading:
        """The outputs alone, to be compared."""
        return Reading(source=self.source, outputs=self.outputs)


def run_batch(
    interpreter: Interpreter,
    batch: NDArray[Any],
    spec: TensorSpec | Layout,
    outputs: Layout | None = None,
    clock: Callable[[], float] = time.perf_counter,
    *,
    keep_state: bool = False,
) -> HostRun:
    """Run every sample of a batch.

    Args:
        batch: k samples (k, ...) of `spec`, as `Layout` has them.
        outputs: the output tensors; None for a model with one, of whatever shape.
        keep_state: the batch is one sequence: what the model keeps is reset at its start, not
            before every sample.
    """
    layout = spec if isinstance(spec, Layout) else Layout(specs=(spec,))
    samples = [layout.tensors(batch, index) for index in range(len(batch))]
    if isinstance(interpreter, HostInterpreter):
        runs = interpreter.run_samples(samples, keep_state=keep_state)
    else:
        runs = _run_samples(interpreter, samples, clock, keep_state=keep_state)
    answers, times = [], []
    for answer, seconds in runs:
        times.append(seconds)
        answers.append(outputs.sample(answer) if outputs else _without_batch(answer[0]))
    return HostRun(
        source=interpreter.source,
        outputs=np.concatenate(answers),
        latency_us=np.array(times) * 1e6,
    )


def _run_samples(
    interpreter: Interpreter,
    samples: Sequence[Sequence[NDArray[Any]]],
    clock: Callable[[], float],
    *,
    keep_state: bool,
) -> Iterator[tuple[tuple[NDArray[Any], ...], float]]:
    """Outputs of each sample, and the seconds that its invoke took."""
    for index, tensors in enumerate(samples):
        if index == 0 or not keep_state:
            interpreter.reset()
        start = clock()
        answer = interpreter.run_all(tensors)
        yield answer, clock() - start


def _without_batch(output: NDArray[Any]) -> NDArray[Any]:
    """An output (1, ...) as a batch of one sample; one of another batch size in whole."""
    return output if output.shape[:1] == (1,) else output[np.newaxis]
