from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import nights
from fakes.measured import rows
from fakes.profiled import CNN
from fakes.profiled import counted as profiled

from harness.ci.outcome import Gates, Judged, annotation, judge_sides, write_judged
from harness.ci.side import CSV, STATUS, measure_side, read_side
from harness.ci.tree import Wanted
from harness.measure.csvfile import append
from harness.report.markdown import as_markdown

SIZES = {"flash_bytes": 1000, "ram_bytes": 200}
FIELDS: dict[str, Any] = {
    "board": "qemu-m4",
    "emulated": True,
    "mcu": "M4",
    "verdict": "pass",
    "mismatches": 0,
    "samples": 9,
}


def side(folder: Path, count: int | None, status: int = 0, said: str = "", **changes: Any) -> Path:
    folder.mkdir()
    if count is not None:
        fields = {**FIELDS, **SIZES, "instructions_p50": count, **changes}
        append(folder / CSV, rows(folder.name, [1.0], **fields))
    ended = {"status": status, "said": said, "absent": ["m/new.tflite"] if status else []}
    (folder / STATUS).write_text(json.dumps(ended))
    return folder


def judged(tmp_path: Path, base: Any, head: Any, **gates: bool) -> Judged:
    return judge_sides(
        side(tmp_path / "base", **base),
        side(tmp_path / "head", **head),
        ("aa", "bb"),
        Gates(**gates),
    )


def test_functions_that_moved_are_shown_where_both_sides_counted_them(tmp_path: Path) -> None:
    base, head = (side(tmp_path / name, 100) for name in ("base", "head"))
    (*_, row) = nights.emulated_board(0, instructions=2967)
    counted, _ = nights.counted_rows(row)
    append(base / "functions.csv", counted)
    alone = judge_sides(base, head, ("aa", "bb"), Gates())
    assert "Functions" not in as_markdown(alone.document)
    append(head / "functions.csv", [replace(counted[0], instructions=1), *counted[1:]])
    both = as_markdown(judge_sides(base, head, ("aa", "bb"), Gates()).document)
    assert "Functions: 1 function changed" in both and "1920" in both and "-1919" in both


def test_a_slower_operator_fails_a_head_whose_whole_is_the_same(tmp_path: Path) -> None:
    base, head = (side(tmp_path / name, 100) for name in ("base", "head"))
    append(base / "layers.csv", profiled("base", board="qemu-m4"))
    assert judge_sides(base, head, ("aa", "bb"), Gates()).status == 0
    slower = [*CNN[:3], (*CNN[3][:3], 3061)]
    append(head / "layers.csv", profiled("head", slower, board="qemu-m4"))
    found = judge_sides(base, head, ("aa", "bb"), Gates())
    assert found.status == 12
    assert "| `3 FULLY_CONNECTED` | `1x10` | 3060 instr | 3061 instr |" in as_markdown(
        found.document
    )
    assert judge_sides(base, head, ("aa", "bb"), Gates(slower=False)).status == 0


@pytest.mark.parametrize(
    ("head", "gates", "status", "verdict"),
    [
        ({"count": 100}, {}, 0, "All outputs right; 1 same; no size changed."),
        ({"count": 101}, {}, 12, "All outputs right; 1 slower; no size changed."),
        ({"count": 101}, {"slower": False}, 0, "All outputs right; 1 slower; no size changed."),
        ({"count": 99, "flash_bytes": 1001}, {}, 0, "All outputs right; 1 faster; 1 larger."),
        (
            {"count": 99, "flash_bytes": 1001},
            {"larger": True},
            1,
            "All outputs right; 1 faster; 1 larger.",
        ),
        (
            {"count": 100, "verdict": "mismatch", "mismatches": 2, "status": 1},
            {},
            1,
            "Wrong outputs of 1 of 1; 1 same; no size changed.",
        ),
        (
            {"count": 100, "status": 10},
            {},
            10,
            "The head was not measured to the end; all outputs right; 1 same; no size changed.",
        ),
        ({"count": None, "status": 1}, {}, 1, "The head could not be measured; 1 only in A"),
        ({"count": None}, {}, 2, "The head has nothing to measure; 1 only in A"),
    ],
)
def test_verdict_and_exit_status(
    tmp_path: Path, head: Any, gates: Any, status: int, verdict: str
) -> None:
    found = judged(tmp_path, {"count": 100}, head, **gates)
    assert found.document.verdict.startswith(verdict)
    assert found.status == status


def test_a_base_that_cannot_be_measured_fails_nothing_and_is_quoted(tmp_path: Path) -> None:
    base = {"count": None, "status": 1, "said": "x\n" * 30 + "error: `no` <member>\n"}
    found = judged(tmp_path, base, {"count": 100})
    assert found.status == 0 and not found.document.bad
    text = as_markdown(found.document)
    assert "The base could not be measured; all outputs right; 1 only in B.\n" in text
    assert "- `error: \\u0060no\\u0060 <member>`" in text and text.count("- `x`") == 11
    assert "- `m/new.tflite`: not in the base" in text


def test_a_side_that_left_no_word_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / STATUS).write_text("{")
    assert read_side(tmp_path).said == read_side(tmp_path / "none").said == "it was cut off"


def test_the_record_has_the_number_and_the_document(tmp_path: Path) -> None:
    found = judged(tmp_path, {"count": 100}, {"count": 101})
    write_judged(found, tmp_path, name="hil", pull_request=7)
    record = json.loads((tmp_path / "comment" / "comparison.json").read_text())
    assert record["pull_request"] == 7 and record["document"]["bad"] is True
    assert (tmp_path / "comparison.md").read_text() == as_markdown(found.document) + "\n"


def test_a_model_that_neither_name_nor_file_fits_ends_a_side(tmp_path: Path) -> None:
    wanted = Wanted(boards=("qemu-m4",), models=("m/a.tflite",))
    found = measure_side(tmp_path, tmp_path / "out", wanted, timeout_s=5, venv=tmp_path / "venv")
    assert (found.status, found.absent) == (0, ("m/a.tflite",))
    assert read_side(tmp_path / "out") == found


def test_a_tflm_folder_that_is_not_there_ends_a_side_with_its_error(tmp_path: Path) -> None:
    wanted = Wanted(boards=("qemu-m4",), models=("sine",), tflm="gone")
    found = measure_side(tmp_path, tmp_path / "out", wanted, timeout_s=5, venv=tmp_path / "venv")
    assert found.status == 2 and "no folder gone" in found.said


@pytest.mark.parametrize(
    ("head", "gates", "begin"),
    [
        ({"count": 100}, {}, "::notice title=hil::All outputs right; 1 same;"),
        ({"count": 101}, {}, "::error title=hil::All outputs right; 1 slower;"),
        ({"count": 101}, {"slower": False}, "::warning title=hil::All outputs right; 1 slower;"),
        ({"count": 100, "ram_bytes": 201}, {}, "::warning title=hil::All outputs right; 1 same;"),
        (
            {"count": 100, "ram_bytes": 201},
            {"larger": True},
            "::error title=hil::All outputs right; 1 same;",
        ),
    ],
)
def test_the_verdict_is_an_annotation(tmp_path: Path, head: Any, gates: Any, begin: str) -> None:
    found = annotation(judged(tmp_path, {"count": 100}, head, **gates), "hil")
    assert found.startswith(begin) and "\n" not in found
