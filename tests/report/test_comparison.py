"""Two sets of runs as a document, and as GitLab's two files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.measured import QUIET, a_run
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.measure.function_changes import FunctionChange, FunctionChanges
from harness.measure.operator_gate import ProfileVersus
from harness.measure.operators import OperatorChange
from harness.measure.runs import Baselines, Run
from harness.measure.versus import versus
from harness.report.comparison import compared, document_of, functions_part, times_part
from harness.report.document import Document
from harness.report.gitlab import (
    findings_of,
    is_metrics_report,
    is_quality_report,
    metrics_text,
    quality_text,
)
from harness.report.markdown import as_markdown
from harness.report.operators import operators_part

SIZES: dict[str, Any] = {
    "flash_bytes": 1000,
    "flash_kernels_bytes": 600,
    "ram_bytes": 200,
    "arena_used_bytes": 32,
    "stack_used_bytes": 64,
    "verdict": "pass",
    "mismatches": 0,
    "samples": 256,
}


def counted(run: str, count: int, **changes: Any) -> Run:
    """A run on an emulated board, of one session."""
    fields = {"board": "qemu-m4", "emulated": True, "instructions_p50": count, "mcu": "M4"}
    return a_run(run, [1.0], **{**SIZES, **fields, **changes})


A = Baselines(source="a", runs=(counted("1", 2967), counted("2", 500, model="mnist")))
B = Baselines(
    source="b",
    runs=(
        counted("3", 3100, flash_bytes=1512, flash_kernels_bytes=1112),
        counted("4", 500, model="mnist", verdict="mismatch", mismatches=3),
    ),
)
GOLDEN = """\
### Emulated boards

**Wrong outputs of 1 of 2; 1 slower, 1 same; 1 larger.**

- emulated boards count instructions, not time on silicon

#### Outputs: wrong outputs of 1 of 2

| board | runtime | model | A | B |
| --- | --- | --- | --- | --- |
| `qemu-m4` | `tflm` | `mnist_int8` | right | **mismatch, 3 of 256** |

#### Time: 1 slower, 1 same

| board | runtime | model | A | B | ratio | 95 % interval | verdict |
| --- | --- | --- | ---: | ---: | ---: | ---: | --- |
| `qemu-m4` | `tflm` | `sine_int8` | 2967 instr | 3100 instr | 1.045 | 1.045..1.045 | **slower** |
| `qemu-m4` | `tflm` | `mnist_int8` | 500 instr | 500 instr | 1.000 | 1.000..1.000 | same |

<details><summary>Why</summary>

- `qemu-m4, tflm, sine_int8`: 3100 instructions against 2967: exact, so one more decides
- `qemu-m4, tflm, mnist_int8`: 500 instructions, as before: exact

</details>

#### Bytes: 1 larger

| board | runtime | model | flash | RAM | arena | stack |
| --- | --- | --- | ---: | ---: | ---: | ---: |
| `qemu-m4` | `tflm` | `sine_int8` | 1512 (+512) | 200 | 32 | 64 |
| `qemu-m4` | `tflm` | `mnist_int8` | 1000 | 200 | 32 | 64 |

<details><summary>Why</summary>

- `qemu-m4, tflm, sine_int8`: flash +512: kernels +512

