"""The HTML report: one self-contained file that uses no network and needs no script."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from harness.board.registry import Registry
from harness.errors import NotWritten, ReportError
from harness.files import write_atomic
from harness.measure import by_core
from harness.measure.runs import Run
from harness.measure.tables import EvaluationRow
from harness.progress import Progress, no_progress
from harness.report.data import (
    ReportData,
    gather,
    label_of,
    latency_unit,
    median_of,
    newest_of,
    those_of,
)
from harness.report.facts import Grid, figure_of, kind_of, numbers, provenance
from harness.report.figure import FigureGroup
from harness.report.figures.energy import HEADINGS as ENERGY_HEADINGS
from harness.report.figures.energy import (
    Metered,
    energy_cells,
    energy_figures,
    metered_of,
    more_of,
    unknown_of,
)
from harness.report.figures.evaluation import HEADINGS, evaluation_cells, evaluation_figures
from harness.report.figures.features import FeatureMapSection, feature_maps
from harness.report.figures.flame import flame_figures
from harness.report.figures.latency import latency_figures
from harness.report.figures.memory import memory_figures
from harness.report.figures.operators import operator_figures
from harness.report.figures.outputs import output_figures
from harness.report.figures.training import training_figures
from harness.report.figures.trend import trend_figures
from harness.report.output import TITLE
from harness.report.run_tables import tables_of
from harness.report.verdicts import Overall, Verdicts, overall, verdicts_of
from harness.version import __version__

TEMPLATES = Path(__file__).with_name("templates")
FAULT = "This is a fault of the harness"
"""Said where a page cannot be drawn for a reason that nobody thought of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One measurement on the page; `anchor` is its HTML id."""

    anchor: str
    board: str
    runtime: str
    model: str
    kind: str
    """`instructions`, `modelled cycles`, `host time` or nothing: in which sense it is not time on
    silicon.
    """
    median: str
    unit: str
    verdicts: Verdicts
    figures: tuple[FigureGroup, ...]
    tables: tuple[Grid, ...]
    """What is folded away on a screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything the template needs, in the order of the page."""

    title: str
    made: str
    source: str
    version: str
    overall: Overall
    notes: tuple[str, ...]
    entries: tuple[Section, ...]
    shared: tuple[tuple[str, str], ...]
    differing: tuple[Grid, ...]
    numbers: tuple[Grid, ...]
    absent: tuple[str, ...]
    memory: FigureGroup
    layers: FeatureMapSection
    training: tuple[FigureGroup, ...]
    trends: tuple[FigureGroup, ...]
    emulated: bool
    cores: Grid | None = None
    """Models by emulated core, where several ran one; `cores_notes` say what it needs."""
    cores_notes: tuple[str, ...] = ()
    evaluated: Grid | None = None
    """Data sets that went through boards, and in `evaluations` their figures."""
    evaluations: tuple[FigureGroup, ...] = ()
    metered: Grid | None = None
    """Energies of the measurements that a meter was there for, and in `energy` their figures."""
    energy: FigureGroup | None = None


def write_report(
    source: Path,
    output: Path,
    *,
    now: datetime,
    artifacts: Sequence[Path],
    registry: Registry,
    runs: Collection[str] | None = None,
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Read CSV files and write the page; a reader never sees half of it.

    Args:
        source: a latency.csv, whose other tables are looked for beside it, or a folder of CSVs.
        artifacts: folders of artifact folders, for curves of trainings, names of classes and
            pictures of what layers see.
        registry: boards, for what memory they have.
        runs: only these; the trends still show what came before. None: the newest measurement of
            each board, runtime, model and dtype.

    Returns:
        What was left out, one line each; the page says it too.

    Raises:
        ReportError: nothing to report, `output` cannot be written, or anything else went wrong.
    """
    try:
        # Whoever has warnings as errors means his own code.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _written(source, output, now, artifacts, registry, runs, progress)
    except ReportError:
        raise
    except Exception as error:
        # A page is drawn of whatever files hold: no fault in that may cost the run's results.
        raise ReportError(
            f"the report of {source} cannot be made: {type(error).__name__}: {error}",
            hint=f"{FAULT}: please report it, with the CSV files.",
        ) from error


def _written(
    source: Path,
    output: Path,
    now: datetime,
    artifacts: Sequence[Path],
    registry: Registry,
    runs: Collection[str] | None,
    progress: Progress,
) -> tuple[str, ...]:
    data = gather(source, newest_of if runs is None else lambda found: those_of(found, runs))
    chosen = data.newest() if runs is None else data.of_runs(runs)
    # What was asked for are runs: data sets have runs of their own.
    evaluations = data.evaluations if runs is None else ()
    if not chosen and not evaluations:
        raise ReportError(f"{source} holds no measurement of this run")
    data = replace(data, evaluations=evaluations)
    page = compose(data, chosen, now=now, artifacts=artifacts, registry=registry, progress=progress)
    _write(output, render(page))
    return page.notes


