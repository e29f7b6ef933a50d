"""`hil cores`: models by emulated core, of a latency.csv or a folder of CSVs."""

from __future__ import annotations

import argparse

from harness.cli.command import Command, add_source
from harness.cli.machine import add_json, print_json
from harness.errors import ReportError, WrongUse
from harness.terminal import say_notes


def cores(options: argparse.Namespace) -> int:
    """Compare the emulated cores that a model ran on: instructions, per MAC, memory; from CSVs.

    Of each model, runtime and core the newest run counts. Instructions are exact counts, not time
    on silicon.
    """
    if options.json and options.format:
        raise WrongUse("--json and --format are two ways to say it: take one")
    from harness.measure.by_core import as_csv, as_text, by_core
    from harness.measure.frames import Tables, records_of
    from harness.measure.runs import runs_of
    from harness.measure.tables import LatencyRow

    files = Tables()
    files.add_source(options.source, ("latency",))
    runs = runs_of(records_of(files.frame("latency"), LatencyRow))
    say_notes(files.notes, 400)
    rows = by_core(run.row for run in sorted(runs, key=lambda run: run.row.time_utc))
    if not rows:
        raise ReportError(
            f"{options.source} holds no run of an emulated core that counts instructions",
            hint="Measure first: hil bench --board all-emulated",
        )
    if options.json:
        print_json("cores", {"source": options.source, "cores": rows, "notes": files.notes})
        return 0
    print(as_csv(rows) if options.format == "csv" else as_text(rows))
    return 0


def register(command: Command) -> None:
    """Hook the command in."""
    parser = command(cores)
    add_source(parser)
    parser.add_argument("--format", choices=("text", "csv"), help="default: text")
    add_json(parser)
