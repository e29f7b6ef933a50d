from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.rewritten import lsh_projection, per_channel, rewritten

from harness.board.registry import load_registry, parse_board
from harness.errors import ModelError, Where
from harness.firmware.probe import ABORTS, Allocations, Answer, Refusal
from harness.firmware.support import LSTM_STATE, PER_CHANNEL_DENSE
from harness.firmware.verdict import (
    Ability,
    RuntimeVerdict,
    refuse_unrunnable,
    verdict,
    verdicts,
    verdicts_of,
)
from harness.model.artifact import load_artifact
from harness.model.resolve import described
from harness.model.wheels import tflm_version

ARTIFACTS = Path(__file__).parents[2] / "models" / "artifacts"
SINE = load_artifact(ARTIFACTS / "sine")
REGISTRY = load_registry()
RAN = Answer(refusal=None, allocations=Allocations(head=32, tail=1472, tensors=10))


def given(content: bytes) -> Any:
    return described(Path("given.tflite"), content)


def refused(**facts: Any) -> Answer:
    return Answer(refusal=Refusal(**facts))


def test_each_runtime_has_a_verdict_and_each_one_of_each_board() -> None:
    found = verdicts(SINE, answer=RAN)
    assert [(item.runtime, item.board) for item in found] == [
        ("aot", None),
        ("tflm", None),
        ("virtual", None),
    ]
    boards = [REGISTRY["qemu-m4"], REGISTRY["virtual"]]
    found = verdicts(SINE, boards, answer=RAN)
    assert [(item.board, item.runtime) for item in found] == [
        ("qemu-m4", "aot"),
        ("qemu-m4", "tflm"),
        ("virtual", "tflm"),
    ]
    assert {item.ability for item in found} == {Ability.RUNS}


def test_an_lstm_that_a_librarys_kernel_forgets_is_a_doubt_and_no_refusal() -> None:
    lstm = replace(SINE, operators=("UNIDIRECTIONAL_SEQUENCE_LSTM",))
    board, cannot = REGISTRY["qemu-m4"], (LSTM_STATE,)
    found = verdict(lstm, "tflm", board, answer=RAN, limits_of=lambda board: cannot)
    assert found.ability is Ability.RUNS
    assert "a sequence over several invokes is not" in found.note
    # Nobody has it of a library that keeps it, of a float model, or of one without an LSTM.
    assert verdict(lstm, "tflm", board, answer=RAN).note == ""
    real = replace(lstm, dtype="float32")
    assert verdict(real, "tflm", board, answer=RAN, limits_of=lambda board: cannot).note == ""
    assert verdict(SINE, "tflm", board, answer=RAN, limits_of=lambda board: cannot).note == ""


def test_what_tflm_refuses_runs_nowhere_and_is_said_in_its_words() -> None:
    answer = refused(sentence="TFLM says: Hybrid models are no", number=1, kind="FULLY_CONNECTED")
    found = verdicts(SINE, answer=answer)
    assert {item.ability for item in found} == {Ability.CANNOT}
    assert {str(item) for item in found} == {
        "cannot, because operator 1 (FULLY_CONNECTED): TFLM says: Hybrid models are no"
    }
    assert all("full int8" in item.hint and item.everywhere for item in found)
    text = str(found[0].error(Where(board="a", model="sine")))
    assert text.startswith("this model cannot run, because operator 1 (FULLY_CONNECTED): TFLM")
    assert "(board a, model sine)" in text


def test_of_types_or_shapes_that_tflm_refuses_the_hint_is_no_promise_of_int8() -> None:
    # In its words of a model of LiteRT's own test data; int8 inputs would not change it.
    answer = refused(sentence="TFLM says: Only int32_t are supported currently, got INT64")
    assert "int32 instead of int64" in verdict(SINE, "tflm", answer=answer).hint


def test_an_operator_of_unknown_kind_is_found_by_it_in_the_file() -> None:
    model = given(lsh_projection(SINE.content))
    answer = refused(sentence="TFLM has no kernel for it", kind="LSH_PROJECTION")
    found = verdict(model, "virtual", answer=answer)
    assert found.reason == "operator 0 (LSH_PROJECTION): TFLM has no kernel for it"


