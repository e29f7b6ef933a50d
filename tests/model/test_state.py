from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.rewritten import rewritten
from fakes.stateful import SEVENS, ZERO_POINT, ZEROS, summing, summing_file, sums

from harness.firmware.host import HostInterpreters
from harness.model.artifact import Artifact, load_artifact
from harness.model.graph import read_graph
from harness.model.interpreters import Interpreter, LiteRtInterpreter, TflmInterpreter
from harness.model.resolve import resolve_model
from harness.model.state import stateful_operators
from harness.rig.checks import run_batch

SINE = load_artifact(Path(__file__).parents[2] / "models" / "artifacts" / "sine")
SEQUENCE = (ZERO_POINT + np.arange(12) % 5).astype(np.int8).reshape(3, 1, 4)


def test_operators_that_keep_state_are_named_once() -> None:
    kinds = ("SVDF", "CONV_2D", "CALL_ONCE", "SVDF", "SignalFramer", "SignalWindow")
    assert stateful_operators(kinds) == ("CALL_ONCE", "SVDF", "SignalFramer")


def test_file_with_a_variable_is_stateful_and_the_sine_is_not(tmp_path: Path) -> None:
    assert resolve_model(str(summing_file(tmp_path))).stateful
    assert not SINE.stateful and not resolve_model(str(SINE.path)).stateful
    graph = read_graph(SINE.content, name="sine")
    assert not graph.stateful
    assert (graph.variables, graph.initializers) == (0, ())


def test_variables_and_what_initializes_them_are_counted_over_all_subgraphs() -> None:
    graph = read_graph(summing(), name="summing")
    # VAR_HANDLE stands in both subgraphs, and names the same variable.
    assert (graph.variables, graph.initializers) == (1, (1,))
    kinds = ("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ADD", "ASSIGN_VARIABLE")
    assert graph.kinds == kinds


def test_variable_tensor_alone_makes_a_model_stateful() -> None:
    # As the cell state of an LSTM: a tensor that an operator both reads and writes.
    def change(_: object, model: Any) -> None:
        model.subgraphs[0].tensors[-1].isVariable = True

    graph = read_graph(rewritten(SINE.content, change), name="sine")
    assert graph.stateful and graph.variables == 0


def interpreters(content: bytes) -> list[Interpreter]:
    pytest.importorskip("tflite_micro")
    return [
        TflmInterpreter(content, name="summing"),
        TflmInterpreter(content, name="summing", keep_tensors=True),
        LiteRtInterpreter(content, name="summing", default_delegates=False),
        LiteRtInterpreter(content, name="summing", default_delegates=True),
    ]


# Neither TFLM's own reset nor LiteRT's restores what CALL_ONCE assigned.
@pytest.mark.parametrize("initial", [ZEROS, SEVENS])
def test_reset_interpreter_answers_as_at_first(initial: tuple[int, ...]) -> None:
    for interpreter in interpreters(summing(initial)):
        first = [interpreter.run(sample) for sample in SEQUENCE]
        assert np.array_equal(first, sums(SEQUENCE, initial))
        interpreter.reset()
        again = [interpreter.run(sample) for sample in SEQUENCE]
        assert np.array_equal(again, first), interpreter.source


def described(content: bytes, folder: Path) -> Artifact:
    return replace(resolve_model(str(summing_file(folder))), content=content)


def test_batch_is_independent_samples_or_one_sequence(tmp_path: Path) -> None:
    artifact = described(summing(SEVENS), tmp_path)
    golden = HostInterpreters(artifact).golden
    if golden is None:
        pytest.skip("no tflite-micro wheel here")
    spec = artifact.inputs[0]
    for _ in range(2):
        apart = run_batch(golden, SEQUENCE, spec).outputs
        each = [sums(sample[None], SEVENS)[0, 0] for sample in SEQUENCE]
        assert np.array_equal(apart, each)
        whole = run_batch(golden, SEQUENCE, spec, keep_state=True).outputs
        assert np.array_equal(whole, sums(SEQUENCE, SEVENS)[:, 0])
