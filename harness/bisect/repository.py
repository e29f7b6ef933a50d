"""What is asked of the user's git folder. Nothing here writes into it, not even its index."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ToolMissing, WrongUse
from harness.text import printable

GIT_S = 120.0
"""Seconds that a question to git may take; a check-out of a large tree is longer on a slow disk."""

GITLINK = "160000"
"""Mode of a submodule in a tree."""

_LOCAL = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"),
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_GRAFT_FILE"),
    *("GIT_SHALLOW_FILE", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"),
    *("GIT_INTERNAL_SUPER_PREFIX", "GIT_IMPLICIT_WORK_TREE", "GIT_NO_REPLACE_OBJECTS"),
)
"""Variables by which git finds a repository, as `git rev-parse --local-env-vars` lists them. They
are set where a hook or an alias of git started this program."""

_QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false", "-c", "gc.auto=0")
_COMMIT = "%H%x00%T%x00%P%x00%an%x00%as%x00%s"


class GitError(Exception):
    """Git refused; the text is what it said, printable."""


def git_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a git command, and of all that may run one: it finds the folder's own
    repository, writes no index that it only reads, asks nobody, and says errors in English.
    """
    kept = {name: value for name, value in environment.items() if name not in _LOCAL}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def git(folder: Path, *words: str, timeout_s: float = GIT_S) -> str:
    """What a git command writes, run in a folder.

    Raises:
        GitError: it ended with another status than 0, or took longer than `timeout_s`.
        ToolMissing: there is no git.
    """
    command = ["git", "-C", str(folder), *_QUIET, *words]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=git_environment(),
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise ToolMissing("git", needed_for="hil bisect", install="apt-get install git") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {words[0]} took longer than {timeout_s:g} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitError(printable(said[0] if said else f"git {words[0]} ended with an error", 300))
    return done.stdout.decode(errors="surrogateescape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit; `subject` and `author` are as whoever made it wrote them, for `printable`."""

    id: str
    tree: str
    parents: tuple[str, ...] = ()
    author: str = ""
    date: str = ""
    subject: str = ""

    @property
    def short(self) -> str:
        """Twelve digits, as in the column `git_commit`."""
        return self.id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git folder of the user's.

    `top` is its work tree, `prefix` the folder that was named as a path within it. `common` holds
    its objects, also for a linked work tree. `cut` are the commits at which a shallow clone ends.
    """

    top: Path
    prefix: str
    common: Path
    object_format: str = "sha1"
    cut: frozenset[str] = field(default=frozenset())

    @property
    def folder(self) -> Path:
        """The folder that was named."""
        return self.top / self.prefix

    def ask(self, *words: str) -> str:
        """As `git`, in this folder."""
        return git(self.top, *words)

    def commit(self, name: str, called: str = "commit") -> Commit:
        """A commit by any name that git knows.

        Args:
            called: begins the error.

        Raises:
            WrongUse: there is none.
        """
        try:
            found = self.ask("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
            return self.of_id(found.strip())
        except GitError as error:
            cut = "; it is a shallow clone, which has the newest commits only" if self.cut else ""
            raise WrongUse(
                f"{called}: {printable(name)} is no commit of {self.top}{cut}: {error}",
                hint=DEEPEN if self.cut else "git log shows those that there are.",
            ) from error

    def of_id(self, oid: str) -> Commit:
        """A commit by its full id."""
        text = self.ask("show", "-s", "--no-notes", "--no-color", f"--format={_COMMIT}", oid)
        found, tree, parents, author, date, subject = text.rstrip("\n").split("\0", 5)
        return Commit(
            id=found,
            tree=tree,
            parents=tuple(parents.split()),
            author=author,
            date=date,
            subject=subject,
        )

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether a commit is another's ancestor, or the same."""
        return old in self.merge_bases(old, new)

    def merge_bases(self, one: str, other: str) -> tuple[str, ...]:
        """The best common ancestors of two commits; none if they have nothing in common."""
        try:
            return tuple(self.ask("merge-base", "--all", one, other).split())
        except GitError:
            return ()

    def between(self, goods: Sequence[str], bad: str) -> tuple[str, ...]:
        """The commits that a search is over: those that led to `bad` and to none of `goods`."""
        return tuple(self.ask("rev-list", bad, *(f"^{good}" for good in goods)).split())

    def files(self, commit: str) -> tuple[str, ...]:
        """Names of a commit's files, below the folder that was named."""
        text = self.ask("ls-tree", "-r", "-z", "--name-only", f"{commit}:{self.prefix}")
        return tuple(text.split("\0")[:-1])

    def tree_of(self, commit: Commit) -> str:
        """Id of the tree of the folder that was named: the same where its files are.

        Raises:
            GitError: the commit does not have the folder.
        """
        if not self.prefix:
            return commit.tree
        return self.ask("rev-parse", "--verify", f"{commit.id}:{self.prefix}").strip()

    def submodules(self, commit: str) -> dict[str, str]:
        """Commits of a commit's submodules by their paths."""
        found = {}
        for entry in self.ask("ls-tree", "-r", "-z", commit).split("\0"):
            about, _, path = entry.partition("\t")
            if about.startswith(GITLINK):
                found[path] = about.split()[2]
        return found

    def changed(self) -> int:
        """How many files of the work tree are not as HEAD has them; those unknown do not count."""
        text = self.ask("status", "--porcelain", "-z", "--untracked-files=no")
        return sum(1 for entry in text.split("\0") if len(entry) > 3 and entry[2] == " ")


DEEPEN = "Fetch the rest first: git fetch --unshallow (or --deepen=N)."


def open_repository(folder: Path, option: str) -> Repository:
    """The git folder that a folder lies in.

    Args:
        option: that named it, for the error.

    Raises:
        WrongUse: it is no folder, or not in a work tree of git.
    """
    if not folder.is_dir():
        raise WrongUse(f"{option}: there is no folder {printable(str(folder))}")
    try:
        asked = ("--show-toplevel", "--git-common-dir", "--git-path", "shallow")
        text = git(folder, "rev-parse", "--path-format=absolute", *asked)
        top, common, shallow = text.rstrip("\n").split("\n")
        prefix = git(folder, "rev-parse", "--show-prefix").rstrip("\n").rstrip("/")
        form = git(folder, "rev-parse", "--show-object-format").strip()
    except (GitError, ValueError) as error:
        raise WrongUse(
            f"{option}: {printable(str(folder))} is in no work tree of git: {error}",
            hint="Name a folder of the commits to search with --in.",
        ) from error
    ends = Path(shallow)
    return Repository(
        top=Path(top),
        prefix=prefix,
        common=Path(common),
        object_format=form,
        cut=frozenset(ends.read_text().split() if ends.is_file() else ()),
    )
