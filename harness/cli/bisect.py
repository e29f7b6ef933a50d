"""`hil bisect`: which commit changed a figure, and in which operator."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import settings
from harness.bisect.choose import git_chooser
from harness.bisect.details import details
from harness.bisect.figures import Figure
from harness.bisect.hunt import Hunt, Hunted, Shown
from harness.bisect.lab import MOST_KEPT, Lab, Means, digest_of, tools
from harness.bisect.library import LIBRARY, copy_downloads, copy_library, extra_of, place_of_kernels
from harness.bisect.question import Broken, Larger, Question, Slower, parse_threshold, questions
from harness.bisect.repository import DEEPEN, Commit, Repository, open_repository
from harness.bisect.run import STEP_S, prune
from harness.bisect.subject import PLACE, Kind, Subject, kind_of, refuse_nothing
from harness.bisect.told import answer, as_data, heading, row
from harness.bisect.worktree import WorkTree, remove_left, work_tree
from harness.board.registry import Board
from harness.cli.command import Command
from harness.cli.settings import add_settings, refuse_several, settings_of, sources_of
from harness.cli.work import rig_file
from harness.errors import WrongUse
from harness.firmware.tflm_library import find_library
from harness.model.artifact import MANIFEST
from harness.model.graph import read_operators
from harness.model.resolve import resolve_model
from harness.project import Project, find_project
from harness.settings import Setting, Sources
from harness.terminal import say
from harness.text import counted, printable

HARNESS = Path(__file__).resolve().parents[2]
"""The folder that the running harness is imported from."""

TFLM = "tflm"
SESSIONS = 5
"""Of each commit on a board whose time is measured, where nobody says how many."""

_ASK = ("operator", "wrong", "larger", "broken", "by", "over")
"""Options of the question, by name."""

_REFUSED: dict[Setting[Any], str] = {
    settings.BASELINE: "every commit is compared with GOOD",
    settings.REPORT: "each step has a CSV of its own",
    settings.PROFILE: "operators are profiled where the question needs it",
}


def bisect(options: argparse.Namespace) -> int:
    """Find the commit that made a model slower, wrong, larger, or its firmware not build.

    Behind `--` stands what to measure, as options of `hil bench`: -- --board qemu-m4 --model sine.
    Each step is built and measured in a work tree of its own; see docs/bisect.md.
    """
    sources = _measured(options)
    project = find_project()
    question = questions(
        operator=options.operator,
        wrong=options.wrong,
        larger=options.larger,
        broken=options.broken,
        threshold=parse_threshold(options.by, options.over),
    )
    board = _board(sources)
    repository = open_repository(_folder(options.folder, sources, project), "--in")
    good, bad = (repository.commit(options.good, "GOOD"), repository.commit(options.bad, "BAD"))
    bases = _bases(repository, good, bad)
    count = len(_range(repository, (good.id, *bases), bad))
    asked = _asked(sources)
    tflm = sources.said(settings.TFLM).text or None
    files = repository.files(bad.id)
    kind = refuse_nothing(
        kind_of(files, [text or "" for _, text in asked]), repository.folder, tflm
    )
    _refuse_unanswerable(question, board, sources, kind, project)
    state = project.state / "bisect"
    place = state / digest_of_name(f"{repository.common} {repository.prefix}")
    subject = Subject(
        kind=kind,
        harness=HARNESS,
        state=place / "state",
        given=asked,
        library=place / LIBRARY if kind is Kind.KERNELS else None,
    )
    means = _means(sources, board, subject, project, options)
    _say_plan(repository, kind, count, question)
    remove_left(state)
    _prepare_state(place / "state", project, state)
    shown = _Table(options.json)
    with _tree(repository, kind, place, sources) as tree:
        lab = Lab(tree, subject, question, means, place / "steps")
        hunt = Hunt(
            lab,
            question,
            git_chooser(repository, first_parent=options.first_parent),
            repository.of_id,
            shown.tell,
            only_first=options.first,
        )
        hunted = hunt.hunt(good, bad, bases)
        profiled = board.attachment != "virtual"
        known = [details(change, question, lab, profiled=profiled) for change in hunted.changes]
        again = _again(hunted, lab, options)
    prune(place / "steps", MOST_KEPT)
    if options.json:
        print(json.dumps(as_data(hunted, question, known), indent=1))
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


def _measured(options: argparse.Namespace) -> Sources:
    """What stands behind `--`, beside the ini file and the environment."""
    parser = argparse.ArgumentParser(prog="hil bisect GOOD BAD --", allow_abbrev=False)
    add_settings(parser, "bench")
    sources = sources_of(parser.parse_args(options.measure))
    refuse_several(sources, settings.BOARD, settings.MODEL, settings.RUNTIME)
    for setting, why in _REFUSED.items():
        if sources.said(setting).source.startswith("-"):
            raise WrongUse(f"{setting.hil_flag} behind `--` means nothing here: {why}")
    return sources


def _board(sources: Sources) -> Board:
    _, registry = rig_file(sources)
    (name,) = sources[settings.BOARD]
    board = registry[name]
    for runtime in sources[settings.RUNTIME]:
        board.runtime(runtime)
    return board


def _folder(named: str | None, sources: Sources, project: Project) -> Path:
    if named != TFLM:
        return Path(named) if named else project.root
    folder = sources[settings.TFLM]
    if folder is None:
        raise WrongUse("--in tflm takes the folder of --tflm, which nobody says: -- --tflm DIR")
    return folder


def _bases(repository: Repository, good: Commit, bad: Commit) -> tuple[str, ...]:
    """The merge bases that have to be good as well, none if GOOD is an ancestor of BAD.

    Raises:
        WrongUse: there is no way from one to the other.
    """
    if good.id == bad.id:
        raise WrongUse(f"GOOD and BAD are the same commit, {good.short}")
    bases = repository.merge_bases(good.id, bad.id)
    if not bases:
        cut = bool(repository.cut)
        raise WrongUse(
            f"GOOD ({good.short}) and BAD ({bad.short}) have no commit in common"
            + (" here: this is a shallow clone" if cut else ""),
            hint=DEEPEN if cut else "Name two commits of one history.",
        )
    if bad.id in bases:
        raise WrongUse(
            f"BAD ({bad.short}) is older than GOOD ({good.short})",
            hint="Exchange them, or ask a question of which the newer one is the bad one.",
        )
    return () if good.id in bases else bases


def _range(repository: Repository, goods: Sequence[str], bad: Commit) -> tuple[str, ...]:
    between = repository.between(goods, bad.id)
    if cut := repository.cut.intersection(between):
        raise WrongUse(
            f"history ends between GOOD and BAD, at {min(cut)[:12]}: this is a shallow clone",
            hint=DEEPEN,
        )
    return between


def _asked(sources: Sources) -> tuple[tuple[str, str | None], ...]:
    """What somebody said of `hil bench`, as options; paths are absolute, but for steps' own."""
    given: list[tuple[str, str | None]] = []
    for setting in settings_of("bench"):
        said = sources.said(setting)
        named = setting in (settings.BOARD, settings.MODEL)
        if setting is settings.CSV or setting in _REFUSED or not (said.source or named):
            continue
        if setting.kind is settings.TRUTH:
            given += [(setting.hil_flag, None)] if sources[setting] else []
        else:
            given.append((setting.hil_flag, _located(setting, said.text)))
    return tuple(given)


