"""What a report shows of measurements: rows made into arrays, drawn, or said where there is
nothing to draw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.board.registry import Registry
from harness.errors import ModelError, UnknownName
from harness.evidence import Measured, Subject
from harness.measure.compare import top1
from harness.measure.runs import least_delta_of
from harness.measure.tables import OWNERS, LatencyRow, OutputRow, SampleRow
from harness.model.artifact import read_manifest
from harness.model.training import find_trained, read_history
from harness.plots import (
    Curves,
    LayerBar,
    MemoryBar,
    Picture,
    TrendPoint,
    agreement_picture,
    confusion_picture,
    curve_pictures,
    latency_pictures,
    layer_pictures,
    memory_picture,
    training_pictures,
    trend_picture,
)
from harness.text import figure_text

COUNT, TIME = "instructions", "µs"
MOST_CLASSES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """Pictures under a title, and sentences for what no picture shows."""

    title: str
    pictures: tuple[Picture, ...] = ()
    says: tuple[str, ...] = ()


def label_of(subject: Subject) -> str:
    """A subject as it is called in pictures and headings."""
    board, runtime, model, dtype = subject
    return f"{model} {dtype} on {board}, {runtime}"


def latency_unit(row: LatencyRow) -> str:
    """Exact instructions where they are known, else microseconds."""
    return TIME if row.instructions_p50 is None else COUNT


def median_of(row: LatencyRow) -> float | None:
    """What baselines and trends compare, in `latency_unit(row)`."""
    if row.instructions_p50 is not None:
        return float(row.instructions_p50)
    return row.p50_us if row.session_p50_us is None else row.session_p50_us


def latency_exhibit(item: Measured, *, name: str) -> Exhibit | None:
    """Histogram and distribution of every timed invoke; None if none is known."""
    title = "Latency"
    if not item.samples:
        return None
    exact = all(row.instructions is not None for row in item.samples)
    unit = COUNT if exact else TIME
    sessions = _sessions(item.samples, exact=exact)
    everything = np.concatenate(list(sessions.values()))
    if np.ptp(everything) == 0:
        return Exhibit(title=title, says=(_constant(everything, len(sessions), unit),))
    return Exhibit(title=title, pictures=latency_pictures(sessions, unit=unit, name=name))


def _constant(samples: NDArray[np.float64], sessions: int, unit: str) -> str:
    took = f"{figure_text(float(samples[0]))} {unit}"
    if samples.size == 1:
        return f"One invoke was timed and took {took}: there is no distribution to draw."
    within = "one session" if sessions == 1 else f"{sessions} sessions"
    return (
        f"Every one of {samples.size:,} timed invokes in {within} took exactly {took}: there is no "
        "distribution to draw."
    )


def _sessions(rows: Sequence[SampleRow], *, exact: bool) -> dict[int, NDArray[np.float64]]:
    values: defaultdict[int, list[float]] = defaultdict(list)
    for row in rows:
        cost = row.instructions if exact and row.instructions is not None else row.us
        values[row.session_number].append(cost)
    return {number: np.array(held, dtype=np.float64) for number, held in values.items()}


def outputs_exhibit(item: Measured, roots: Iterable[Path], *, name: str) -> Exhibit | None:
    """Curves for a function, a confusion matrix for a classifier, else board against golden.

    None if no outputs are known.
    """
    title = "Outputs"
    rows = item.outputs
    if not rows:
        return None
    elements = 1 + max(row.element for row in rows)
    if rows[0].x is not None and elements == 1:
        return Exhibit(title=title, pictures=curve_pictures(_curves(rows), name=name))
    agreement = agreement_picture(
        np.array([row.board_raw for row in rows]),
        np.array([row.golden_raw for row in rows]),
        name=f"{name}-agreement",
    )
    confusion = _confusion(item, elements, roots, name=name)
    return Exhibit(title=title, pictures=(*confusion, agreement))


def _curves(rows: Sequence[OutputRow]) -> Curves:
    ordered = sorted(rows, key=lambda row: row.x or 0.0)

    def column(field: str) -> NDArray[np.float64] | None:
        values = [getattr(row, field) for row in ordered]
        return None if None in values else np.array(values, dtype=np.float64)

    x, board, golden = column("x"), column("board_real"), column("golden_real")
    assert x is not None and board is not None and golden is not None
    return Curves(
        x=x, board=board, golden=golden, float_model=column("float_real"), truth=column("truth")
    )


def _confusion(
    item: Measured, elements: int, roots: Iterable[Path], *, name: str
) -> tuple[Picture, ...]:
    scores: defaultdict[int, dict[int, float]] = defaultdict(dict)
    labels: dict[int, int] = {}
    for row in item.outputs:
        scores[row.sample][row.element] = row.board_real
        if row.label is not None:
            labels[row.sample] = row.label
    whole = [sample for sample in labels if len(scores[sample]) == elements]
    if not whole:
        return ()
    board = np.array([[scores[sample][place] for place in range(elements)] for sample in whole])
    true = np.array([labels[sample] for sample in whole], dtype=np.intp)
    predicted = top1(board)
    classes = 1 + int(max(true.max(), predicted.max(), elements - 1, 1))
    if classes > MOST_CLASSES or true.min() < 0:
        return ()
    names = _class_names(item.summary, roots)
    if len(names) != classes:
        names = tuple(str(number) for number in range(classes))
    return (confusion_picture(true, predicted, names, name=f"{name}-confusion"),)


def _class_names(row: LatencyRow, roots: Iterable[Path]) -> tuple[str, ...]:
    found = find_trained(row.model_sha256, roots)
    if found is None:
        return ()
    return tuple(str(label) for label in read_manifest(found.folder).get("labels") or ())


def layers_exhibit(item: Measured, *, name: str) -> Exhibit | None:
    """Cost of every operator, as the profiling build of the firmware found it; None if unknown."""
    if not item.layers:
        return None
    exact = all(row.instructions_p50 is not None for row in item.layers)
    bars = [
        LayerBar(
            label=f"{row.index} {row.operator}",
            cost=float(row.instructions_p50 or 0) if exact else row.p50_us,
            macs_rate=row.macs_per_instruction if exact else row.macs_per_cycle,
        )
        for row in item.layers
    ]
    unit, per = (COUNT, "instruction") if exact else (TIME, "cycle")
    profiled = item.layers[0]
    other = "" if profiled.run == item.summary.run else f" of another run, {profiled.time_utc}"
    says = (
        f"From the profiling build {profiled.firmware_build[:12]}{other}; the firmware that is "
        "measured carries no stamps.",
    )
    pictures = layer_pictures(bars, unit=unit, per=per, name=name)
    return Exhibit(title="Operators", pictures=pictures, says=says)


def training_exhibits(
    rows: Iterable[LatencyRow], roots: Sequence[Path], *, name: str
) -> tuple[Exhibit, ...]:
    """Curves of the trainings that made these very model files, each training once."""
    folders: dict[Path, str] = {}
    strange: dict[str, str] = {}
    for row in rows:
        found = find_trained(row.model_sha256, roots)
        if found is None:
            strange[row.model_sha256] = f"{row.model} {row.dtype} ({row.model_sha256[:12]})"
        else:
            folders[found.folder] = row.model
    exhibits = [
        _training(folder, title, name=f"{name}{order}")
        for order, (folder, title) in enumerate(folders.items(), start=1)
    ]
    if strange:
        says = (
            "Not among the project's models, so without curves and without pictures of what layers "
            f"see: {', '.join(strange.values())}."
        )
        exhibits.append(Exhibit(title="Other model files", says=(says,)))
    return tuple(exhibits)


def _training(folder: Path, title: str, *, name: str) -> Exhibit:
    try:
        history = read_history(folder)
    except ModelError as error:
        return Exhibit(title=title, says=(f"{error.what}.",))
    series, per = (history.epochs, "epoch") if history.epochs else (history.steps, "step")
    if not series:
        return Exhibit(title=title, says=("Nothing was trained: its weights are given.",))
    return Exhibit(title=title, pictures=training_pictures(series, per=per, name=name))


def memory_exhibit(items: Sequence[Measured], registry: Registry) -> Exhibit:
    """Flash and RAM of every firmware, by owner."""
    pictures, says = [], []
    for memory, prefix in (("flash", "flash"), ("RAM", "ram")):
        bars = [bar for item in items if (bar := _memory_bar(item, prefix, registry)) is not None]
        if bars:
            pictures.append(memory_picture(bars, memory=memory, name=f"memory-{prefix}"))
    none = [label_of(item.subject) for item in items if item.summary.flash_bytes is None]
    if none:
        says.append(f"Without firmware, so without sizes: {'; '.join(none)}.")
    return Exhibit(title="Memory", pictures=tuple(pictures), says=tuple(says))


def _memory_bar(item: Measured, prefix: str, registry: Registry) -> MemoryBar | None:
    row = item.summary
    total: int | None = getattr(row, f"{prefix}_bytes")
    if total is None:
        return None
    held = {owner: getattr(row, f"{prefix}_{owner}_bytes") for owner in OWNERS}
    try:
        capacity: int | None = getattr(registry[row.board], f"{prefix}_bytes")
    except UnknownName:
        capacity = None
    return MemoryBar(
        label=label_of(item.subject),
        total=total,
        owners={owner: size for owner, size in held.items() if size is not None},
        capacity=capacity,
    )


def trend_exhibit(histories: Sequence[Sequence[Measured]], *, title: str, name: str) -> Exhibit:
    """Medians over time, one picture for each subject with two runs or more.

    Args:
        histories: of each subject, its measurements in the order of time.
    """
    pictures, single = [], []
    for order, items in enumerate(histories):
        last = items[-1].summary
        unit = latency_unit(last)
        points = [
            point
            for item in items
            if latency_unit(item.summary) == unit and (point := _trend_point(item)) is not None
        ]
        if len(points) < 2:
            single.append(label_of(items[-1].subject))
            continue
        pictures.append(
            trend_picture(
                points,
                unit=unit,
                title=label_of(items[-1].subject),
                tolerance=_tolerance(last),
                name=f"{name}-{order}",
            )
        )
    says = (f"Measured once, so no trend yet: {'; '.join(single)}.",) if single else ()
    return Exhibit(title=title, pictures=tuple(pictures), says=says)


def _tolerance(row: LatencyRow) -> float:
    """Share of the baseline by which a median may be off without any consequence."""
    if latency_unit(row) == COUNT:
        return 0.0
    return least_delta_of(row)


def _trend_point(item: Measured) -> TrendPoint | None:
    row = item.summary
    median, when = median_of(row), item.when
    if median is None or when is None:
        return None
    ratio = row.baseline_ratio
    return TrendPoint(
        when=when,
        median=median,
        verdict=row.baseline_verdict,
        baseline=median / ratio if ratio else None,
        low=row.baseline_low,
        high=row.baseline_high,
    )
