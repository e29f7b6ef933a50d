"""`latency.csv`: one row per board, runtime, model, dtype and session; see docs/csv.md."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from filelock import FileLock


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRow:
    """A row of `latency.csv`; the columns are the fields, in this order. None is an empty cell."""

    time_utc: str
    git_commit: str | None
    session: str
    board: str
    board_uid: str | None
    port: str
    mcu: str
    clock_hz: int
    emulated: bool
    runtime: str
    runtime_version: str
    model: str
    dtype: str
    model_sha256: str
    firmware_build: str
    flash_bytes: int | None
    ram_bytes: int | None
    arena_used_bytes: int | None
    reference: str | None = None
    samples: int | None = None
    mismatches: int | None = None
    max_abs_lsb: float | None = None
    mae_vs_float: float | None = None
    max_abs_vs_truth: float | None = None
    retries: int = 0
    n: int | None = None
    warmup: int | None = None
    cold_us: float | None = None
    min_us: float | None = None
    p50_us: float | None = None
    mad_us: float | None = None
    mean_us: float | None = None
    p95_us: float | None = None
    p99_us: float | None = None
    max_us: float | None = None
    instructions_p50: int | None = None
    host_p50_us: float | None = None
    verdict: str | None = None
    kernels: str | None = None
    tick_hz: int | None = None
    timer_step_ticks: int | None = None
    timer_read_ticks: int | None = None
    accuracy: float | None = None
    golden_accuracy: float | None = None
    link_us: float | None = None


COLUMNS = tuple(item.name for item in fields(LatencyRow))


def cell(value: object) -> str:
    """Text of one cell: empty for None, six significant digits for a float, lower-case booleans."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _set_aside(path: Path) -> None:
    """Keep a file of other columns under the first free name `latency.1.csv`, `latency.2.csv`..."""
    number = 1
    while (aside := path.with_suffix(f".{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)


def _cut_torn_line(path: Path) -> None:
    """Drop a last line without its newline: what a power cut left of a row nobody was told of."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def append_rows(path: Path, rows: list[LatencyRow]) -> None:
    """Append whole rows, durably, safe against other writers and against being killed.

    Every call is one write to a file opened for appending, followed by fsync, under a lock
    file beside it. A file with other columns is set aside under a numbered name, never overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = _lines([list(COLUMNS)])
    with FileLock(f"{path}.lock"):
        if path.exists():
            _cut_torn_line(path)
            with path.open("rb") as existing:
                first = existing.readline()
            if first and first.rstrip(b"\r\n") != header.rstrip(b"\n"):
                _set_aside(path)
        fresh = not path.exists() or path.stat().st_size == 0
        content = _lines([[cell(value) for value in astuple(row)] for row in rows])
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _write_all(handle, header + content if fresh else content)
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Aligned plain-text table: first column left, the others right."""
    grid = [headings, *rows]
    widths = [max(len(row[column]) for row in grid) for column in range(len(headings))]
    lines = []
    for row in grid:
        cells = [row[0].ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