def _located(setting: Setting[Any], text: str) -> str:
    if PLACE in text:
        return text[text.index(PLACE) :]
    is_path = setting.kind.is_path or (setting is settings.MODEL and _is_file(text))
    return os.path.abspath(text) if is_path and text else text


def _is_file(model: str) -> bool:
    path = Path(model)
    return model.endswith(".tflite") or path.is_file() or (path / MANIFEST).is_file()


def _refuse_unanswerable(
    question: Question, board: Board, sources: Sources, kind: Kind, project: Project
) -> None:
    """Raise WrongUse for a question that no step could answer."""
    virtual = board.attachment == "virtual"
    if virtual and (isinstance(question, Broken | Larger) or question.profiles):
        raise WrongUse(
            f"{board.id} cannot answer: it has no firmware, and no profile",
            hint="Take an emulated board: -- --board qemu-m4",
        )
    if not isinstance(question, Slower) or question.operator is None:
        return
    (model,) = sources[settings.MODEL]
    if PLACE in model or (kind is Kind.OWN and not _is_file(model)):
        return  # Each step has its own.
    wanted = question.operator
    operators = read_operators(resolve_model(model, project.artifacts))
    known = {item.kind for item in operators} | {item.name for item in operators}
    known |= {str(item.index) for item in operators}
    if wanted not in known and wanted.upper() not in known:
        kinds = ", ".join(dict.fromkeys(item.kind for item in operators))
        raise WrongUse(
            f"--operator {printable(wanted)}: the model has no such operator, but {kinds}",
            hint="Its kind, its name or its number, as hil profile shows them.",
        )


