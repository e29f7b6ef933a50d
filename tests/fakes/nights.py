"""CSV files as several nights of a rig would leave them, made of rows instead of boards."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from fakes import described

from harness.measure.csvfile import append, beside
from harness.measure.kinds import KINDS
from harness.measure.samples import Samples, Spread
from harness.measure.tables import (
    RUN,
    CallRow,
    FunctionRow,
    LatencyRow,
    LayerRow,
    MemoryRow,
    OutputRow,
    SampleRow,
)
from harness.model.resolve import resolve_model
from harness.project import find_project

HOSTILE = (
    "<script>alert(1)</script> \"><img src=x onerror=alert(1)> </style><b> {{ 7*7 }} & '" + "W" * 99
)
FIRST = datetime(2026, 11, 14, 2, tzinfo=timezone.utc)
SESSIONS = 3
INVOKES = 120
ARTIFACTS = find_project().artifacts
MEMORY = {
    "flash_bytes": 118_000,
    "ram_bytes": 47_800,
    "arena_used_bytes": 1480,
    "stack_bytes": 8192,
    "stack_used_bytes": 1712,
    "flash_model_bytes": 2640,
    "flash_runtime_bytes": 41_000,
    "flash_kernels_bytes": 18_200,
    "flash_harness_bytes": 9_900,
    "flash_rest_bytes": 46_260,
    "ram_model_bytes": 0,
    "ram_runtime_bytes": 3_100,
    "ram_kernels_bytes": 0,
    "ram_harness_bytes": 12_200,
    "ram_rest_bytes": 32_500,
}


def real_board(night: int, *, slower: float = 1.0) -> list[LatencyRow]:
    """Rows of a Nano 33 BLE: three sessions and their run, against the baseline of night 0."""
    generator = np.random.default_rng(night)
    sine = resolve_model("sine", ARTIFACTS)
    whole = described.row(
        time_utc=(FIRST + timedelta(days=night)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        git_commit=f"{night:07x}",
        board="nano33ble",
        board_uid="a1b2c3d4e5f60718",
        mcu="nRF52840 (Cortex-M4F)",
        clock_hz=64_000_000,
        model_sha256=sine.sha256,
        run=f"{night:012x}",
        scope=RUN,
        sessions=SESSIONS,
        sessions_lost=0,
        verdict="pass",
        reference="tflm 0.dev20261023182759",
        samples=256,
        mismatches=0,
        clock_check="ok",
        clock_ppm=12.0,
        clock_ppm_error=20.0,
        kernels="CMSIS-NN 4.0.0",
        compiler="GCC 12.2",
        flags="-Os -mfloat-abi=hard",
        harness_version="0.1.0",
        host="rig",
        **MEMORY,
    )
    medians = 53.0 * slower * (1 + 0.003 * generator.standard_normal(SESSIONS))
    sessions = [
        replace(
            whole,
            scope="session",
            session=f"s{night}-{number}",
            session_number=number,
            sessions=None,
            sessions_lost=None,
            began="start" if number == 1 else "reset",
            **statistics(median),
        )
        for number, median in enumerate(medians, start=1)
    ]
    middle = float(np.median(medians))
    ratio = middle / 53.0
    judged = {} if night == 0 else against_baseline(ratio)
    run = replace(whole, session_p50_us=middle, **statistics(middle), **judged)
    return [*sessions, run]


def statistics(median: float) -> dict[str, float | int]:
    return {
        "n": INVOKES,
        "warmup": 2,
        "cold_us": median * 1.4,
        "min_us": median - 1,
        "p50_us": median,
        "mad_us": 0.4,
        "mean_us": median + 0.1,
        "std_us": 0.8,
        "p95_us": median + 1.2,
        "p99_us": median + 3,
        "max_us": median + 9,
    }


def against_baseline(ratio: float) -> dict[str, object]:
    slower = ratio > 1.02
    return {
        "baseline_run": "000000000000",
        "baseline_verdict": "slower" if slower else "same",
        "baseline_ratio": ratio,
        "baseline_low": ratio - 0.006,
        "baseline_high": ratio + 0.006,
        "baseline_rule": f"ratio {ratio:.4f}, 95 % interval {ratio - 0.006:.4f} to "
        f"{ratio + 0.006:.4f}, of 3 sessions against 3",
    }


def emulated_board(night: int, *, instructions: int = 2967) -> list[LatencyRow]:
    """The same model on the emulated Cortex-M4: one exact count."""
    exact = {
        "board": "qemu-m4",
        "port": "qemu:mps2-an386",
        "mcu": "Cortex-M4F (mps2-an386)",
        "board_uid": None,
        "clock_hz": 25_000_000,
        "emulated": True,
        "runtime": "aot",
        "runtime_version": "bakenn 1.0.0",
        "instructions_p50": instructions,
        "clock_check": "skipped: emulated",
        "clock_ppm": None,
        "clock_ppm_error": None,
        "run": f"e{night:011x}",
        "flash_bytes": 26_208,
        "ram_bytes": 34_500,
        "flash_rest_bytes": 26_208 - 71_740 + 60_000,
    }
    ratio = instructions / 2967
    judged = against_baseline(ratio)
    judged |= {"baseline_low": ratio, "baseline_high": ratio}
    judged["baseline_verdict"] = "slower" if ratio > 1 else "same"
    return [
        replace(row, **exact, **(judged if row.scope == RUN and night else {}))
        for row in real_board(night)
    ]


def emulated_cnn(night: int) -> list[LatencyRow]:
    """A convolution network on the same emulated board."""
    model = resolve_model("fashion_cnn-8", ARTIFACTS)
    changes = {"model": model.model, "dtype": model.dtype, "model_sha256": model.sha256}
    changes |= {"run": f"c{night:011x}"}
    return [replace(row, **changes) for row in emulated_board(night, instructions=1_264_942)]


def hostile_board(night: int) -> list[LatencyRow]:
    """A real board of which every text that it, or a file, can choose is meant to break a page."""
    chosen = ("board", "runtime", "model", "board_uid", "kernels", "flags", "baseline_rule")
    rows = [replace(row, **dict.fromkeys(chosen, HOSTILE)) for row in real_board(night)]
    return [rows[0], replace(rows[1], error=HOSTILE), *rows[2:]]


def sample_rows(rows: list[LatencyRow], invokes: int = INVOKES) -> list[SampleRow]:
    """Timed invokes around each session's median, in steps of a 1 MHz timer's sixteenth."""
    generator = np.random.default_rng(7)
    made = []
    for row in (row for row in rows if row.scope != RUN and not row.error):
        noise = generator.gamma(2.0, 0.4, invokes)
        for index, late in enumerate(noise):
            us = round(((row.p50_us or 0) + late) * 16) / 16
            made.append(
                SampleRow(
                    run=row.run or "",
                    session_number=row.session_number or 0,
                    board=row.board,
                    runtime=row.runtime,
                    model=row.model,
                    dtype=row.dtype,
                    index=index,
                    ticks=round(us * 64),
                    us=us,
                    instructions=row.instructions_p50,
                )
            )
    return made


def samples_of(rows: list[SampleRow]) -> Samples:
    """Rows of one run as their distributions."""
    numbers = sorted({row.session_number for row in rows})
    held = {number: [row for row in rows if row.session_number == number] for number in numbers}
    exact = all(row.instructions is not None for row in rows)
    return Samples(
        us={number: Spread.of(np.array([row.us for row in held[number]])) for number in numbers},
        instructions={
            number: Spread.of(np.array([row.instructions for row in held[number]]))
            for number in numbers
        }
        if exact
        else None,
    )


def output_rows(row: LatencyRow, *, wrong: int = 0) -> list[OutputRow]:
    """All 256 outputs of the committed sine; the first `wrong` of them off by 3 LSB."""
    sine = resolve_model("sine", ARTIFACTS)
    goldens, given, made = sine.goldens, sine.inputs[0], sine.outputs[0]
    assert goldens is not None and goldens.float_outputs is not None and goldens.truth is not None
    golden = goldens.outputs.reshape(-1).astype(int)
    return [
        OutputRow(
            run=row.run or "",
            board=row.board,
            runtime=row.runtime,
            model=row.model,
            dtype=row.dtype,
            sample=sample,
            element=0,
            x=given.scale * (int(goldens.inputs.reshape(-1)[sample]) - given.zero_point),
            board_raw=float(golden[sample] + 3 * (sample < wrong)),
            golden_raw=float(golden[sample]),
            board_real=made.scale * (golden[sample] + 3 * (sample < wrong) - made.zero_point),
            golden_real=made.scale * (golden[sample] - made.zero_point),
            float_real=float(goldens.float_outputs.reshape(-1)[sample]),
            truth=float(goldens.truth.reshape(-1)[sample]),
        )
        for sample in range(len(golden))
    ]


def layer_rows(row: LatencyRow) -> list[LayerRow]:
    """A profile of the sine's three layers."""
    costs = ((180, 16, "relu1"), (2400, 256, "relu2"), (310, 16, "out"))
    total = sum(cost for cost, _, _ in costs)
    return [
        LayerRow(
            run=f"p{(row.run or '')[1:]}",
            time_utc=row.time_utc,
            board=row.board,
            emulated=row.emulated,
            clock_hz=row.clock_hz,
            runtime=row.runtime,
            runtime_version=row.runtime_version,
            model=row.model,
            dtype=row.dtype,
            model_sha256=row.model_sha256,
            firmware_build="cdef" * 8,
            index=index,
            operator="FULLY_CONNECTED",
            name=name,
            shape="1x16",
            macs=macs,
            n=20,
            p50_ticks=float(cost),
            p50_us=cost / 64,
            instructions_p50=cost if row.emulated else None,
            macs_per_cycle=None if row.emulated else macs / cost,
            macs_per_instruction=macs / cost if row.emulated else None,
            share=cost / total,
            whole_us=total / 64,
            between_us=0.5,
            observing_us=0.2,
            whole_instructions=total if row.emulated else None,
            between_instructions=30 if row.emulated else None,
            observing_instructions=12 if row.emulated else None,
        )
        for index, (cost, macs, name) in enumerate(costs)
    ]


