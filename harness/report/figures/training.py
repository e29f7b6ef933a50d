"""Training: how the metrics of a model's training went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.errors import ModelError
from harness.measure.tables import LatencyRow
from harness.model.training import find_trained, read_history
from harness.report.figure import FigureGroup, Picture
from harness.report.figures.canvas import BLUE, VERMILION, _legend, axes, style, svg
from harness.text import counted


def training_pictures(
    series: Mapping[str, Sequence[float]], *, per: str, name: str
) -> tuple[Picture, ...]:
    """One picture for each metric, of training data and of data kept apart (`val_`).

    Args:
        series: values by metric; `per` is what there is one value for, "epoch" or "step".
    """
    metrics = [metric for metric in series if not metric.startswith("val_")]
    return tuple(
        _training(metric, series, per=per, name=f"{name}-training-{order}")
        for order, metric in enumerate(sorted(metrics, key=lambda metric: metric != "loss"))
    )


def _training(
    metric: str, series: Mapping[str, Sequence[float]], *, per: str, name: str
) -> Picture:
    trained, apart = series[metric], series.get(f"val_{metric}", ())
    with style():
        drawn = axes()
        for values, label, colour, dashes in (
            (trained, "training data", BLUE, "solid"),
            (apart, "data kept apart", VERMILION, "dashed"),
        ):
            if values:
                mark = "." if len(values) <= 50 else ""
                drawn.plot(
                    range(1, len(values) + 1),
                    values,
                    marker=mark,
                    color=colour,
                    linestyle=dashes,
                    label=label,
                )
        everything = [*trained, *apart]
        if min(everything) > 0 and max(everything) > 20 * min(everything):
            drawn.set_yscale("log")
        drawn.set_xlabel(per)
        drawn.set_ylabel(metric)
        drawn.xaxis.get_major_locator().set_params(integer=True)
        _legend(drawn, 2 if apart else 1)
        last = f"{trained[-1]:.4g} after {counted(len(trained), per)}"
        if apart:
            last += f", {apart[-1]:.4g} on data kept apart"
        picture = svg(
            drawn,
            name=name,
            label=f"Training curve: {metric} by {per}; {last}.",
        )
    return Picture(title=metric, caption=f"{last[0].upper()}{last[1:]}.", svg=picture)


def training_figures(
    rows: Iterable[LatencyRow], roots: Sequence[Path], *, name: str
) -> tuple[FigureGroup, ...]:
    """Curves of the trainings that made these very model files, each training once."""
    folders: dict[Path, str] = {}
    strange: dict[str, str] = {}
    for row in rows:
        found = find_trained(row.model_sha256, roots)
        if found is None:
            strange[row.model_sha256] = f"{row.model} {row.dtype} ({row.model_sha256[:12]})"
        else:
            folders[found.folder] = row.model
    figures = [
        _figures_of(folder, title, name=f"{name}{order}")
        for order, (folder, title) in enumerate(folders.items(), start=1)
    ]
    if strange:
        says = (
            "Not among the project's models, so without curves and without pictures of what layers "
            f"see: {', '.join(strange.values())}."
        )
        figures.append(FigureGroup(title="Other model files", says=(says,)))
    return tuple(figures)


def _figures_of(folder: Path, title: str, *, name: str) -> FigureGroup:
    try:
        history = read_history(folder)
    except ModelError as error:
        return FigureGroup(title=title, says=(f"{error.what}.",))
    series, per = (history.epochs, "epoch") if history.epochs else (history.steps, "step")
    if not series:
        return FigureGroup(title=title, says=("Nothing was trained: its weights are given.",))
    return FigureGroup(title=title, pictures=training_pictures(series, per=per, name=name))
