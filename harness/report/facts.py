"""Facts and statistics of all measurements of a report, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.measure.runs import Run
from harness.measure.tables import LatencyRow
from harness.text import figure_text, size_text

ABSENT = "–"
DIGITS = 12
"""Of a hash that a person looks at; the CSV has them all."""
COLUMNS = 6
"""Measurements side by side in one table, so that it fits on paper."""
_DIRTY = "-dirty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table: `rows` are cells beneath `headings`, the first of each the row's own heading."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def kind_of(row: LatencyRow) -> str:
    if not row.emulated:
        return ""
    if row.instructions_p50 is not None:
        return "instructions"
    return "modelled cycles" if row.port.startswith("sim:") else "host time"


def figure_of(value: float | None) -> str:
    return ABSENT if value is None else figure_text(value)


def text_of(value: object) -> str:
    return ABSENT if value is None or value == "" else str(value)


def _commit(row: LatencyRow) -> str:
    if row.git_commit is None:
        return ABSENT
    if row.git_commit.endswith(_DIRTY):
        return f"{row.git_commit.removesuffix(_DIRTY)}, with uncommitted changes"
    return f"{row.git_commit}, nothing uncommitted"


def _hertz(value: int | None) -> str:
    if value is None:
        return ABSENT
    return f"{value / 1e6:g} MHz" if value >= 1_000_000 else f"{value:,} Hz"


_FACTS: tuple[tuple[str, Callable[[LatencyRow], str]], ...] = (
    ("board", lambda row: row.board),
    ("unique id", lambda row: text_of(row.board_uid)),
    ("port", lambda row: row.port),
    ("core", lambda row: row.mcu),
    ("clock", lambda row: _hertz(row.clock_hz)),
    ("latency is", lambda row: _sense(row)),
    ("runtime", lambda row: f"{row.runtime} {row.runtime_version}"),
    ("kernels", lambda row: text_of(row.kernels)),
    ("compiler", lambda row: text_of(row.compiler)),
    ("flags", lambda row: text_of(row.flags)),
    ("state between invokes", lambda row: text_of(row.state)),
    ("model", lambda row: f"{row.model} {row.dtype}"),
    ("model's SHA-256", lambda row: row.model_sha256[:DIGITS]),
    ("firmware build", lambda row: row.firmware_build[:DIGITS]),
    ("judged by", lambda row: text_of(row.reference)),
    ("timer", lambda row: _timer(row)),
    ("harness", lambda row: text_of(row.harness_version)),
    ("git commit", lambda row: _commit(row)),
    ("host", lambda row: text_of(row.host)),
    ("run", lambda row: text_of(row.run)),
    ("written, UTC", lambda row: row.time_utc.replace("T", " ").removesuffix("Z")),
)


def _sense(row: LatencyRow) -> str:
    return {
        "instructions": "exact instructions of the emulator, not time on silicon",
        "modelled cycles": "cycles by the simulator's model, not time on silicon",
        "host time": "this host's time, not time on silicon",
        "": "time by the board's own counter",
    }[kind_of(row)]


def _timer(row: LatencyRow) -> str:
    if row.tick_hz is None:
        return ABSENT
    return (
        f"{_hertz(row.tick_hz)}, step {text_of(row.timer_step_ticks)}, "
        f"read cost {text_of(row.timer_read_ticks)} ticks"
    )


def _side_by_side(
    caption: str, items: Sequence[Run], lines: Sequence[tuple[str, ...]]
) -> tuple[Grid, ...]:
    """Rows with one cell for each measurement, split into tables that fit."""
    heads = [
        f"{item.row.model} {item.row.dtype}, {item.row.board}, {item.row.runtime}" for item in items
    ]
    return tuple(
        Grid(
            caption=caption if begin == 0 else f"{caption}, continued",
            headings=("", *heads[begin : begin + COLUMNS]),
            rows=tuple((line[0], *line[1 + begin : 1 + begin + COLUMNS]) for line in lines),
        )
        for begin in range(0, len(items), COLUMNS)
    )


def provenance(
    items: Sequence[Run],
) -> tuple[tuple[tuple[str, str], ...], tuple[Grid, ...]]:
    """Facts that all measurements share, and tables of facts that differ."""
    shared, differing = [], []
    for name, fact in _FACTS:
        values = tuple(fact(item.row) for item in items)
        if len(set(values)) > 1:
            differing.append((name, *values))
        elif values and values[0] != ABSENT:
            shared.append((name, values[0]))
    caption = "What differs between the measurements"
    return tuple(shared), _side_by_side(caption, items, differing) if differing else ()


_NUMBERS: tuple[tuple[str, Callable[[LatencyRow], str]], ...] = (
    ("sessions", lambda row: figure_of(row.sessions)),
    ("invokes", lambda row: figure_of(row.n)),
    ("instructions, median", lambda row: figure_of(row.instructions_p50)),
    ("median of session medians, µs", lambda row: figure_of(row.session_p50_us)),
    ("median, µs", lambda row: figure_of(row.p50_us)),
    ("MAD, µs", lambda row: figure_of(row.mad_us)),
    ("mean, µs", lambda row: figure_of(row.mean_us)),
    ("std, µs", lambda row: figure_of(row.std_us)),
    ("min, µs", lambda row: figure_of(row.min_us)),
    ("p95, µs", lambda row: figure_of(row.p95_us)),
    ("p99, µs", lambda row: figure_of(row.p99_us)),
    ("max, µs", lambda row: figure_of(row.max_us)),
    ("cold, µs", lambda row: figure_of(row.cold_us)),
    ("cold, instructions", lambda row: figure_of(row.cold_instructions)),
    ("TFLM on the host, median µs", lambda row: figure_of(row.host_p50_us)),
    ("one input over the link and back, µs", lambda row: figure_of(row.link_us)),
    ("inputs compared", lambda row: figure_of(row.samples)),
    ("inputs that differ", lambda row: figure_of(row.mismatches)),
    ("largest difference, LSB", lambda row: figure_of(row.max_abs_lsb)),
    ("mean error against float", lambda row: figure_of(row.mae_vs_float)),
    ("largest error against truth", lambda row: figure_of(row.max_abs_vs_truth)),
    ("accuracy", lambda row: _share(row.accuracy)),
    ("accuracy of the golden", lambda row: _share(row.golden_accuracy)),
    ("flash", lambda row: _size(row.flash_bytes)),
    ("RAM", lambda row: _size(row.ram_bytes)),
    ("arena used", lambda row: _size(row.arena_used_bytes)),
    ("stack used", lambda row: _size(row.stack_used_bytes)),
    ("stack reserved", lambda row: _size(row.stack_bytes)),
)


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2%}"


def _size(value: int | None) -> str:
    return ABSENT if value is None else size_text(value)


def numbers(items: Sequence[Run]) -> tuple[Grid, ...]:
    """Statistics, one line each; what no measurement has is left out."""
    lines = [(name, *(of(item.row) for item in items)) for name, of in _NUMBERS]
    kept = tuple(line for line in lines if set(line[1:]) != {ABSENT})
    return _side_by_side("Each run, all its sessions together", items, kept)
