"""`hil bisect`: which commit changed a figure, and in which operator."""

from __future__ import annotations

import argparse
import hashlib
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import settings
from harness.bisect.bytecode import prune_bytecode
from harness.bisect.choose import git_chooser
from harness.bisect.details import details
from harness.bisect.ends import ends_of
from harness.bisect.figures import Figure
from harness.bisect.hunt import Hunt, Hunted, Shown
from harness.bisect.lab import MOST_KEPT, Lab
from harness.bisect.library import LIBRARY, copy_downloads, copy_library, extra_of, place_of_kernels
from harness.bisect.question import Question, parse_threshold, questions
from harness.bisect.repository import Repository, open_repository
from harness.bisect.run import STEP_S, prune
from harness.bisect.subject import Kind, Subject, kind_of, refuse_nothing
from harness.bisect.told import answer, as_data, heading, row
from harness.bisect.worktree import WorkTree, remove_left, work_tree
from harness.cli.command import Command
from harness.cli.machine import add_json, print_json
from harness.cli.measured import (
    HARNESS,
    board_of,
    given_by,
    lender_of,
    means_of,
    measured_by,
    refuse_unanswerable,
)
from harness.errors import RigError, WrongUse
from harness.project import Project, find_project
from harness.settings import Sources
from harness.terminal import say
from harness.text import counted

TFLM = "tflm"

_ASK = ("operator", "wrong", "larger", "broken", "by", "over")
"""Options of the question, by name."""


def bisect(options: argparse.Namespace) -> int:
    """Find the commit that made a model slower, wrong, larger, or its firmware not build.

    Behind `--` stands what to measure, as options of `hil bench`: -- --board qemu-m4 --model sine.
    Each step is built and measured in a work tree of its own; see docs/bisect.md.
    """
    sources = measured_by(options)
    project = find_project()
    question = questions(
        operator=options.operator,
        wrong=options.wrong,
        larger=options.larger,
        broken=options.broken,
        threshold=parse_threshold(options.by, options.over),
    )
    board = board_of(sources)
    repository = open_repository(_folder(options.folder, sources, project), "--in")
    ends = ends_of(repository, options.good, options.bad)
    given = given_by(sources)
    tflm = sources.said(settings.TFLM).text or None
    files = repository.files(ends.bad.id)
    kind = refuse_nothing(
        kind_of(files, [text or "" for _, text in given]), repository.folder, tflm
    )
    refuse_unanswerable(question, board, sources, kind, project)
    state = project.state / "bisect"
    place = state / digest_of_name(f"{repository.common} {repository.prefix}")
    subject = Subject(
        kind=kind,
        harness=HARNESS,
        state=place / "state",
        given=given,
        library=place / LIBRARY if kind is Kind.KERNELS else None,
    )
    means = means_of(sources, board, subject, project, options)
    _say_plan(repository, kind, ends.count, question)
    remove_left(state)
    _prepare_state(place / "state", project, state)
    shown = _Table(options.json)
    with (
        _tree(repository, kind, place, sources) as tree,
        lender_of(sources, board, options.progress) as lender,
    ):
        lab = Lab(tree, subject, question, means, place / "steps", lender, options.progress)
        hunt = Hunt(
            lab,
            question,
            git_chooser(repository, first_parent=options.first_parent),
            repository.of_id,
            shown.tell,
            only_first=options.first,
        )
        hunted = hunt.hunt(ends.good, ends.bad, ends.bases)
        known = [details(change, question, lab, board) for change in hunted.changes]
        again = _again(hunted, options, repository)
    prune(place / "steps", MOST_KEPT)
    prune_bytecode(place / "state")
    if options.json:
        print_json("bisect", as_data(hunted, question, known))
    else:
        print("\n".join(answer(hunted, question, known, again)))
    return 0 if hunted.changes[0].found is not None else 1


@contextmanager
def _tree(repository: Repository, kind: Kind, place: Path, sources: Sources) -> Iterator[WorkTree]:
    """The work tree of the steps, with what TFLite Micro needs beside it."""
    tflm = sources[settings.TFLM]
    root = None
    if kind is Kind.KERNELS and tflm is not None:
        root = place_of_kernels(tflm.resolve(), repository, place)
    with work_tree(repository, place, root=root, extra=extra_of(kind, repository)) as tree:
        if kind is Kind.KERNELS and tflm is not None:
            copy_library(tflm.resolve(), place)
        if kind is Kind.TFLM:
            copy_downloads(repository, tree.folder)
        yield tree


