"""`hil compare`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cli.command import Command
from harness.cli.machine import add_json, print_json
from harness.errors import NotWritten, ReportError, WrongUse
from harness.files import refuse_foreign, refuse_overwriting, write_atomic
from harness.measure import footprint, function_changes, versus
from harness.measure.csvfile import begin_of, latency_beside
from harness.measure.energy_gate import energies_versus, load_energies
from harness.measure.function_changes import FunctionChanges, compare_functions, load_functions
from harness.measure.operator_gate import with_profiles
from harness.measure.place import inputs_of
from harness.measure.runs import Baselines, load_runs
from harness.outcome import Outcome
from harness.report import operators
from harness.report.comparison import Compared, compared, document_of
from harness.report.document import Document, Note, as_json, is_document
from harness.report.gitlab import (
    METRICS_FILE,
    QUALITY_FILE,
    findings_of,
    is_metrics_report,
    is_quality_report,
    metrics_text,
    quality_text,
)
from harness.report.markdown import as_markdown
from harness.terminal import say, say_notes

TITLE = "Comparison"
GITLAB = "gitlab"
Ours = Callable[[Path], bool]
"""Whether a file is an earlier comparison, which may be written over."""
_IS_OURS: dict[str, Ours] = {QUALITY_FILE: is_quality_report, METRICS_FILE: is_metrics_report}


def compare(options: argparse.Namespace) -> int:
    """Compare two CSV files or folders of them, as of two commits: ratios with intervals."""
    targets = _targets(options)
    if options.layers:
        # Whoever asks for layers may well name layers.csv.
        options.a, options.b = (
            path if path.is_dir() else latency_beside(path, "layers")
            for path in (options.a, options.b)
        )
    for target in targets:
        refuse_overwriting(target, "--output", [*inputs_of(options.a), *inputs_of(options.b)])
    a, b = load_runs(options.a), load_runs(options.b)
    for side in (a, b):
        say_notes(side.notes)
        if not side.runs:
            raise ReportError(f"{side.source} has no complete run")
    if options.layers:
        a, b = _profiled(a, options.a), _profiled(b, options.b)
    sizes = options.memory or options.gate_memory
    found = compared(a, b, sizes=sizes, operators=options.layers)
    if options.energy:
        found = replace(found, energies=_energies(options.a, options.b))
    if options.functions:
        found = replace(found, functions=_functions(options.a, options.b))
    if options.json:
        print_json("compare", _object(found))
    elif options.output is None:
        print(_text(found, options.format))
    else:
        _write_all(targets, found, options.format)
    return _status(found, options)


def _energies(a: Path, b: Path) -> tuple[versus.VersusRow, ...]:
    before, after = load_energies(a), load_energies(b)
    say_notes((*before.notes, *after.notes))
    for side in (before, after):
        if not side.rows:
            raise ReportError(
                f"{side.source} has no energy of its runs",
                hint="Measure with hil bench --energy, or pytest --hil-energy: energy.csv comes "
                "beside latency.csv.",
            )
    return energies_versus(before, after)


def _functions(a: Path, b: Path) -> tuple[FunctionChanges, ...]:
    before, after = load_functions(a), load_functions(b)
    say_notes((*before.notes, *after.notes))
    return compare_functions(before.rows, after.rows)


def _profiled(side: Baselines, path: Path) -> Baselines:
    """The runs with their profiles, of which there is one at least."""
    found = with_profiles(side, path)
    say_notes(found.notes[len(side.notes) :])
    if not any(run.layers for run in found.runs):
        raise ReportError(
            f"{side.source} has no profile of its runs",
            hint="Measure with hil bench --profile, or pytest --hil-profile: layers.csv comes "
            "beside latency.csv.",
        )
    return found


def _targets(options: argparse.Namespace) -> list[Path]:
    """The files that are to be written.

    Raises:
        WrongUse: what was asked for cannot be written so.
    """
    output: Path | None = options.output
    if options.json and (output is not None or options.format is not None):
        raise WrongUse(
            "--json is printed, and is a form of its own: leave out --output and --format"
        )
    options.format = options.format or "text"
    asked = {
        "--memory": options.memory,
        "--functions": options.functions,
        "--energy": options.energy,
    }
    for option in (name for name, given in asked.items() if given):
        if options.format == "csv":
            raise WrongUse(f"--format csv holds times alone: take another format with {option}")
    if options.format != GITLAB:
        return [] if output is None else [output]
    if output is None or output.is_file():
        raise WrongUse("--format gitlab writes two files: name a folder with --output")
    return [output / name for name in _IS_OURS]


def _status(found: Compared, options: argparse.Namespace) -> int:
    if options.gate and found.slower:
        return Outcome.SLOW.exit_status
    if options.gate_memory and footprint.any_larger(found.sizes or ()):
        return Outcome.FAILED.exit_status
    return Outcome.PASSED.exit_status


def _plain_text(found: Compared) -> str:
    tables = [versus.as_text(found.times)]
    if found.energies:
        tables.append(versus.as_text(found.energies))
    if found.operators:
        tables.append(operators.versus_text(found.operators))
    if found.sizes:
        tables.append(footprint.as_text(found.sizes))
    if found.functions is not None:
        tables.append(function_changes.as_text(found.functions))
    return "\n\n".join(tables)


def _object(found: Compared) -> dict[str, Any]:
    """The comparison for programs; null for what was not asked for."""
    return {
        "a": found.a.source,
        "b": found.b.source,
        "slower": found.slower,
        "times": found.times,
        "energies": found.energies,
        "operators": found.operators,
        "sizes": found.sizes,
        "functions": found.functions,
    }


def _document(found: Compared) -> Document:
    notes = (Note(subject=found.a.source, text="A"), Note(subject=found.b.source, text="B"))
    return document_of(found, TITLE, notes)


def _csv(found: Compared) -> str:
    """One table: of operators where they were asked for."""
    if found.operators is not None:
        return operators.versus_csv(found.operators)
    return versus.as_csv(found.times)


_WRITERS: dict[str, Callable[[Compared], str]] = {
    "text": _plain_text,
    "csv": _csv,
    "markdown": lambda found: as_markdown(_document(found)),
    "json": lambda found: as_json(_document(found)),
}


def _text(found: Compared, form: str) -> str:
    return _WRITERS[form](found)


def _write_all(targets: list[Path], found: Compared, form: str) -> None:
    if form == GITLAB:
        texts = [quality_text(findings_of(found)), metrics_text(found)]
        ours = [_IS_OURS[target.name] for target in targets]
    else:
        text = f"{_text(found, form)}\n"
        texts, ours = [text], [is_document if form == "json" else _begins_as(text)]
    for target, ours_of_it in zip(targets, ours, strict=True):
        _check(target, ours_of_it)
    for target, text in zip(targets, texts, strict=True):
        _write(target, text)
        say(f"wrote {target}")


def _begins_as(text: str) -> Ours:
    heading = text.partition("\n")[0].split()
    return lambda path: begin_of(path).split() in ([], heading)


def _check(output: Path, ours: Ours) -> None:
    if output.is_dir():
        raise WrongUse(f"--output {output}: a folder cannot be written as a file")
    refuse_foreign(output, "--output", "such comparison", ours)


def _write(output: Path, text: str) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(output, text.encode())
    except OSError as error:
        raise NotWritten(f"cannot write {output}: {error.strerror or error}") from error


def register(command: Command) -> None:
    """Add `hil compare` to the command line."""
    parser = command(compare)
    parser.add_argument("a", type=Path, metavar="A", help="CSV or folder: before")
    parser.add_argument("b", type=Path, metavar="B", help="CSV or folder: after")
    parser.add_argument(
        "--layers", action="store_true", help="also operators of profiled runs, of layers.csv"
    )
    parser.add_argument(
        "--energy", action="store_true", help="also energies, of energy.csv beside latency.csv"
    )
    parser.add_argument(
        "--memory", action="store_true", help="also flash, RAM, arena and stack, and whose they are"
    )
    parser.add_argument(
        "--functions",
        action="store_true",
        help="also the functions whose instructions differ, where both were counted",
    )
    parser.add_argument("--format", choices=(*_WRITERS, GITLAB), help="default: text")
    add_json(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="of gitlab a folder, for its two files"
    )
    parser.add_argument(
        "--gate", action="store_true", help="exit status 12 if one is slower, or takes more"
    )
    parser.add_argument(
        "--gate-memory",
        action="store_true",
        help="exit status 1 if flash, RAM, arena or stack grew; --memory as well",
    )
