"""`hil baseline save|list|show`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.cli.command import Command
from harness.cli.machine import add_json, plain, print_json
from harness.cli.settings import add_settings, sources_of
from harness.errors import ReportError
from harness.files import refuse_overwriting
from harness.measure.baseline import load_baselines, save
from harness.measure.energy_gate import refuse_foreign_energies, save_energies
from harness.measure.operator_gate import (
    refuse_foreign_profiles,
    save_profiles,
    with_profiles,
)
from harness.measure.place import inputs_of
from harness.measure.profile import profile_from, profile_table
from harness.measure.runs import Baselines, Key, Run, identity, load_runs, newest
from harness.settings import BASELINE, CSV, DEFAULT_BASELINES
from harness.terminal import say, say_notes
from harness.text import WIDTH, counted, table


def baseline(options: argparse.Namespace) -> int:
    """Keep runs as baselines for later runs; see docs/gate.md."""
    status: int = options.act(options)
    return status


def _save(options: argparse.Namespace) -> int:
    """Put the newest complete run of each board and model into a baseline file."""
    csv, target = sources_of(options)[CSV], _baseline_file(options)
    refuse_foreign_profiles(target)
    refuse_foreign_energies(target)
    refuse_overwriting(target, "--baseline", inputs_of(csv))
    measured = with_profiles(load_runs(csv), csv)
    say_notes(measured.notes)
    chosen = [run for run in newest(measured.runs).values() if _asked_for(run, options)]
    if not chosen:
        raise ReportError(
            f"{csv} has no complete run{_filters(options)}",
            hint="Measure one: hil bench --sessions 5, or pytest --hil-sessions 5",
        )
    done = save(target, chosen, replace_old=options.replace)
    profiles = save_profiles(target, chosen)
    energies = save_energies(csv, target, [identity(run.row) for run in chosen])
    say_notes(done.notes)
    few = [run for run in chosen if not run.figures.exact and len(run.figures.figures) < 3]
    for run in few:
        say(f"{run.key}: of under 3 sessions nothing can be told; take --sessions 5")
    if options.json:
        print_json(
            "baseline save",
            {
                "file": target,
                "profiles_file": profiles,
                "energies_file": energies,
                "baselines": [
                    _object(run) | {"replaced": run.key in done.replaced} for run in chosen
                ],
            },
        )
        return 0
    for run in chosen:
        how = "replaced" if run.key in done.replaced else "saved"
        print(f"{how} {run.key}: {_sessions(run)}{_profile(run)}")
    others = (path for path in (profiles, energies) if path is not None)
    print(f"in {' and '.join(map(str, (target, *others)))}")
    return 0


_HEADINGS = ("board", "runtime", "model", "median", "sessions", "operators", "commit")


def _list(options: argparse.Namespace) -> int:
    """One line for each baseline of a file."""
    found = _existing(_baseline_file(options))
    runs = newest(found.runs).values()
    if options.json:
        print_json("baseline list", {"file": found.source, "baselines": list(map(_object, runs))})
        return 0
    print(table(_HEADINGS, _listed(runs)))
    return 0


def _listed(runs: Iterable[Run]) -> list[tuple[str, ...]]:
    return [
        (
            run.key.board,
            run.key.runtime,
            f"{run.key.model}_{run.key.dtype}",
            _median(run),
            str(len(run.good)),
            str(len(run.layers) or "-"),
            run.row.git_commit or "-",
        )
        for run in runs
    ]


def _show(options: argparse.Namespace) -> int:
    """Everything of the baselines whose key has all the words given."""
    found = _existing(_baseline_file(options))
    runs = newest(found.runs)
    shown = [run for key, run in runs.items() if all(word in str(key) for word in options.words)]
    if not shown:
        raise ReportError(
            f"{found.source} has no baseline with {' and '.join(options.words)}",
            hint="hil baseline list shows what it has.",
        )
    if options.json:
        full = [_object(run) | {"profile": run.layers} for run in shown]
        print_json("baseline show", {"file": found.source, "baselines": full})
        return 0
    print("\n\n".join("\n".join(_described(run)) for run in shown))
    return 0


def _object(run: Run) -> dict[str, Any]:
    """A baseline for programs; microseconds, or instructions where they are exact."""
    figures = run.figures
    return {
        **plain(run.key),
        "unit": "instructions" if figures.exact else "us",
        "median": figures.median,
        "sessions": figures.figures,
        "lost_sessions": len(run.lost),
        "operators": len(run.layers),
        "run": run.id,
        "time_utc": run.row.time_utc,
        "git_commit": run.row.git_commit,
    }


def _described(run: Run) -> list[str]:
    key = run.key
    figures = " ".join(f"{figure:.6g}" for figure in run.figures.figures)
    return [
        str(key),
        f"  measured  {run.row.time_utc}, run {run.id}, commit {run.row.git_commit or 'unknown'}",
        f"  sessions  {_sessions(run)}: {figures}",
        f"  clock     {_clock(key)}",
        f"  runtime   {key.runtime} {key.runtime_version}",
        *textwrap.wrap(
            f"  flags     {key.flags or 'not said'}",
            WIDTH,
            subsequent_indent=" " * 12,
            break_on_hyphens=False,
        ),
        f"  model     {key.model_sha256}",
        *_operators(run),
    ]


def _operators(run: Run) -> list[str]:
    """What each operator of a profiled run takes."""
    if not run.layers:
        return ["  profile   none"]
    rows = profile_table(profile_from(run.layers)).split("\n")
    return ["  profile", *(f"  {line}" if len(line) + 2 <= WIDTH else line for line in rows)]


def _clock(key: Key) -> str:
    if key.host:
        return f"of host {key.host}"
    return f"{key.clock_hz} Hz{', emulated' if key.emulated else ''}"


def _sessions(run: Run) -> str:
    lost = f", {len(run.lost)} lost" if run.lost else ""
    return f"{_median(run)}, {counted(len(run.good), 'session')}{lost}"


def _profile(run: Run) -> str:
    return f", profile of {counted(len(run.layers), 'operator')}" if run.layers else ""


def _median(run: Run) -> str:
    figures = run.figures
    return f"{figures.median:.0f} instr" if figures.exact else f"{figures.median:.6g} us"


def _baseline_file(options: argparse.Namespace) -> Path:
    return sources_of(options)[BASELINE] or DEFAULT_BASELINES


def _existing(path: Path) -> Baselines:
    found = with_profiles(load_baselines(path), path)
    if not found.exists:
        raise ReportError(
            f"there is no baseline file {path}", hint="hil baseline save makes it from a CSV."
        )
    say_notes(found.notes)
    return found


def _asked_for(run: Run, options: argparse.Namespace) -> bool:
    names = (run.key.model, f"{run.key.model}_{run.key.dtype}")
    return (not options.board or run.key.board in options.board) and (
        not options.model or any(name in options.model for name in names)
    )


def _filters(options: argparse.Namespace) -> str:
    asked = [*(options.board or ()), *(options.model or ())]
    return f" of {', '.join(asked)}" if asked else ""


def register(command: Command) -> None:
    """Add `hil baseline` to the command line."""
    parser = command(baseline)
    acts = parser.add_subparsers(required=True, metavar="save|list|show")
    made = {}
    for act in (_save, _list, _show):
        name, text = act.__name__[1:], act.__doc__ or ""
        made[name] = acts.add_parser(name, help=text, description=text)
        made[name].set_defaults(act=act, named=f"baseline {name}")
        add_settings(made[name], f"baseline {name}")
        add_json(made[name])
    saving = made["save"]
    saving.add_argument("--replace", action="store_true", help="baselines of the same key go")
    saving.add_argument("--board", nargs="+", metavar="ID", help="only these")
    saving.add_argument("--model", nargs="+", metavar="NAME", help="only these")
    made["show"].add_argument("words", nargs="+", metavar="WORD", help="board, model, hash...")
