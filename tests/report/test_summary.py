from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.described import row
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.tables import LatencyRow
from harness.report.summary import summary
from harness.text import WIDTH, duration

CSV = Path("reports/latency.csv")
SINE = {
    "board": "qemu-m4",
    "runtime": "aot",
    "emulated": True,
    "samples": 256,
    "mismatches": 0,
    "instructions_p50": 2967,
    "p50_us": 379.776,
    "p99_us": 379.776,
    "flash_bytes": 26230,
    "arena_used_bytes": 32,
    "verdict": "pass",
    "reference": "TFLM 1",
}
LARGEST: dict[str, Any] = {
    **SINE,
    "board": "qemu-netduinoplus2",
    "model": "mnist_dnn_28x28-512",
    "dtype": "float32",
    "samples": 10_000,
    "mismatches": 10_000,
    "instructions_p50": 123_456_789,
    "p99_us": 9_876_543.21,
    "flash_bytes": 1_234_567,
    "arena_used_bytes": 1_812_345,
    "baseline_verdict": "slower",
    "baseline_ratio": 1.034,
}


def sine(**changes: Any) -> LatencyRow:
    return row(**{**SINE, **changes})


def shown(*rows: LatencyRow) -> list[str]:
    lines = summary(rows, CSV).splitlines()
    assert all(len(line) <= WIDTH for line in lines), lines
    return lines


def test_models_stand_under_their_board_and_runtime_with_their_figures_in_line() -> None:
    rows = [
        sine(),
        sine(runtime="tflm", instructions_p50=3592, baseline_verdict="same", baseline_ratio=1.0),
        sine(runtime="tflm", model="horse_or_human_96", p99_us=None, mismatches=7),
    ]
    assert shown(*rows)[:7] == [
        "board, runtime                                          against  flash  arena",
        "  model              mismatches      median       p99  baseline  bytes  bytes",
        "qemu-m4, aot",
        "  sine                    0/256  2967 instr  379.8 us         -  26230     32",
        "qemu-m4, tflm",
        "  sine                    0/256  3592 instr  379.8 us      same  26230     32",
        "  horse_or_human_96       7/256  2967 instr         -         -  26230     32",
    ]


def test_a_name_that_leaves_no_room_stands_above_its_figures() -> None:
    lines = shown(row(**LARGEST), row(**{**LARGEST, "model": "sine"}))
    assert lines[2:6] == [
        "qemu-netduinoplus2, aot",
        "  mnist_dnn_28x28-512_float32",
        "  10000/10000  123456789 instr  9876.54 ms  1.034 slower  1234567  1812345",
        "  sine_float32",
    ]


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (None, "-"),
        (0.04, "0.0 us"),
        (379.776, "379.8 us"),
        (9999.94, "9999.9 us"),
        (10_000.0, "10.00 ms"),
        (653_004.9, "653.00 ms"),
        (12_345_678.0, "12345.68 ms"),
    ],
)
def test_durations_are_in_us_or_ms(us: float | None, text: str) -> None:
    assert duration(us) == text


@pytest.mark.parametrize(
    ("verdict", "ratio", "text"),
    [
        (None, None, "  -  26230"),
        ("same", 1.001, "same  26230"),
        ("cannot tell", 1.02, "cannot tell  26230"),
        ("slower", 1.034, "1.034 slower  26230"),
        ("faster", 0.9, "0.900 faster  26230"),
        ("slower", 2968 / 2967, "1.0003 slower  26230"),
        ("slower", 17_172_301 / 17_172_300, "1.000 slower  26230"),
        ("slower", None, " slower  26230"),
    ],
)
def test_the_verdict_against_the_baseline_has_its_ratio_where_something_changed(
    verdict: str | None, ratio: float | None, text: str
) -> None:
    lines = shown(sine(baseline_verdict=verdict, baseline_ratio=ratio))
    assert text in lines[3]


