"""The HTML report: one self-contained file that uses no network and needs no script."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from harness.board.registry import Registry
from harness.errors import NotWritten, ReportError
from harness.files import write_atomic
from harness.measure import by_core
from harness.measure.kinds import KINDS
from harness.measure.runs import Run
from harness.measure.tables import EvaluationRow, LatencyRow
from harness.progress import Progress, no_progress
from harness.report.data import (
    COUNT,
    TIME,
    ReportData,
    gather,
    label_of,
    latency_unit,
    median_of,
    newest_of,
    those_of,
)
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
from harness.report.operators import PAGE_HEADINGS, cells_of_rows
from harness.report.output import TITLE
from harness.report.verdicts import Overall, Verdicts, overall, verdicts_of
from harness.text import figure_text, size_text
from harness.version import __version__

TEMPLATES = Path(__file__).with_name("templates")
ABSENT = "–"
FAULT = "This is a fault of the harness"
"""Said where a page cannot be drawn for a reason that nobody thought of."""
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
    shared, differing = _provenance(chosen)
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
        numbers=_numbers(chosen),
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
        kind=_kind(row),
        median=_figure(median_of(row)),
        unit=latency_unit(row),
        verdicts=verdicts_of(row, item.sessions, item.operators, cut_short=item.cut_short),
        figures=tuple(figure for figure in figures if figure is not None),
        tables=(_sessions(item), *_operators(item), *_functions(item), *_sections(item)),
    )


def _kind(row: LatencyRow) -> str:
    if not row.emulated:
        return ""
    if row.instructions_p50 is not None:
        return "instructions"
    return "modelled cycles" if row.port.startswith("sim:") else "host time"


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


def _figure(value: float | None) -> str:
    return ABSENT if value is None else figure_text(value)


def _text(value: object) -> str:
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
    ("unique id", lambda row: _text(row.board_uid)),
    ("port", lambda row: row.port),
    ("core", lambda row: row.mcu),
    ("clock", lambda row: _hertz(row.clock_hz)),
    ("latency is", lambda row: _sense(row)),
    ("runtime", lambda row: f"{row.runtime} {row.runtime_version}"),
    ("kernels", lambda row: _text(row.kernels)),
    ("compiler", lambda row: _text(row.compiler)),
    ("flags", lambda row: _text(row.flags)),
    ("state between invokes", lambda row: _text(row.state)),
    ("model", lambda row: f"{row.model} {row.dtype}"),
    ("model's SHA-256", lambda row: row.model_sha256[:DIGITS]),
    ("firmware build", lambda row: row.firmware_build[:DIGITS]),
    ("judged by", lambda row: _text(row.reference)),
    ("timer", lambda row: _timer(row)),
    ("harness", lambda row: _text(row.harness_version)),
    ("git commit", lambda row: _commit(row)),
    ("host", lambda row: _text(row.host)),
    ("run", lambda row: _text(row.run)),
    ("written, UTC", lambda row: row.time_utc.replace("T", " ").removesuffix("Z")),
)


def _sense(row: LatencyRow) -> str:
    return {
        "instructions": "exact instructions of the emulator, not time on silicon",
        "modelled cycles": "cycles by the simulator's model, not time on silicon",
        "host time": "this host's time, not time on silicon",
        "": "time by the board's own counter",
    }[_kind(row)]


def _timer(row: LatencyRow) -> str:
    if row.tick_hz is None:
        return ABSENT
    return (
        f"{_hertz(row.tick_hz)}, step {_text(row.timer_step_ticks)}, "
        f"read cost {_text(row.timer_read_ticks)} ticks"
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


def _provenance(
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
    ("sessions", lambda row: _figure(row.sessions)),
    ("invokes", lambda row: _figure(row.n)),
    ("instructions, median", lambda row: _figure(row.instructions_p50)),
    ("median of session medians, µs", lambda row: _figure(row.session_p50_us)),
    ("median, µs", lambda row: _figure(row.p50_us)),
    ("MAD, µs", lambda row: _figure(row.mad_us)),
    ("mean, µs", lambda row: _figure(row.mean_us)),
    ("std, µs", lambda row: _figure(row.std_us)),
    ("min, µs", lambda row: _figure(row.min_us)),
    ("p95, µs", lambda row: _figure(row.p95_us)),
    ("p99, µs", lambda row: _figure(row.p99_us)),
    ("max, µs", lambda row: _figure(row.max_us)),
    ("cold, µs", lambda row: _figure(row.cold_us)),
    ("cold, instructions", lambda row: _figure(row.cold_instructions)),
    ("TFLM on the host, median µs", lambda row: _figure(row.host_p50_us)),
    ("one input over the link and back, µs", lambda row: _figure(row.link_us)),
    ("inputs compared", lambda row: _figure(row.samples)),
    ("inputs that differ", lambda row: _figure(row.mismatches)),
    ("largest difference, LSB", lambda row: _figure(row.max_abs_lsb)),
    ("mean error against float", lambda row: _figure(row.mae_vs_float)),
    ("largest error against truth", lambda row: _figure(row.max_abs_vs_truth)),
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


def _numbers(items: Sequence[Run]) -> tuple[Grid, ...]:
    """Statistics, one line each; what no measurement has is left out."""
    lines = [(name, *(of(item.row) for item in items)) for name, of in _NUMBERS]
    kept = tuple(line for line in lines if set(line[1:]) != {ABSENT})
    return _side_by_side("Each run, all its sessions together", items, kept)


def _sessions(item: Run) -> Grid:
    rows = tuple(
        (
            _text(row.session_number or ABSENT),
            _text(row.began),
            _figure(row.n),
            _figure(row.cold_us),
            _figure(median_of(row)),
            _figure(row.mad_us),
            _figure(row.p95_us),
            _figure(row.max_us),
            row.error or "",
        )
        for row in item.sessions
    )
    headings = (
        "session",
        "began with",
        "invokes",
        "cold, µs",
        f"median, {latency_unit(item.row)}",
        "MAD, µs",
        "p95, µs",
        "max, µs",
        "lost by",
    )
    return Grid(caption="Each session: one start of the board", headings=headings, rows=rows)


def _sections(item: Run) -> tuple[Grid, ...]:
    """What each owner takes in each section of the firmware."""
    if not item.memory:
        return ()
    rows = tuple(
        (
            row.section,
            row.owner,
            f"{row.flash_bytes:,}" if row.flash_bytes else "",
            f"{row.ram_bytes:,}" if row.ram_bytes else "",
        )
        for row in item.memory
    )
    headings = ("section", "owner", "flash, bytes", "RAM, bytes")
    return (Grid(caption="Memory by section and owner", headings=headings, rows=rows),)


def _operators(item: Run) -> tuple[Grid, ...]:
    """Each operator of the run's profile against that of its baseline."""
    rows = cells_of_rows(item.operators)
    if not rows:
        return ()
    exact = all(row.before_us is None and row.now_us is None for row in item.operators)
    caption = (
        f"Operators against run {item.operators[0].baseline_run}, in {COUNT if exact else TIME}"
    )
    return (Grid(caption=caption, headings=PAGE_HEADINGS, rows=rows),)


_MOST_FUNCTIONS = 50


def _functions(item: Run) -> tuple[Grid, ...]:
    """What each function took of one invoke that an emulator counted."""
    if not item.functions:
        return ()
    whole = max(1, item.functions[0].whole_instructions)
    rows = tuple(
        (
            row.function,
            row.owner,
            f"{row.calls:,}",
            f"{row.instructions:,}",
            f"{row.instructions / whole:.1%}",
            f"{row.with_callees:,}",
            *(f"{getattr(row, kind):,}" if getattr(row, kind) else "" for kind in KINDS),
        )
        for row in item.functions[:_MOST_FUNCTIONS]
    )
    left = len(item.functions) - len(rows)
    caption = "Instructions by function" + (f"; {left} that took less are left out" if left else "")
    headings = ("function", "owner", "calls", "its own", "share", "with callees", *KINDS)
    return (Grid(caption=caption, headings=headings, rows=rows),)


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