def _means(
    sources: Sources, board: Board, subject: Subject, project: Project, options: argparse.Namespace
) -> Means:
    exact = board.emulated and board.ns_per_instruction is not None
    said = bool(sources.said(settings.SESSIONS).source)
    return Means(
        exact=exact,
        sessions=1 if exact else sources[settings.SESSIONS] if said else SESSIONS,
        inputs=_inputs(sources, subject, project),
        samples_said=bool(sources.said(settings.SAMPLES).source),
        timeout_s=options.timeout,
        again=options.again,
    )


def _inputs(sources: Sources, subject: Subject, project: Project) -> str:
    """Digest of what is measured with and is in no step."""
    found = list(tools())
    if subject.kind is not Kind.OWN:
        found.append(
            digest_of(HARNESS / "harness", project.firmware, project.root / "platformio.ini")
        )
    (model,) = sources[settings.MODEL]
    if _is_file(model):
        path = Path(model)
        beside = path.parent if (path.parent / MANIFEST).is_file() else path
        found.append(digest_of(path if path.is_dir() else beside))
    elif subject.kind is not Kind.OWN and PLACE not in model:
        found.append(
            digest_of(project.artifacts / model) if (project.artifacts / model).is_dir() else model
        )
    tflm = sources.said(settings.TFLM).text
    if tflm and PLACE not in tflm and subject.kind is not Kind.TFLM:
        found.append(find_library(Path(tflm).resolve(), project.state / "libraries").digest)
    rig = sources[settings.RIG]
    if rig is not None and rig.is_file():
        found.append(digest_of(rig))
    return "\n".join(found)


def digest_of_name(name: str) -> str:
    """A short name of a folder for a long text."""
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:12]


def _prepare_state(state: Path, project: Project, shared: Path) -> None:
    """The state folder of steps: what PlatformIO fetched is the user's, finished firmware shared
    by all searches, and work folders their own."""
    state.mkdir(parents=True, exist_ok=True)
    for name, target in (
        ("platformio", project.state / "platformio"),
        ("firmware", shared / "firmware"),
    ):
        target.mkdir(parents=True, exist_ok=True)
        if not (state / name).exists():
            (state / name).unlink(missing_ok=True)
            (state / name).symlink_to(target.resolve())


def _say_plan(repository: Repository, kind: Kind, count: int, question: Question) -> None:
    say(f"{repository.folder}: {kind.value}")
    steps = f"{counted(count, 'commit')}, about {counted(count.bit_length(), 'step')}"
    say(f"{steps}: the first that {question}")
    if changed := repository.changed():
        say(f"{counted(changed, 'file')} of the work tree changed since HEAD: in no step")


def _again(hunted: Hunted, lab: Lab, options: argparse.Namespace) -> list[str]:
    change = hunted.changes[0]
    if change.found is None:
        return [
            shlex.join(["git", "log", f"{change.before.commit.short}..{change.after.commit.short}"])
        ]
    show = ["git", *(["-C", options.folder] if options.folder not in (None, TFLM) else [])]
    commands = [[*show, "show", change.found.short]]
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
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
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
