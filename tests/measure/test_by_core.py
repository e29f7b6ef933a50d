"""The table of models by core, from rows as latency.csv has them."""

from __future__ import annotations

import csv
import io
from typing import Any

from fakes.described import row

from harness.measure.by_core import as_csv, as_text, by_core, compared
from harness.measure.tables import LatencyRow
from harness.text import WIDTH

M4: dict[str, Any] = {
    "board": "qemu-m4",
    "runtime": "aot",
    "emulated": True,
    "mcu": "Cortex-M4F (mps2-an386)",
    "samples": 256,
    "mismatches": 0,
    "within_tolerance": 0,
    "instructions_p50": 2967,
    "macs": 288,
    "flash_bytes": 27976,
    "ram_bytes": 34500,
    "arena_used_bytes": 32,
    "verdict": "pass",
}


def ran(board: str, instructions: int, **changes: Any) -> LatencyRow:
    return row(**{**M4, "board": board, "instructions_p50": instructions, **changes})


def shown(*rows: LatencyRow) -> list[str]:
    lines = as_text(by_core(rows)).splitlines()
    assert all(len(line) <= WIDTH for line in lines), lines
    return lines


def test_cores_of_a_model_stand_in_order_of_instructions_against_the_m4() -> None:
    assert shown(ran("qemu-m3", 3970), ran("qemu-m4", 2967), ran("qemu-m55", 2304)) == [
        "model, runtime           instr  against  flash    RAM  arena",
        "  core          instr  per MAC  qemu-m4  bytes  bytes  bytes  differ",
        "sine_int8, aot",
        "  qemu-m55       2304     8.00    0.777  27976  34500     32   0/256",
        "  qemu-m4        2967    10.30    1.000  27976  34500     32   0/256",
        "  qemu-m3        3970    13.78    1.338  27976  34500     32   0/256",
        "emulated cores: exact counts of instructions, not time on silicon",
    ]


def test_flash_and_ram_of_a_firmware_for_several_models_are_said_to_be_so() -> None:
    said = " ".join(" ".join(shown(ran("qemu-m4", 2967, model_in="ram"))).split())
    assert "flash and RAM of models that were brought to one firmware are that firmware's" in said
    assert "brought" not in "".join(shown(ran("qemu-m4", 2967, model_in="flash")))


def test_largest_figures_fit_a_terminal() -> None:
    sizes = {"flash_bytes": 1_234_567, "ram_bytes": 4_194_304, "arena_used_bytes": 1_812_345}
    many = {"samples": 10_000, "mismatches": 10_000, "verdict": "mismatch"}
    shown(ran("qemu-netduinoplus2", 123_456_789, dtype="float32", **sizes, **many))


def test_outputs_that_differ_are_marked_within_the_tolerance_too() -> None:
    lines = shown(
        ran("qemu-m4", 2967),
        ran("qemu-m55", 2304, mismatches=3, verdict="mismatch"),
        ran("qemu-rv32", 4798, within_tolerance=2, tolerance="1 LSB, of SOFTMAX alone, by X"),
        ran("qemu-m0", 8508, samples=None, mismatches=None, verdict=None),
    )
    ends = {line.split()[0]: line.split()[-1] for line in lines if line.startswith("  qemu")}
    assert ends["qemu-m4"] == "0/256"
    assert ends["qemu-m55"] == "3/256!"
    assert ends["qemu-rv32"] == "2/256!"
    assert ends["qemu-m0"] == "compared!"
    said = " ".join(" ".join(lines).split())
    assert "qemu-m55, aot, sine_int8: not shown to be bit-equal, 3 of 256 inputs differ" in said
    assert "qemu-rv32, aot, sine_int8: not shown to be bit-equal, 2 of 256 inputs" in said
    assert "(verdict pass, held to 1 LSB, of SOFTMAX alone, by X)" in said
    assert "qemu-m0, aot, sine_int8: not shown to be bit-equal, no outputs were compared" in said


def test_a_ratio_is_of_the_same_model_file_and_runtime() -> None:
    rows = by_core(
        [
            ran("qemu-m4", 2967),
            ran("qemu-m3", 3970, model_sha256="other"),
            ran("qemu-m7", 3057, runtime="tflm"),
        ]
    )
    assert {row.board: row.ratio for row in rows} == {
        "qemu-m4": 1.0,
        "qemu-m3": None,
        "qemu-m7": None,
    }
    assert "qemu-m7, tflm, sine_int8: no run of this model file on qemu-m4" in as_text(rows)


def test_a_core_that_ran_some_models_only_is_said_to_lack_the_others() -> None:
    large = {"model": "large"}
    said = " ".join(
        shown(
            *(ran("qemu-m4", 2967), ran("qemu-microbit", 8508)),
            *(ran("qemu-m4", 9, **large), ran("qemu-m4", 9, runtime="tflm", **large)),
        )
    )
    assert said.endswith("qemu-microbit, aot: no run of large_int8")
    assert said.count("no run of") == 1


def test_the_newest_run_counts_and_real_boards_and_host_time_do_not() -> None:
    rows = by_core(
        [
            ran("qemu-m4", 9999, git_commit="a"),
            ran("qemu-m4", 2967, git_commit="b"),
            ran("nano33ble", 1, emulated=False),
            row(**{**M4, "board": "virtual", "instructions_p50": None}),
        ]
    )
    assert [(row.board, row.instructions) for row in rows] == [("qemu-m4", 2967)]


def test_runs_of_other_commits_are_said() -> None:
    rows = [ran("qemu-m4", 2967, git_commit="a"), ran("qemu-m3", 3970, git_commit="b")]
    assert "measured at 2 commits" in as_text(by_core(rows))


def test_only_models_that_several_cores_ran_are_compared() -> None:
    rows = by_core(
        [ran("qemu-m4", 1), ran("qemu-m3", 2), ran("qemu-m4", 3, model="linear", macs=None)]
    )
    assert [row.instructions for row in compared(rows)] == [1, 2]
    assert next(row for row in rows if row.model == "linear").instructions_per_mac is None


def test_the_csv_has_a_line_for_each_core() -> None:
    text = as_csv(by_core([ran("qemu-m4", 2967), ran("qemu-m3", 3970)]))
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["board"], first["instructions"], first["differing"]) == ("qemu-m4", "2967", "0")
    assert (second["board"], second["instructions_per_mac"], second["ratio"]) == (
        "qemu-m3",
        "13.7847",
        "1.33805",
    )
