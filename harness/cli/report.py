"""`hil report`: the CSV files as a page to look at."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path

from harness.board.registry import load_registry
from harness.cli.command import Command, add_source
from harness.measure.place import inputs_of
from harness.progress import Progress, no_progress
from harness.project import find_project
from harness.report.output import check_output
from harness.report.page import write_report
from harness.terminal import say_notes


def report(options: argparse.Namespace) -> int:
    """Write an HTML report of a latency.csv, or of every CSV in a folder."""
    check_output(options.output, "--output", inputs_of(options.source))
    report_to(options.output, options.source, progress=options.progress)
    print(options.output)
    return 0


def report_to(
    output: Path,
    source: Path,
    runs: Collection[str] | None = None,
    progress: Progress = no_progress,
) -> None:
    """Write the page of a CSV or folder, of all that is newest there or of certain runs."""
    project = find_project()
    notes = write_report(
        source,
        output,
        now=datetime.now(timezone.utc),
        artifacts=project.artifact_roots,
        registry=load_registry(),
        runs=runs,
        progress=progress,
    )
    say_notes(notes)


def register(command: Command) -> None:
    """Hook the command in."""
    parser = command(report)
    add_source(parser)
    parser.add_argument("--output", type=Path, default=Path("reports/report.html"), metavar="FILE")
