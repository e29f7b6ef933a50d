"""What TFLM says of a model, read from its own words, and how it ends where it says none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.rewritten import float_output, lsh_projection, rewritten

from harness.firmware.probe import (
    MOST_SENTENCE,
    Allocations,
    Question,
    Refusal,
    ask_tflm,
    parse_allocations,
    parse_refusal,
)
from harness.firmware.server import MOST_SAID
from harness.model.artifact import load_artifact
from harness.model.wheels import tflm_version

ARTIFACTS = Path(__file__).parents[2] / "models" / "artifacts"
SINE = load_artifact(ARTIFACTS / "sine").content
CNN = load_artifact(ARTIFACTS / "fashion_cnn-8").content
needs_tflm = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")

# As the wheel of October 2026 prints it for the sine.
REPORT = """\
[RecordingMicroAllocator] Arena allocation total 1504 bytes
[RecordingMicroAllocator] Arena allocation head 32 bytes
[RecordingMicroAllocator] Arena allocation tail 1472 bytes
[RecordingMicroAllocator] 'TfLiteEvalTensor data' used 240 bytes with alignment overhead (requested 240 bytes for 10 allocations)
[RecordingMicroAllocator] 'Persistent TfLiteTensor data' used 128 bytes with alignment overhead (requested 128 bytes for 2 tensors)
"""  # noqa: E501

TRACEBACK = """\
Traceback (most recent call last):
  File "<string>", line 3, in <module>
RuntimeError: TFLM failed to allocate tensors
"""


def test_report_is_read() -> None:
    assert parse_allocations(REPORT) == Allocations(head=32, tail=1472, tensors=10)


@pytest.mark.parametrize("report", ["", "RuntimeError: no", REPORT.replace("tail", "tale")])
def test_another_report_says_nothing(report: str) -> None:
    assert parse_allocations(report) is None


# What the wheel of October 2026 writes on standard error, with its line ends.
@pytest.mark.parametrize(
    "said, refusal",
    [
        (
            "tensorflow/lite/micro/kernels/conv_common.cc Hybrid models are not supported on "
            "TFLite Micro.\r\nNode CONV_2D (number 0) failed to prepare with status 1\r\n",
            Refusal(
                sentence="TFLM says: conv_common.cc: Hybrid models are not supported on TFLite "
                "Micro",
                number=0,
                kind="CONV_2D",
            ),
        ),
        (
            "tensorflow/lite/micro/kernels/dequantize_common.cc:42 input->type == kTfLiteInt8 was "
            "not true.\r\nNode DEQUANTIZE (number 7) failed to prepare with status 1\r\n",
            Refusal(
                sentence="TFLM says: dequantize_common.cc:42: input->type == kTfLiteInt8 was not "
                "true",
                number=7,
                kind="DEQUANTIZE",
            ),
        ),
        (
            "Input index 1 out of range (length is 1)\r\nType INT32 not supported.\r\n"
            "Node TANH (number 3) failed to invoke with status 1\r\n",
            Refusal(sentence="TFLM says: Type INT32 not supported", number=3, kind="TANH"),
        ),
        (
            "Failed to get registration from op code CUSTOM\n \r\n",
            Refusal(sentence="TFLM has no kernel for it", kind="CUSTOM"),
        ),
        (
            "Didn't find op for builtin opcode 'LSH_PROJECTION'\r\n"
            "Failed to get registration from op code LSH_PROJECTION\n \r\n",
            Refusal(sentence="TFLM has no kernel for it", kind="LSH_PROJECTION"),
        ),
        ("", Refusal(sentence="TFLM says: TFLM failed to allocate tensors")),
    ],
)
def test_a_reason_is_tflms_own_with_the_operator_that_it_names(said: str, refusal: Refusal) -> None:
    assert parse_refusal(said + TRACEBACK) == refusal


def test_a_process_that_says_nothing_is_said_to() -> None:
    assert parse_refusal("").sentence == "TFLM does not say why"
    assert parse_refusal("", "TFLM aborts").sentence == "TFLM aborts"
    assert parse_refusal("Check failed\n", "TFLM aborts").sentence == "TFLM aborts: Check failed"


def test_a_long_reason_with_control_characters_is_fit_to_be_printed() -> None:
    sentence = parse_refusal("\x1b[2J" + "x" * 5000).sentence
    assert sentence.isprintable() and len(sentence) <= MOST_SENTENCE


@needs_tflm
def test_a_model_that_runs_takes_what_the_interpreter_reports() -> None:
    answer = ask_tflm(SINE)
    assert answer is not None and answer.refusal is None
    assert answer.allocations == Allocations(head=32, tail=1472, tensors=10)


@needs_tflm
@pytest.mark.parametrize(
    "content, number, kind, said",
    [
        (float_output(SINE), 2, "FULLY_CONNECTED", "INT8 != FLOAT32"),
        (lsh_projection(SINE), None, "LSH_PROJECTION", "no kernel"),
        (b"junk" * 10, None, None, ""),
    ],
)
def test_a_model_that_does_not_run_has_a_reason(
    content: bytes, number: int | None, kind: str | None, said: str
) -> None:
    answer = ask_tflm(content)
    assert answer is not None and answer.refusal is not None and answer.allocations is None
    assert (answer.refusal.number, answer.refusal.kind) == (number, kind)
    assert said in answer.refusal.sentence


@needs_tflm
def test_a_scale_that_makes_tflm_abort_is_a_refusal() -> None:
    def change(schema: Any, model: Any) -> None:
        graph = model.subgraphs[0]
        logits = graph.tensors[graph.operators[-1].inputs[0]]
        logits.quantization.scale = [1e-9]

    answer = ask_tflm(rewritten(CNN, change))
    assert answer is not None and answer.refusal == Refusal(sentence="TFLM aborts")


@pytest.mark.parametrize(
    "child, sentence",
    [
        ("import time; time.sleep(60)", "TFLM does not end within 0.2 s"),
        ("while True: print('\\1' * 1000)", "TFLM does not end within 0.2 s"),
        ("import os; os.abort()", "TFLM aborts"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "TFLite Micro on the host crashes (SIGSEGV) on this model",
        ),
        ("print('ran'); raise SystemExit(3)", "TFLM does not say why"),
        ("pass", "TFLM does not say why"),
        ("import sys; sys.stderr.write('no\\n' * 100000); sys.exit(1)", "TFLM says: no"),
    ],
)
def test_a_process_that_goes_wrong_is_a_refusal_in_bounded_time(child: str, sentence: str) -> None:
    # Long enough to start Python and end, for those that do end.
    most_s = 0.2 if "0.2" in sentence else 30.0
    with Question(b"", child=child, most_s=most_s) as question:
        answer = question.answer()
    assert answer.refusal == Refusal(sentence=sentence)


def test_the_process_gets_the_model_and_room_for_it() -> None:
    child = (
        "import sys; from harness.firmware.frame import read_frame\n"
        "header, content = read_frame(sys.stdin.buffer.read)\n"
        "print(len(content), header['arena_bytes'], file=sys.stderr)"
    )
    with Question(bytes(3 * MOST_SAID), child=child) as question:
        refusal = question.answer().refusal
    assert refusal is not None
    length, arena = refusal.sentence.removeprefix("TFLM says: ").split()
    assert int(length) == 3 * MOST_SAID and int(arena) > 30 * MOST_SAID