</details>"""


def document(a: Baselines, b: Baselines) -> Document:
    return document_of(compared(a, b, sizes=True), "Emulated boards")


def test_a_comparison_is_golden() -> None:
    assert as_markdown(document(A, B)) == GOLDEN


def test_where_nothing_moved_the_verdict_says_so_and_is_not_bad() -> None:
    found = document(A, A)
    assert found.verdict == "All outputs right; 2 same; no size changed."
    assert not found.bad


def test_where_no_operator_moved_the_verdict_says_so_and_no_table_is_empty() -> None:
    profile = ProfileVersus(
        board="b", runtime="r", model="m", dtype="int8", changes=(operator("same"),)
    )
    found = document_of(replace(compared(A, A, sizes=False), operators=(profile,)), "x")
    assert "operators: 1 same" in found.verdict
    assert [section.heading.split(":")[0] for section in found.sections] == ["Time"]


def operator(verdict: str, number: int = 3) -> OperatorChange:
    return OperatorChange(
        index_a=number,
        index_b=number + 1,
        operator="CONV_2D",
        name="conv",
        shape="1x4",
        unit="instructions",
        a=10.0,
        b=12.0,
        verdict=verdict,
        rule="12 instructions against 10",
    )


def test_larger_alone_is_said_and_is_not_bad() -> None:
    grown = replace(A, runs=(counted("3", 2967, ram_bytes=201), A.runs[1]))
    found = document(A, grown)
    assert found.verdict == "All outputs right; 2 same; 1 larger." and not found.bad


def test_slower_rows_come_before_all_others_the_most_so_first() -> None:
    many = [counted(f"{n}", 500, model=f"m{n:02}") for n in range(30)]
    slow = [counted("s", 501, model="m20"), counted("t", 600, model="m21")]
    slower = [*many[:20], *slow, *many[22:]]
    part = times_part(versus(replace(A, runs=tuple(many)), replace(A, runs=tuple(slower))))
    assert part.section is not None and part.section.lines[0].cells[2] == "m21_int8"
    assert [line.loud for line in part.section.lines] == [True] * 2 + [False] * 28


def test_what_is_refused_or_gone_is_named_with_its_reason() -> None:
    found = document(A, replace(B, runs=(replace_clock(B.runs[0]),)))
    assert found.verdict.startswith("All outputs right; 1 refused, 1 only in A")
    assert "other clock" in as_markdown(found)


def replace_clock(run: Run) -> Run:
    return counted(run.id, 2967, clock_hz=5)


def moved(model: str, *changes: tuple[str, int | None, int | None]) -> FunctionChanges:
    return FunctionChanges(
        board="qemu-m4",
        runtime="tflm",
        model=model,
        dtype="int8",
        a=900,
        b=1000,
        changes=tuple(
            FunctionChange(function=name, a=a, b=b, calls_a=a and 1, calls_b=b and 2)
            for name, a, b in changes
        ),
    )


def test_functions_of_all_models_have_one_table_the_largest_change_first() -> None:
    found = (
        moved("sine", ("arm_softmax_s8", 10, 20), ("a<b>::operator|", None, 3)),
        moved("mnist", ("memcpy", 1920, None)),
        moved("filters"),
    )
    text = as_markdown(document_of(replace(compared(A, A, sizes=False), functions=found), "x"))
    assert "All outputs right; 2 same; 3 functions changed." in text
    table = text.partition("#### Functions: 3 functions changed")[2].strip().splitlines()
    assert table[2:5] == [
        "| `qemu-m4` | `tflm` | `mnist_int8` | `memcpy` | 1920 | - | -1920 | 1 to - |",
        "| `qemu-m4` | `tflm` | `sine_int8` | `arm_softmax_s8` | 10 | 20 | +10 | 1 to 2 |",
        "| `qemu-m4` | `tflm` | `sine_int8` | `a<b>::operator\\u007c` | - | 3 | +3 | - to 2 |",
    ]
    assert "filters_int8" not in text
    assert "- `qemu-m4, tflm, mnist_int8`: 900 to 1000 instructions of all functions" in text


def test_of_many_functions_the_largest_are_shown_and_the_others_counted() -> None:
    many = [(f"f{n}", 0, n + 1) for n in range(100)]
    found = functions_part([moved("sine", *many)]).section
    assert found is not None and found.left_out == 60
    assert [line.cells[3] for line in found.lines[:2]] == ["f99", "f98"]


FIELDS = {"description": str, "check_name": str, "fingerprint": str, "severity": str}
SEVERITIES = {"info", "minor", "major", "critical", "blocker"}


def quality(a: Baselines, b: Baselines) -> list[dict[str, Any]]:
    text = quality_text(findings_of(compared(a, b, sizes=True)))
    entries: list[dict[str, Any]] = json.loads(text)
    return entries


def test_gitlabs_code_quality_report_has_the_fields_that_gitlab_asks_for() -> None:
    entries = quality(A, B)
    for entry in entries:
        assert {name: type(value) for name, value in entry.items() if name != "location"} == FIELDS
        assert entry["severity"] in SEVERITIES
        assert entry["location"] == {"path": ".gitlab-ci.yml", "lines": {"begin": 1}}
    assert [(entry["check_name"], entry["severity"]) for entry in entries] == [
        ("hil/outputs", "critical"),
        ("hil/time", "major"),
        ("hil/bytes", "minor"),
    ]
    assert entries[2]["description"] == (
        "qemu-m4, tflm, sine_int8, flash: 1512 (+512) bytes; flash +512: kernels +512"
    )
    assert quality(A, A) == []


def test_a_slower_operator_is_a_finding_of_its_own() -> None:
    profile = ProfileVersus(
        board="qemu-m4",
        runtime="tflm",
        model="sine",
        dtype="int8",
        changes=(operator("slower"), operator("faster")),
    )
    found = replace(compared(A, A, sizes=False), operators=(profile,))
    (entry,) = json.loads(quality_text(findings_of(found)))
    assert (entry["check_name"], entry["severity"]) == ("hil/operator", "minor")
    assert entry["description"] == (
        "qemu-m4, tflm, sine_int8, CONV_2D conv: slower, 12 instructions against 10"
    )


def test_of_many_operators_those_to_be_read_first_are_shown() -> None:
    many = [operator("slower" if n == 98 else "faster", n) for n in range(100)]
    profile = ProfileVersus(board="b", runtime="r", model="m", dtype="int8", changes=tuple(many))
    section = operators_part([profile]).section
    assert section is not None and (len(section.lines), section.left_out) == (40, 60)
    assert section.lines[0].cells[3] == "99 CONV_2D"


def test_a_finding_keeps_its_fingerprint_when_its_figures_change() -> None:
    prints = [entry["fingerprint"] for entry in quality(A, B)]
    again = replace(B, runs=(counted("5", 4000, flash_bytes=2000), B.runs[1]))
    assert [entry["fingerprint"] for entry in quality(A, again)] == prints
    assert len(set(prints)) == 3


def metrics(a: Baselines, b: Baselines) -> str:
    return metrics_text(compared(a, b, sizes=True))


def test_gitlabs_metrics_report_is_openmetrics_of_b() -> None:
    families = {f.name: f for f in text_string_to_metric_families(metrics(A, B))}
    assert {name: family.type for name, family in families.items()} == dict.fromkeys(
        ("hil_instructions", "hil_flash_bytes", "hil_ram_bytes", "hil_arena_bytes",
         "hil_stack_bytes", "hil_wrong_outputs"), "gauge"
    )  # fmt: skip
    assert families["hil_flash_bytes"].unit == "bytes"
    sample = families["hil_instructions"].samples[1]
    labels = {"board": "qemu-m4", "runtime": "tflm", "model": "sine", "dtype": "int8"}
    assert (sample.labels, sample.value) == (labels, 3100.0)


def test_time_of_a_real_board_is_in_seconds() -> None:
    real = Baselines(source="a", runs=(a_run("1", QUIET),))
    families = {f.name: f for f in text_string_to_metric_families(metrics(real, real))}
    (sample,) = families["hil_latency_seconds"].samples
    assert sample.value == pytest.approx(100e-6)
    assert "hil_instructions" not in families


def test_hostile_names_stay_within_their_labels_and_lines() -> None:
    name = 'a"} 1\n# EOF\n\\'
    hostile = Baselines(source="a", runs=(counted("1", 5, model=name),))
    (sample,) = {f.name: f for f in text_string_to_metric_families(metrics(hostile, hostile))}[
        "hil_instructions"
    ].samples
    assert sample.labels["model"] == 'a"} 1\\n# EOF\\n\\'
    assert sample.value == 5.0


def test_files_of_others_are_told_from_such_reports(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for text, ours in (
        (quality_text(findings_of(compared(A, B, sizes=True))), True),
        ("[]", True),
        ("", True),
        ('[{"check_name": "no-unused-vars"}]', False),
        ("{}", False),
        ("[" * 100_000, False),
    ):
        file.write_text(text)
        assert is_quality_report(file) is ours
    for text, ours in ((metrics(A, B), True), ("# EOF\n", True), ("up 1\n", False)):
        file.write_text(text)
        assert is_metrics_report(file) is ours
