"""What of a model's outputs is compared: an operator's own count or flag says what it defines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.rewritten import rewritten
from flatbuffers import flexbuffers

from harness.measure.compare import Verdict, compare
from harness.model.artifact import Artifact
from harness.model.defined import ALL, Defined, Partial, defined_outputs
from harness.model.goldens import Reading
from harness.model.interpreters import TflmInterpreter
from harness.model.resolve import inspect_model
from harness.model.samples import Layout
from harness.model.wheels import tflm_version

ZOO = Path(__file__).parents[1] / "zoo"


def inspected(content: bytes, folder: Path) -> Artifact:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return inspect_model(path)


def detections(folder: Path, *, above: float) -> Artifact:
    """Up to 3 detections of 6 boxes: those with a score above a threshold."""
    values = {
        **{"max_detections": 3, "max_classes_per_detection": 1, "detections_per_class": 1},
        **{"use_regular_nms": False, "nms_iou_threshold": 1.0, "num_classes": 2},
        **{"y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0},
        "nms_score_threshold": above,
    }

    def change(schema: Any, model: Any) -> None:
        options = np.frombuffer(bytes(flexbuffers.Dumps(values)), np.uint8)
        model.subgraphs[0].operators[0].customOptions = options

    content = (ZOO / "detection-float32.tflite").read_bytes()
    return inspected(rewritten(content, change), folder)


@pytest.mark.skipif(tflm_version() is None, reason="TFLM's wheel is not installed")
def test_elements_beyond_the_detections_are_not_compared_and_those_within_are(
    tmp_path: Path,
) -> None:
    model = detections(tmp_path, above=0.5)
    takes, gives = Layout(specs=model.inputs), Layout(specs=model.outputs)
    random = np.random.default_rng(1)
    boxes = random.uniform(-1, 1, (2, 6, 4)).astype(np.float32)
    scores = np.zeros((2, 6, 3), np.float32)
    scores[0, :, 1], scores[1, 0, 1] = 0.9, 0.8  # 3 detections, then 1
    samples = takes.pack([boxes, scores])

    def run(order: list[int]) -> Any:
        interpreter = TflmInterpreter(model.content, name="detections")
        answers = [gives.sample(interpreter.run_all(takes.tensors(samples, at))) for at in order]
        return np.concatenate([answers[order.index(at)] for at in (0, 1)])

    def compared(board: Any) -> Any:
        return compare(
            spec=gives,
            board=Reading(source="board", outputs=board),
            golden=Reading(source="golden", outputs=run([0, 1])),
            defined=defined,
        )

    defined = defined_outputs(model.content, gives)
    assert run([0, 1])[gives.names[3]].ravel().tolist() == [3, 1]
    assert run([1, 0]).tobytes() != run([0, 1]).tobytes()
    result = compared(run([1, 0]))
    assert result.verdict is Verdict.PASS
    assert f"elements beyond {gives.names[3]} are not compared" in str(result)
    for output in range(4):
        wrong = run([1, 0])
        wrong[gives.names[output]].reshape(2, -1)[1, 0] += 1
        assert compared(wrong).verdict is Verdict.MISMATCH, output


def test_an_output_is_compared_where_its_flag_is_true() -> None:
    layout, defined = defined_of("signal-stacker-int16")
    assert defined.partial == (Partial(output=0, by=1),)
    stacked = np.arange(12, dtype=np.int16).reshape(2, 6)
    kept = defined.of(layout.pack([stacked, np.array([False, True])]))
    assert layout.columns(kept)[0].tolist() == [[0] * 6, [6, 7, 8, 9, 10, 11]]
    assert str(defined) == "stacked is not compared where valid is false"


def defined_of(name: str) -> tuple[Layout, Defined]:
    model = inspect_model(ZOO / f"{name}.tflite")
    layout = Layout(specs=model.outputs)
    return layout, defined_outputs(model.content, layout)


@pytest.mark.parametrize("name", ["two-inputs-two-outputs-int8", "dense-int8"])
def test_outputs_of_other_operators_are_compared_whole(name: str) -> None:
    assert defined_of(name)[1] is ALL
    samples = np.arange(4)
    assert ALL.of(samples) is samples and str(ALL) == ""


@pytest.mark.parametrize(
    "count, kept", [(0, 0), (1, 4), (3, 12), (7, 12), (-1, 0), (np.nan, 0), (np.inf, 12)]
)
def test_whatever_a_board_counts_some_elements_are_kept_or_none(count: float, kept: int) -> None:
    layout, defined = defined_of("detection-float32")
    ones = [np.ones((1, spec.elements), np.float32) for spec in layout.specs]
    ones[3][:] = count
    found = layout.columns(defined.of(layout.pack(ones)))
    assert int(found[0].sum()) == kept
    np.testing.assert_array_equal(np.ravel(found[3]), [count])