class _Table:
    """Prints the rows of the table as they come; with `quiet` none."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._good: Figure | None = None

    def tell(self, shown: Shown) -> None:
        """A row of the table."""
        if self._quiet:
            return
        if self._good is None and shown.taken.figure is not None:
            self._good = shown.taken.figure
            print(heading(self._good.unit))
        for line in row(shown, self._good):
            print(line, flush=True)


def _folder(named: str | None, sources: Sources, project: Project) -> Path:
    if named != TFLM:
        return Path(named) if named else project.root
    folder = sources[settings.TFLM]
    if folder is None:
        raise WrongUse("--in tflm takes the folder of --tflm, which nobody says: -- --tflm DIR")
    return folder


def digest_of_name(name: str) -> str:
    """A short name of a folder for a long text."""
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:12]


def _prepare_state(state: Path, project: Project, shared: Path) -> None:
    """The state folder of steps: what PlatformIO fetched and compiled is the user's, finished
    firmware shared by all searches, and work folders their own.

    Raises:
        RigError: it cannot be written.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        for name, target in (
            ("platformio", project.state / "platformio"),
            ("firmware", shared / "firmware"),
            ("objects", project.state / "objects"),
        ):
            target.mkdir(parents=True, exist_ok=True)
            if not (state / name).exists():
                (state / name).unlink(missing_ok=True)
                (state / name).symlink_to(target.resolve())
    except OSError as error:
        raise RigError(
            f"cannot keep steps in {state}: {error.strerror or error}",
            hint="Make room, or name another state folder with HIL_STATE_DIR.",
        ) from error


def _say_plan(repository: Repository, kind: Kind, count: int, question: Question) -> None:
    say(f"{repository.folder}: {kind.value}")
    steps = f"{counted(count, 'commit')}, about {counted(count.bit_length(), 'step')}"
    say(f"{steps}: the first that {question}")
    if changed := repository.changed():
        say(f"{counted(changed, 'file')} of the work tree changed since HEAD: in no step")


def _again(hunted: Hunted, options: argparse.Namespace, of: Repository) -> list[str]:
    change = hunted.changes[0]
    named = str(of.folder) if options.folder == TFLM else options.folder
    git = ["git", *(["-C", named] if named else [])]
    if change.found is None:
        between = f"{change.before.commit.short}..{change.after.commit.short}"
        return [shlex.join([*git, "log", between])]
    commands = [[*git, "show", change.found.short]]
    sides = (change.before.step.folder, change.after.step.folder)
    if all((side / "latency.csv").is_file() for side in sides):
        commands.append(["hil", "compare", *map(_near, sides)])
    ends = [change.before.commit.short, change.found.short]
    commands.append(["hil", "bisect", *ends, *_flags(options), "--", *options.measure])
    return [shlex.join(words) for words in commands]


def _near(folder: Path) -> str:
    """A folder's name from here, if it is below."""
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def _flags(options: argparse.Namespace) -> Iterator[str]:
    """The options of the question."""
    for name, value in (("--in", options.folder), *((f"--{n}", getattr(options, n)) for n in _ASK)):
        if value is True:
            yield name
        elif value:
            yield from (name, value)


def register(command: Command) -> None:
    """Add `hil bisect` to the command line."""
    parser = command(bisect)
    parser.usage = "hil bisect [options] GOOD BAD -- [what to measure]"
    parser.add_argument("good", metavar="GOOD", help="a commit that is as it should be")
    parser.add_argument("bad", metavar="BAD", help="a later one that is not")
    parser.add_argument(
        "--in",
        dest="folder",
        metavar="tflm|DIR",
        help="the git folder of the commits: that of --tflm, or any [this checkout]",
    )
    parser.add_argument("--operator", metavar="NAME", help="slower in this kind, name or number")
    parser.add_argument("--wrong", action="store_true", help="differs from the golden")
    parser.add_argument("--larger", metavar="WHAT", help="flash, ram, arena or stack")
    parser.add_argument("--broken", action="store_true", help="does not build")
    parser.add_argument("--by", metavar="N|N%", help="by more than this [any difference]")
    parser.add_argument("--over", metavar="N", help="more than this figure, whatever GOOD has")
    parser.add_argument("--first", action="store_true", help="look for no other change")
    parser.add_argument("--first-parent", action="store_true", help="as git bisect has it")
    parser.add_argument(
        "--timeout", type=_seconds, default=STEP_S, metavar="S", help="of a step [3600]"
    )
    parser.add_argument("--again", action="store_true", help="believe no step of an earlier search")
    add_json(parser)
    _keep_measured(parser)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return seconds


def _keep_measured(parser: argparse.ArgumentParser) -> None:
    """Keep what stands behind `--` apart: argparse would take it for more commits."""
    parse = parser.parse_known_args

    def split(args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:
        words = list(args or ())
        at = words.index("--") if "--" in words else len(words)
        found, unknown = parse(words[:at], namespace)
        found.measure = words[at + 1 :]
        return found, unknown

    parser.parse_known_args = split  # type: ignore[method-assign, assignment]