def test_under_the_table_is_only_what_concerns() -> None:
    assert shown(row())[4:] == ["appended to reports/latency.csv"]
    assert shown(sine())[4:] == [
        "emulated boards: us are virtual, not time on silicon",
        "appended to reports/latency.csv",
    ]
    assert shown(row(emulated=True))[4] == "emulated boards: not time on silicon"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "inaccurate"}, "inaccurate, judged by TFLM 1"),
        (
            {"verdict": "mismatch", "wrong_outputs": "boxes; scores"},
            "mismatch in output boxes; scores, judged by TFLM 1",
        ),
        ({"tolerance": "bit for bit", "within_tolerance": 0, "check_inputs": "goldens"}, ""),
        (
            {"tolerance": "1 LSB, by --hil-tolerance", "within_tolerance": 3},
            "tolerance 1 LSB, by --hil-tolerance; 3 differ within it",
        ),
        (
            {"tolerance": "4 ulp or 1e-05 of the largest", "within_tolerance": 212, "max_ulp": 9},
            "tolerance 4 ulp or 1e-05 of the largest; 212 differ within it, at most 9 ulp off",
        ),
        ({"check_inputs": "random, seed 20261121"}, "inputs random, seed 20261121"),
        ({"sessions": 4, "sessions_lost": 1}, "1 of 5 sessions lost"),
        (
            {"clock_check": "off", "clock_ppm": 312.4, "clock_ppm_error": 20.1},
            "the board's clock is off: +312 ppm against this machine's, give or take 20",
        ),
        ({"clock_check": "unsteady"}, "the board's clock does not run evenly"),
        ({"state": "reset"}, "its state was reset before each invoke"),
        ({"state": "kept"}, "its state was kept from one invoke to the next"),
        (
            {"accuracy": 0.9, "golden_accuracy": 0.91},
            "accuracy 0.9000 over 256 inputs; 0.9100 by TFLM 1",
        ),
        (
            {
                "baseline_verdict": "slower",
                "baseline_ratio": 1.034,
                "baseline_run": "ab12",
                "baseline_rule": "more than 2 %",
            },
            "1.034 slower against run ab12: more than 2 %",
        ),
    ],
)
def test_what_is_the_matter_is_said_with_board_runtime_and_model(
    changes: dict[str, Any], said: str
) -> None:
    text = " ".join(line.strip() for line in shown(sine(emulated=False, **changes))[4:-1])
    assert text == (f"qemu-m4, aot, sine: {said}" if said else "")


def test_a_path_longer_than_a_line_stays_whole() -> None:
    long = Path("/tmp/" + "a-folder/" * 10, "latency.csv")
    assert summary([row()], long).splitlines()[-2:] == ["appended to", str(long)]


def test_a_clock_in_order_or_unknown_is_not_mentioned() -> None:
    for found in ("ok", "cannot tell", "skipped: emulated"):
        assert shown(sine(clock_check=found, sessions_lost=0)) == shown(sine())


NAMES = st.text("abcxyz0189_-.", min_size=1, max_size=100)
COUNTS = st.one_of(st.none(), st.integers(0, 10**40))
TIMES = st.one_of(st.none(), st.floats(0, 1e20))
ROWS = st.builds(
    row,
    board=NAMES,
    runtime=st.sampled_from(["aot", "tflm"]),
    model=NAMES,
    dtype=st.sampled_from(["int8", "float32"]),
    emulated=st.booleans(),
    samples=st.integers(0, 10**9),
    mismatches=COUNTS,
    instructions_p50=COUNTS,
    p50_us=TIMES,
    p99_us=TIMES,
    flash_bytes=COUNTS,
    arena_used_bytes=COUNTS,
    baseline_verdict=st.sampled_from([None, "same", "slower", "faster", "cannot tell"]),
    baseline_ratio=st.floats(0, 1e6),
    verdict=st.sampled_from(["pass", "mismatch", "inaccurate"]),
    accuracy=st.one_of(st.none(), st.floats(0, 1)),
    sessions_lost=st.one_of(st.none(), st.integers(0, 9)),
    clock_check=st.sampled_from([None, "ok", "off", "unsteady"]),
    clock_ppm=st.one_of(st.none(), st.floats(-1e9, 1e9)),
)


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_every_line_fits_and_no_figure_or_name_is_lost(rows: list[LatencyRow]) -> None:
    whole = "".join("".join(shown(*rows)).split())
    for item in rows:
        for figure in (
            f"{item.board},{item.runtime}",
            item.model,
            *(str(count) for count in (item.flash_bytes, item.arena_used_bytes) if count),
            duration(item.p99_us).replace(" ", ""),
            duration(item.p50_us).replace(" ", "")
            if item.instructions_p50 is None
            else f"{item.instructions_p50}instr",
            "-" if item.mismatches is None else f"{item.mismatches}/{item.samples}",
        ):
            assert figure in whole


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=6))
def test_figures_of_a_column_end_in_the_same_place(counts: list[int]) -> None:
    lines = shown(*(sine(flash_bytes=count) for count in counts))[3:]
    ends = {
        line.index(f"  {count}  ") + len(str(count))
        for line, count in zip(lines, counts, strict=False)
    }
    assert len(ends) == 1


def test_interrupts_in_the_timed_window_are_said() -> None:
    said = "the board's tick and its USB interrupted what was timed"
    assert said in " ".join(summary([row(interrupts="on")], CSV).split())
    assert said not in " ".join(summary([row(interrupts="off")], CSV).split())