def memory_rows(row: LatencyRow) -> list[MemoryRow]:
    """Two owners of two sections."""
    return [
        MemoryRow(
            run=row.run or "",
            time_utc=row.time_utc,
            board=row.board,
            runtime=row.runtime,
            model=row.model,
            dtype=row.dtype,
            firmware_build=row.firmware_build,
            section=section,
            owner=owner,
            flash_bytes=flash,
            ram_bytes=ram,
        )
        for section, owner, flash, ram in (
            (".rodata", "model", 2640, 0),
            (".data", "rest", 124, 124),
        )
    ]


# Function, symbol, owner, parent's place in this list, instructions of 2965.
TREE = (
    ("runtime::Invoke", "_ZN7runtime6InvokeEv", "harness", None, 6),
    ("bknn_model_infer", "bknn_model_infer", "runtime", 0, 52),
    ("bknn_model_linear_s8", "bknn_model_linear_s8", "kernels", 1, 987),
    ("memcpy", "memcpy", "rest", 2, 1920),
)


def counted_rows(row: LatencyRow) -> tuple[list[FunctionRow], list[CallRow]]:
    """An invoke of which a C library built for size took most."""
    of = {
        "run": row.run or "",
        "board": row.board,
        "runtime": row.runtime,
        "model": row.model,
        "dtype": row.dtype,
    }
    functions, calls, after = [], [], 0
    for index, (name, symbol, owner, parent, alone) in reversed([*enumerate(TREE)]):
        after += alone
        functions.append(
            FunctionRow(
                **of,
                time_utc=row.time_utc,
                runtime_version=row.runtime_version,
                model_sha256=row.model_sha256,
                firmware_build=row.firmware_build,
                function=name,
                symbol=symbol,
                owner=owner,
                size_bytes=64,
                calls=1,
                instructions=alone,
                with_callees=after,
                **{**dict.fromkeys(KINDS, 0), "load": alone},
                whole_instructions=2965,
                timed_instructions=2967,
            )
        )
        calls.insert(
            0,
            CallRow(**of, index=index, parent=parent, function=name, calls=1, instructions=alone),
        )
    return functions, calls


def write(csv: Path, rows: list[LatencyRow], *, wrong: int = 0) -> None:
    """A latency.csv of one run, and the tables beside it."""
    append(csv, rows)
    append(beside(csv, "samples"), sample_rows(rows))
    append(beside(csv, "outputs"), output_rows(rows[-1], wrong=wrong))
    append(beside(csv, "layers"), layer_rows(rows[-1]))
    append(beside(csv, "memory"), memory_rows(rows[-1]))
    if rows[-1].instructions_p50 is not None:
        functions, calls = counted_rows(rows[-1])
        append(beside(csv, "functions"), functions)
        append(beside(csv, "calls"), calls)


def write_week(folder: Path) -> Path:
    """Seven nights of a real and an emulated board, each in a folder; the last got slower."""
    for night in range(7):
        late = night == 6
        for rows in (
            real_board(night, slower=1.04 if late else 1.0),
            emulated_board(night, instructions=2981 if late else 2967),
        ):
            write(folder / f"night{night}" / "latency.csv", rows)
    return folder
