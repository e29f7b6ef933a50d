"""Builds, runs and reads the step of a commit, once; exact ones are found again by content."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from harness.bisect.bytecode import use_bytecode
from harness.bisect.figures import Figure, Step, Unjudged, load_step
from harness.bisect.lender import Lender
from harness.bisect.question import Question
from harness.bisect.repository import Commit, GitError, git
from harness.bisect.run import STEP_S, Order, begin, run_step, takes, unjudged
from harness.bisect.subject import Kind, Subject
from harness.bisect.worktree import CannotCheckOut, WorkTree
from harness.errors import HilError, RigError
from harness.firmware.toolchain import TOOLCHAINS, gcc_version
from harness.outcome import Outcome
from harness.process import answer_of
from harness.progress import Progress, no_progress

MOST_KEPT = 500
"""Steps whose folders are kept; one takes about 100 KB."""

EXACT_SAMPLES = "20"
"""Timed invokes where they are counted: all take the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How steps are measured: `exact` where instructions are counted, else in `sessions`.

    `inputs` is a digest of all that is measured with and does not lie in the step: models, a
    library, this harness. `again`: nothing of an earlier search is believed.
    """

    exact: bool
    sessions: int
    inputs: str
    samples_said: bool = False
    timeout_s: float = STEP_S
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a commit came to: a figure, or why it has none."""

    commit: Commit
    step: Step
    figure: Figure | None = None
    why: str = ""


