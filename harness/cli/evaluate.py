"""`hil evaluate`: a whole data set through boards."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

from harness import settings
from harness.board.registry import load_registry
from harness.board.runtimes import TFLM
from harness.cli.command import Command, errors_noted, exit_status, worst_status
from harness.cli.machine import add_json, error_object, print_json
from harness.cli.settings import add_settings, sources_of
from harness.cli.work import Work, by_board, keeping, runnable, works
from harness.errors import HilError, WrongUse
from harness.files import refuse_overwriting
from harness.firmware.runtimes import VIRTUAL
from harness.firmware.verdict import refuse_unrunnable
from harness.measure.place import check_place, inputs_of
from harness.measure.tables import EvaluationRow
from harness.model.data import open_data
from harness.model.dataset import DataOptions, parse_data
from harness.model.folders import COLOURS
from harness.model.inputs import MEANINGS
from harness.model.resolve import resolve_model
from harness.model.targets import TASKS
from harness.outcome import Outcome
from harness.project import find_project, git_commit
from harness.report.evaluation import evaluation_lines
from harness.rig.evaluate import Evaluated, EvaluationPlan, evaluate_board, evaluate_host
from harness.rig.evaluation_rows import HOST
from harness.settings import Sources
from harness.terminal import say


def evaluate(options: argparse.Namespace) -> int:
    """Run a data set through boards: metric, confusion, disagreements with TFLM on this machine.

    A run that was ended in the middle goes on where it stopped when it is started again. Board
    `host` stands for TFLM on this machine alone.
    """
    if options.name is not None:
        options.model = [*(options.model or ()), options.name]
    sources = sources_of(options)
    path = sources[settings.DATA]
    if path is None:
        raise WrongUse("evaluate takes a data set: --data PATH")
    path, how = _source(str(path), options, sources)
    plan = _plan(options, sources)
    check_place(plan.csv)
    read = [path, *(one for one in (options.float,) if one is not None), *inputs_of(plan.csv)]
    refuse_overwriting(options.output, "--output", read)
    statuses: list[int] = []
    shown = _Shown(options.json)
    if HOST in sources[settings.BOARD]:
        for name in sources[settings.MODEL]:
            with errors_noted(statuses, shown.error):
                artifact = resolve_model(name, find_project().artifacts)
                refuse_unrunnable(artifact, load_registry()[VIRTUAL], TFLM)
                data = open_data(path, artifact, how)
                say(f"{HOST}, {artifact.name}: {plan.count(data)} samples of {data.source}")
                done = evaluate_host(artifact, data, plan, options.progress)
                statuses.append(shown.evaluated(done))
    for group in by_board(runnable(_works(sources, options), statuses, shown.error)):
        with errors_noted(statuses, shown.error), keeping(group) as kept:
            for work in kept:
                with errors_noted(statuses, shown.error):
                    statuses.append(shown.evaluated(_evaluate(work, path, how, plan)))
    shown.end()
    return worst_status(statuses)


def _works(sources: Sources, options: argparse.Namespace) -> list[Work]:
    boards = [board for board in sources[settings.BOARD] if board != HOST]
    if not boards:
        return []
    given = {**sources.given, settings.BOARD.name: boards}
    return works(replace(sources, given=given), options.progress)


def _evaluate(work: Work, path: Path, how: DataOptions, plan: EvaluationPlan) -> Evaluated:
    data = open_data(path, work.artifact, how)
    say(f"{work}: build, start, {plan.count(data)} samples of {data.source}")
    with work.open(timed=False) as opened:
        for step in opened.escalations:
            say(f"{opened.declared.id}: {step}")
        return evaluate_board(opened, data, plan)


class _Shown:
    """Results as they come, as text; or all of them and the errors in the end, as JSON."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._rows: list[EvaluationRow] = []
        self._errors: list[HilError] = []

    def evaluated(self, done: Evaluated) -> int:
        """Take a result, and return its exit status."""
        if self._json:
            self._rows += done.rows
        else:
            print("\n".join(evaluation_lines(done.rows[0], done.result)), flush=True)
        agrees = done.result.reference is None or done.result.agrees
        return (Outcome.PASSED if agrees else Outcome.WRONG).exit_status

    def error(self, error: HilError) -> int:
        """Take what went wrong instead, and return its exit status."""
        self._errors.append(error)
        return exit_status(error)

    def end(self) -> None:
        """Nothing more comes."""
        if self._json:
            errors = list(map(error_object, self._errors))
            print_json("evaluate", {"rows": self._rows, "errors": errors})


def _plan(options: argparse.Namespace, sources: Sources) -> EvaluationPlan:
    project = find_project()
    if options.output is not None and options.output.suffix != ".npz":
        raise WrongUse("--output takes an .npz file, for the samples that disagree")
    return EvaluationPlan(
        csv=sources[settings.CSV],
        state=project.state,
        commit=git_commit(project.root),
        limit=options.limit,
        restart=options.restart,
        saved=options.output,
        float_model=options.float,
        detector=sources[settings.DETECT],
        tell=say,
    )


def _source(text: str, options: argparse.Namespace, sources: Sources) -> tuple[Path, DataOptions]:
    """The data set, and how to read it: as its own text says, and before that the options."""
    path, how = parse_data(text)
    given = {item.name: getattr(options, item.name, None) for item in fields(DataOptions)}
    given["stride"] = sources[settings.STRIDE]
    return path, replace(how, **{name: value for name, value in given.items() if value})


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def register(command: Command) -> None:
    """Hook the command in."""
    parser = command(evaluate)
    parser.add_argument("name", nargs="?", metavar="MODEL", help="as --model")
    add_settings(parser, "evaluate")
    add_json(parser)
    add = parser.add_argument
    add(
        "--inputs",
        choices=MEANINGS,
        help="what the numbers are, where dtype and range do not say so",
    )
    add("--labels", metavar="NAME", help="the answers: a column, an array, or a .npy file")
    add("--sequence", metavar="NAME", help="the ids of sequences: a column, an array, a .npy file")
    add("--task", choices=TASKS, help="what the answers are, where they do not say so")
    add("--resize", action="store_true", help="scale images to the model's size")
    add("--colour", choices=COLOURS, help="convert images")
    add(
        "--feature",
        metavar="MODULE:FUNCTION",
        help="makes an input of (samples, rate) of a sound, or of an image's (pixels)",
    )
    add("--float", type=Path, metavar="FILE", help="float model to compare with")
    add("--limit", type=_count, metavar="N", help="the first N samples only")
    add("--restart", action="store_true", help="forget what an earlier run left")
    add("--output", type=Path, metavar="FILE", help="file of the samples that disagree")
