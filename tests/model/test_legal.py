"""Random inputs are within what a model's graph allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import shaped
from fakes.shaped import Op, T

from harness.firmware.probe import ask_tflm
from harness.model.artifact import Artifact
from harness.model.interpreters import TflmInterpreter
from harness.model.legal import INTEGERS, Limits, input_limits, mild_values, random_inputs
from harness.model.samples import Layout

ZOO = Path(__file__).parents[1] / "zoo"
TABLE = T(name="table", shape=(5, 3), values=np.arange(15, dtype=np.int8))


def gather(axis: int, folder: Path) -> Artifact:
    size = {0: (2, 3), 1: (5, 2)}[axis]
    return shaped.model(
        folder,
        "gather",
        [TABLE, T(name="ids", dtype="int32", shape=(2,)), T(name="y", shape=size)],
        [Op(kind="GATHER", inputs=("table", "ids"), outputs=("y",), table="GatherOptions",
            options={"axis": axis})],
        ["ids"],
        ["y"],
    )  # fmt: skip


def through(folder: Path, kind: str, dtype: str, more: dict[str, Any] | None = None) -> Artifact:
    """A model of one operator with one input."""
    x = T(name="x", dtype=dtype, **(more or {}))
    y = T(name="y", dtype="int8" if kind == "QUANTIZE" else dtype, scale=0.5, zero_point=28)
    return shaped.model(
        folder, kind, [x, y], [Op(kind=kind, inputs=("x",), outputs=("y",))], ["x"], ["y"]
    )


@pytest.mark.parametrize(("axis", "last"), [(0, 4), (1, 2)])
def test_ids_lie_within_the_axis_of_the_table_that_they_look_up(
    axis: int, last: int, tmp_path: Path
) -> None:
    made = gather(axis, tmp_path)
    assert input_limits(made) == (Limits(low=0, high=last),)
    drawn = random_inputs(made, 200, seed=1)
    assert set(drawn.ravel().tolist()) == set(range(last + 1))
    interpreter = TflmInterpreter(made.content, name=made.name)
    for sample in drawn:
        interpreter.run(sample)


def test_ids_are_recognised_behind_operators_that_hand_them_on(tmp_path: Path) -> None:
    made = shaped.model(
        tmp_path,
        "cast",
        [
            T(name="x", dtype="int64", shape=(2,)),
            T(name="ids", dtype="int32", shape=(2,)),
            TABLE,
            T(name="y", shape=(2, 3)),
        ],
        [
            Op(kind="CAST", inputs=("x",), outputs=("ids",)),
            Op(kind="EMBEDDING_LOOKUP", inputs=("ids", "table"), outputs=("y",)),
        ],
        ["x"],
        ["y"],
    )
    assert input_limits(made) == (Limits(low=0, high=4),)


@pytest.mark.parametrize(
    ("kind", "dtype", "more", "expected"),
    [
        # By hand: 0.5 * (-128 - 28) and 0.5 * (127 - 28).
        ("QUANTIZE", "float32", None, (-78.0, 49.5)),
        ("ABS", "float32", None, (-1.0, 1.0)),
        ("ABS", "int32", None, (-INTEGERS, INTEGERS)),
        ("ABS", "int8", None, (-128.0, 127.0)),
        ("ABS", "uint8", {"scale": 0.5, "zero_point": 3}, (0.0, 255.0)),
        ("ABS", "int16", {"scale": 0.5}, (-32768.0, 32767.0)),
        ("LOGICAL_NOT", "bool", None, (0.0, 1.0)),
        ("RSQRT", "int8", {"scale": 0.5, "zero_point": -5}, (-4.0, 127.0)),
        ("LOG", "float32", None, (2.0**-10, 1.0)),
    ],
)
def test_other_inputs_have_the_range_of_their_type_and_use(
    kind: str, dtype: str, more, expected, tmp_path: Path
) -> None:
    low, high = expected
    made = through(tmp_path, kind, dtype, more)
    assert input_limits(made) == (Limits(low=low, high=high),)
    drawn = random_inputs(made, 100, seed=1)
    assert drawn.dtype == dtype and len(drawn) == 100
    assert low <= drawn.min() < drawn.max() <= high


def test_a_divisor_is_never_zero(tmp_path: Path) -> None:
    parts = [T(name=name, dtype="int32") for name in "xdy"]
    made = shaped.model(
        tmp_path,
        "divide",
        parts,
        [Op(kind="FLOOR_DIV", inputs=("x", "d"), outputs=("y",))],
        ["x", "d"],
        ["y"],
    )
    dividend, divisor = input_limits(made)
    assert dividend.low < 0 and divisor == Limits(low=1, high=INTEGERS)
    assert mild_values(made.content) == (0.0, 1.0)


def test_inputs_of_every_type_are_drawn_alike_for_one_seed(tmp_path: Path) -> None:
    made = shaped.every_type(tmp_path)
    first, again = (random_inputs(made, 50, seed=3) for _ in range(2))
    assert Layout(specs=made.inputs).to_bytes(first) == Layout(specs=made.inputs).to_bytes(again)
    assert set(first["in_bool"].ravel().tolist()) == {False, True}


def test_tflm_hands_on_tensors_of_every_type_and_rank(tmp_path: Path) -> None:
    made = shaped.every_type(tmp_path)
    takes, gives = Layout(specs=made.inputs), Layout(specs=made.outputs)
    drawn = random_inputs(made, 3, seed=3)
    interpreter = TflmInterpreter(made.content, name=made.name)
    for index in range(3):
        tensors = takes.tensors(drawn, index)
        answered = interpreter.run_all(tensors)
        assert [given.tobytes() for given in tensors] == [got.tobytes() for got in answered]
        assert [got.dtype for got in answered] == [np.dtype(name) for name in shaped.TYPES]
        assert gives.to_bytes(gives.sample(answered)) == takes.to_bytes(drawn[index : index + 1])


def test_what_is_no_model_has_no_values() -> None:
    assert mild_values(b"junk") == ()


def test_a_root_of_a_negative_number_is_not_what_a_model_is_refused_for(tmp_path: Path) -> None:
    made = through(tmp_path, "RSQRT", "int8", {"scale": 0.5, "zero_point": 5})
    assert mild_values(made.content) == (6.0,)
    answer = ask_tflm(made.content)
    assert answer is not None and answer.refusal is None


@pytest.mark.parametrize("dtype", ["int8", "int32", "float32"])
def test_a_divisor_of_any_type_is_above_0(dtype: str, tmp_path: Path) -> None:
    scaled = {"scale": 0.5, "zero_point": 5} if dtype == "int8" else {}
    x, by, y = (T(name=name, dtype=dtype, **scaled) for name in ("x", "by", "y"))
    operator = Op(kind="DIV", inputs=("x", "by"), outputs=("y",))
    model = shaped.model(tmp_path, "div", [x, by, y], [operator], ["x", "by"], ["y"])
    dividends, divisors = Layout(specs=model.inputs).columns(random_inputs(model, 256, seed=1))
    assert (divisors > model.inputs[1].zero_point).all() and not (dividends > 5).all()