class Lab:
    """Measures commits in one work tree, one after the other."""

    def __init__(
        self,
        tree: WorkTree,
        subject: Subject,
        question: Question,
        means: Means,
        steps: Path,
        lender: Lender,
        progress: Progress = no_progress,
    ) -> None:
        self._tree = tree
        self._subject = subject
        self._question = question
        self._means = means
        self._steps = steps
        self._lender = lender
        self._progress = progress
        self._taken: dict[str, Taken] = {}
        self._ran: dict[Path, Step] = {}

    def take(self, commit: Commit) -> Taken:
        """Measure a commit, or say why it cannot be; what was measured is not measured again."""
        if commit.id not in self._taken:
            step = self._step(commit, self._question.command, profile=self._question.profiles)
            self._taken[commit.id] = self._read(commit, step)
        return self._taken[commit.id]

    def take_more(self, commit: Commit) -> Taken:
        """Measure a commit again and take both together."""
        before = self.take(commit)
        if before.figure is not None:
            self._checked_out(commit, before.step.folder, lambda: self._bench(before.step.folder))
            step = Step(folder=before.step.folder, status=before.step.status)
            self._taken[commit.id] = self._read(commit, step)
        return self._taken[commit.id]

    def take_anew(self, commit: Commit, sessions: int) -> Taken:
        """Measure a commit in so many sessions more, and take these alone."""
        folder = self.take(commit).step.folder
        apart = folder.with_name(f"{folder.name}-anew")
        begin(apart)
        step = self._checked_out(commit, apart, lambda: self._bench(apart, sessions=sessions))
        return self._read(commit, step)

    def look(self, commit: Commit, command: str, *more: str) -> Step:
        """Run another command on a commit, for what is said at the end; `bench` alone profiles."""
        return self._step(commit, command, profile=command == "bench" and not more, more=more)

    def _read(self, commit: Commit, step: Step) -> Taken:
        try:
            return Taken(commit=commit, step=step, figure=self._question.read(step))
        except Unjudged as error:
            return Taken(commit=commit, step=step, why=str(error))

    def _step(
        self, commit: Commit, command: str, *, profile: bool, more: tuple[str, ...] = ()
    ) -> Step:
        try:
            folder = self._folder(commit, command, profile=profile, more=more)
        except GitError as error:
            return unjudged(self._steps / commit.id[:12], str(error))
        if folder in self._ran:
            return Step(folder=folder, status=self._ran[folder].status)
        exact = self._means.exact or command == "build"
        if exact and not self._means.again and (kept := load_step(folder)) is not None:
            return kept
        begin(folder)

        def run() -> Step:
            if command == "bench":
                return self._bench(folder, *more, profile=profile)
            return self._run(command, folder, *more)

        step = self._checked_out(commit, folder, run)
        if step.status != _SICK:
            step.save()
        self._ran[folder] = step
        return step

    def _checked_out(self, commit: Commit, folder: Path, run: Callable[[], Step]) -> Step:
        try:
            self._tree.check_out(commit)
        except CannotCheckOut as error:
            return unjudged(folder, f"cannot be checked out: {error}")
        with self._progress(f"{commit.short}: build and measure"):
            return run()

    def _bench(
        self,
        folder: Path,
        *asked: str,
        profile: bool | None = None,
        sessions: int | None = None,
    ) -> Step:
        profile = self._question.profiles if profile is None else profile
        count = 1 if self._means.exact else sessions or self._means.sessions
        more = [*asked, "--csv", str(folder / "latency.csv")]
        if self._means.exact and not self._means.samples_said:
            more += ["--samples", EXACT_SAMPLES]
        if not profile:
            return self._run("bench", folder, *more, "--sessions", str(count))
        # One profile is one session of its operators.
        return self._run("bench", folder, *more, "--sessions", "1", "--profile", times=count)

    def _run(self, command: str, folder: Path, *more: str, times: int = 1) -> Step:
        order = self._order(folder, command, *more)
        if command == "build":
            return run_step(order, times)
        try:
            with self._lender.lend(self._subject.root(self._tree.folder)) as lent:
                lending = replace(order, environment={**order.environment, **lent})
                return run_step(lending, times)
        except HilError as error:
            return unjudged(folder, error.what)

    def _order(self, folder: Path, command: str, *more: str) -> Order:
        tree = self._tree.folder
        words = self._subject.command(command, tree, *more, takes=takes(command))
        if self._subject.kind is Kind.OWN:
            use_bytecode(self._subject.state, tree, _tree_id(self._tree))
        return Order(
            command=tuple(words),
            environment=self._subject.environment(tree),
            folder=folder,
            timeout_s=self._means.timeout_s,
        )

    def _folder(
        self, commit: Commit, command: str, *, profile: bool, more: tuple[str, ...]
    ) -> Path:
        """The folder of a step, by all that decides what it comes to."""
        repository = self._tree.repository
        decisive = [
            repository.tree_of(commit),
            sorted(repository.submodules(commit.id).items()),
            self._subject.kind.name,
            self._subject.given,
            [command, profile, *more],
            [self._means.exact, self._means.sessions],
            self._means.inputs,
        ]
        digest = hashlib.sha256(json.dumps(decisive).encode())
        return self._steps / digest.hexdigest()[:12]


_SICK = Outcome.SICK.exit_status


def _tree_id(tree: WorkTree) -> str:
    """Id of the harness's own files in the step's tree; of all of it where it has none."""
    with suppress(GitError):
        prefix = f"{tree.repository.prefix}/" if tree.repository.prefix else ""
        return git(tree.root, "rev-parse", "--verify", f"HEAD:{prefix}harness").strip()
    return "none"


@cache
def tools() -> tuple[str, ...]:
    """Versions of what builds and runs firmware here."""
    found = [platform.python_version()]
    for name in ("platformio", "bakenn", "tflite-micro", "numpy", "scons", "unicorn"):
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    for prefix in TOOLCHAINS:
        with suppress(RigError):  # Not there, or it does not run: no step's result hangs on it.
            found.append(f"{prefix} {gcc_version(prefix)}")
    if qemu := answer_of(["qemu-system-arm", "--version"]):
        found.append(qemu.partition("\n")[0])
    return tuple(found)


def digest_of(*paths: Path) -> str:
    """Digest of files and folders of files, by content and by names within folders."""
    digest = hashlib.sha256()
    for root in paths:
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in files:
            if path.is_file() and "__pycache__" not in path.parts:
                content = path.read_bytes()
                name = path.relative_to(root).as_posix()
                digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
