"""A work tree for the steps of a search, in the state folder.

It has a git folder of its own, which borrows the objects of the user's: `git worktree add` would
write into the user's, and a killed program would leave that behind.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.bisect.repository import Commit, GitError, Repository, git
from harness.errors import LockBusy, RigError
from harness.files import write_atomic
from harness.locks import held

CHECKOUT_S = 600.0
TREE, GIT = "tree", "git"
LOCK = "lock"


class CannotCheckOut(Exception):
    """A commit's files cannot be had; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkTree:
    """The folder in which one commit after the other is checked out.

    `place` holds it and its git folder; `root` is where the files are. `extra` are paths within
    `root` that stay when another commit is checked out.
    """

    repository: Repository
    place: Path
    root: Path
    extra: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder that was named, as the commit has it."""
        return self.root / self.repository.prefix

    def check_out(self, commit: Commit) -> None:
        """Have the files of a commit, its submodules' too, and no others but `extra`.

        Raises:
            CannotCheckOut: git could not, as where a submodule's commit is not there.
            RigError: no room for it.
        """
        try:
            self._check_out(self.root, self.place / GIT, commit.id)
            kept = [word for path in self.extra for word in ("-e", f"/{path}")]
            self._git(self.root, "clean", "-ffdxq", *kept)
            self._submodules(self.repository, self.root, self.place / "modules", commit.id)
        except GitError as error:
            raise CannotCheckOut(str(error)) from error
        except OSError as error:
            raise RigError(
                f"cannot check out {commit.short} in {self.root}: {error.strerror or error}"
            ) from error

    def _check_out(self, root: Path, own: Path, commit: str) -> None:
        # The file may be gone, or another one, where a commit has such a name or `clean` took it.
        write_atomic(root / ".git", f"gitdir: {own}\n".encode())
        (own / "index.lock").unlink(missing_ok=True)
        self._git(root, "checkout", "-f", "-q", "--detach", commit)

    def _submodules(self, of: Repository, root: Path, place: Path, commit: str) -> None:
        """Check out the submodules that the user has checked out as well."""
        for number, (path, wanted) in enumerate(sorted(of.submodules(commit).items())):
            inner = _submodule(of, path)
            if inner is None:
                continue
            folder, own = root / path, place / f"{number}"
            if folder.resolve() != root.resolve() / path:
                raise CannotCheckOut(f"submodule {path} lies behind a link")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(own, ignore_errors=True)
            _initialise(inner, own)
            try:
                self._check_out(folder, own, wanted)
            except GitError as error:
                raise CannotCheckOut(
                    f"submodule {path} has no commit {wanted[:12]} here: {error}"
                ) from error
            self._git(folder, "clean", "-ffdxq")
            self._submodules(inner, folder, place / f"{number}-modules", wanted)

    def _git(self, root: Path, *words: str) -> None:
        git(root, *words, timeout_s=CHECKOUT_S)


def _submodule(of: Repository, path: str) -> Repository | None:
    """A submodule as the user has it; None where it was never checked out."""
    folder = of.top / path
    if not (folder / ".git").exists():
        return None
    asked = ("--show-toplevel", "--git-common-dir")
    text = git(folder, "rev-parse", "--path-format=absolute", *asked)
    top, common = text.rstrip("\n").split("\n")
    form = git(folder, "rev-parse", "--show-object-format").strip()
    return Repository(top=Path(top), prefix="", common=Path(common), object_format=form)


def _initialise(repository: Repository, own: Path) -> None:
    """A git folder that has no objects of its own and no hooks, and borrows the user's."""
    own.parent.mkdir(parents=True, exist_ok=True)
    form = f"--object-format={repository.object_format}"
    git(own.parent, "init", "-q", "--bare", "--template=", form, str(own))
    git(own, "config", "core.bare", "false")
    (own / "objects" / "info").mkdir(exist_ok=True)
    (own / "objects" / "info" / "alternates").write_text(f"{repository.common / 'objects'}\n")
    if repository.cut:
        (own / "shallow").write_text("".join(f"{commit}\n" for commit in sorted(repository.cut)))


@contextmanager
def work_tree(
    repository: Repository, place: Path, *, root: Path | None = None, extra: Sequence[str] = ()
) -> Iterator[WorkTree]:
    """A work tree for as long as the `with` block lasts; it is removed whatever ends the block.

    What a program left that was killed is removed by the next one.

    Args:
        place: a folder of this search alone, which holds its lock.
        root: where the files are to be, if not in `place`.

    Raises:
        LockBusy: another search over the same folder is under way.
        RigError: it cannot be made.
    """
    place.mkdir(parents=True, exist_ok=True)
    with held(place / LOCK, f"commits of {repository.folder} are searched", timeout_s=0.0):
        _remove(place)
        made = WorkTree(
            repository=repository, place=place, root=root or place / TREE, extra=tuple(extra)
        )
        try:
            _make(made)
            yield made
        finally:
            _remove(place)


def _make(made: WorkTree) -> None:
    try:
        made.root.mkdir(parents=True)
        _initialise(made.repository, made.place / GIT)
    except (GitError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        raise RigError(f"cannot make a work tree in {made.place}: {said or error}") from error


def remove_left(places: Path) -> None:
    """Remove the work trees of searches that were killed. `places` holds one folder for each."""
    for lock in places.glob(f"*/{LOCK}"):
        try:
            with held(lock, "", timeout_s=0.0):
                _remove(lock.parent)
        except LockBusy:
            continue


def _remove(place: Path) -> None:
    for name in (TREE, GIT, "modules", "library"):
        shutil.rmtree(place / name, ignore_errors=True)