def compose(
    data: ReportData,
    chosen: Sequence[Run],
    *,
    now: datetime,
    artifacts: Sequence[Path],
    registry: Registry,
    progress: Progress = no_progress,
) -> Page:
    """Compose the page for these measurements."""
    entries = []
    with progress("drawing measurement", len(chosen)) as advance:
        for order, item in enumerate(chosen, start=1):
            entries.append(_entry(item, f"m{order}", artifacts))
            advance(1)
    shared, differing = provenance(chosen)
    metered = metered_of(chosen)
    cores = by_core.compared(by_core.by_core(item.row for item in chosen))
    return Page(
        title=TITLE,
        made=now.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        source=str(data.source),
        version=__version__,
        overall=overall(
            [(label_of(i.subject), e.verdicts) for i, e in zip(chosen, entries, strict=True)],
            differing=[
                f"{row.model} {row.dtype} on {row.board}, {row.runtime}, of {row.data}"
                + (f", output {row.output}" if row.output else "")
                for row in data.evaluations
                if row.disagreements
            ],
            evaluated=len({row.run for row in data.evaluations}),
            more_energy=more_of(metered),
            no_energy=unknown_of(metered),
        ),
        notes=data.notes,
        entries=tuple(entries),
        shared=shared,
        differing=differing,
        numbers=numbers(chosen),
        absent=_absent(chosen),
        memory=memory_figures(chosen, registry),
        layers=feature_maps([item.row for item in chosen], artifacts),
        training=training_figures([item.row for item in chosen], artifacts, name="t"),
        trends=_trends(data, chosen),
        emulated=any(item.row.emulated for item in chosen),
        cores=_cores(cores),
        cores_notes=tuple(by_core.notes(cores)),
        evaluated=_evaluated(data.evaluations),
        evaluations=evaluation_figures(data.evaluations, name="d"),
        metered=_metered(metered),
        energy=energy_figures(metered) if metered else None,
    )


def _metered(items: Sequence[Metered]) -> Grid | None:
    if not items:
        return None
    return Grid(
        caption="The energy of one inference, uncertainties with k = 2",
        headings=ENERGY_HEADINGS,
        rows=tuple(map(energy_cells, items)),
    )


def _cores(rows: Sequence[by_core.CoreRow]) -> Grid | None:
    if not rows:
        return None
    return Grid(
        caption="The emulated cores that ran a model, fewest instructions first",
        headings=by_core.PAGE_HEADINGS,
        rows=tuple(map(by_core.page_cells, rows)),
    )


def _evaluated(rows: Sequence[EvaluationRow]) -> Grid | None:
    if not rows:
        return None
    return Grid(
        caption="The newest of each data set, board, runtime and model",
        headings=HEADINGS,
        rows=tuple(map(evaluation_cells, rows)),
    )


def render(page: Page) -> str:
    """The page as HTML. Whatever came from a board or a file is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(page=page).lstrip()


def _write(output: Path, text: str) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        # A path may hold bytes that are no text.
        write_atomic(output, text.encode(errors="replace"))
    except OSError as error:
        raise NotWritten(f"cannot write {output}: {error.strerror}") from error


def _entry(item: Run, anchor: str, artifacts: Sequence[Path]) -> Section:
    row = item.row
    figures = [
        latency_figures(item, name=anchor),
        output_figures(item, artifacts, name=anchor),
        operator_figures(item, name=anchor),
        flame_figures(item),
    ]
    return Section(
        anchor=anchor,
        board=row.board,
        runtime=row.runtime,
        model=f"{row.model} {row.dtype}",
        kind=kind_of(row),
        median=figure_of(median_of(row)),
        unit=latency_unit(row),
        verdicts=verdicts_of(row, item.sessions, item.operators, cut_short=item.cut_short),
        figures=tuple(figure for figure in figures if figure is not None),
        tables=tables_of(item),
    )


def _absent(items: Sequence[Run]) -> tuple[str, ...]:
    """What is missing from the files, one line each."""
    lines = []
    for what, table in (
        ("histogram", "samples"),
        ("outputs", "outputs"),
        ("profile of operators", "layers"),
    ):
        without = [label_of(item.subject) for item in items if not getattr(item, table)]
        if without:
            whose = "any of them" if len(without) == len(items) > 1 else "; ".join(without)
            lines.append(f"No {what}: {table}.csv holds nothing of {whose}.")
    return tuple(lines)


def _trends(data: ReportData, chosen: Sequence[Run]) -> tuple[FigureGroup, ...]:
    """Emulated and real boards apart: a count of instructions is no time on silicon."""
    history = data.history()
    figures = []
    for title, name, emulated in (
        ("Real boards", "real", False),
        ("Emulated boards: not time on silicon", "emulated", True),
    ):
        kept = [history[item.subject] for item in chosen if item.row.emulated == emulated]
        if kept:
            figures.append(trend_figures(kept, title=title, name=name))
    return tuple(figures)