def test_a_custom_operator_is_called_as_in_the_file() -> None:
    def change(schema: Any, model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"ethos-u"

    model = given(rewritten(SINE.content, change))
    answer = refused(sentence="TFLM has no kernel for it", kind="CUSTOM")
    found = verdict(model, "virtual", answer=answer)
    assert found.reason == "operator 0 (ethos-u): TFLM has no kernel for it"


def test_where_tflm_aborts_the_smallest_scale_is_named() -> None:
    def change(schema: Any, model: Any) -> None:
        model.subgraphs[0].tensors[3].quantization.scale = [1e-9]

    model = given(rewritten(SINE.content, change))
    found = verdict(model, "tflm", answer=refused(sentence=ABORTS))
    assert found.reason == ABORTS and found.hint.startswith("Tensor 3 ('")
    assert "has a scale of 1e-09" in found.hint


def test_what_aot_does_not_compile_is_named_by_number_and_tflm_runs_it() -> None:
    cnn = load_artifact(ARTIFACTS / "fashion_cnn-8")
    aot, tflm, virtual = verdicts(replace(cnn, goldens=None), answer=RAN)
    if aot.ability is Ability.CANNOT:
        assert aot.reason.startswith("operator ") and "(SOFTMAX)" in aot.reason
        assert not aot.everywhere
        text = str(aot.error(Where()))
        assert text.startswith("this model cannot run with aot, because operator ")
    assert (tflm.ability, virtual.ability) == (Ability.RUNS, Ability.RUNS)


def test_without_tflm_on_this_machine_the_file_alone_is_judged() -> None:
    assert {item.ability for item in verdicts(SINE, answer=None)} == {Ability.RUNS}


def test_a_library_that_computes_wrongly_refuses_on_its_board_only() -> None:
    model = given(per_channel(SINE.content))
    boards = [REGISTRY["nano33ble"], REGISTRY["qemu-m4"]]

    def limits_of(board: Any) -> tuple[str, ...]:
        return (PER_CHANNEL_DENSE,) if board.id == "nano33ble" else ()

    found = verdicts(model, boards, answer=RAN, limits_of=limits_of)
    cannot = [(item.board, item.runtime) for item in found if item.ability is Ability.CANNOT]
    assert cannot == [("nano33ble", "tflm")]


TABLE = {"description": "", "attachment": "serial", "mcu": "", "clock_hz": 1, "runtimes": ["tflm"]}


@pytest.mark.parametrize(
    "limits, said",
    [
        ({"flash_bytes": 2000, "ram_bytes": 100_000}, "2640 bytes of flash, and small has 2000"),
        ({"flash_bytes": 100_000, "ram_bytes": 1000}, "bytes of RAM, and small has 1000"),
    ],
)
def test_a_model_larger_than_a_memory_of_the_board_is_refused(
    limits: dict[str, int], said: str
) -> None:
    board = parse_board("small", {**TABLE, **limits})
    found = verdict(SINE, "tflm", board, answer=RAN)
    assert found.ability is Ability.CANNOT and said in found.reason


def test_a_model_that_leaves_little_memory_is_let_through_with_a_note() -> None:
    board = parse_board("small", {**TABLE, "flash_bytes": 1_000_000, "ram_bytes": 20_000})
    found = verdict(SINE, "tflm", board, answer=RAN)
    assert found.ability is Ability.RUNS and "it may not fit: RAM" in found.note


def test_changes_are_said_after_the_ability() -> None:
    changed = RuntimeVerdict(runtime="aot", ability=Ability.CHANGED, changes=("a", "b"))
    assert str(changed) == "runs after these changes: a; b"
    assert str(RuntimeVerdict(runtime="aot")) == "runs"


@pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")
def test_a_board_is_refused_a_model_before_anything_is_built(tmp_path: Path) -> None:
    path = tmp_path / "mine.tflite"
    path.write_bytes(lsh_projection(SINE.content))
    assert {item.ability for item in verdicts_of(path)} == {Ability.CANNOT}
    model = described(path, path.read_bytes())
    with pytest.raises(ModelError, match="operator 0 .LSH_PROJECTION.: TFLM has no kernel") as got:
        refuse_unrunnable(model, REGISTRY["virtual"], "tflm")
    assert "(board virtual, model mine)" in str(got.value)
    refuse_unrunnable(SINE, REGISTRY["virtual"], "tflm")
