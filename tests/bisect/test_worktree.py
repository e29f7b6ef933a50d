"""Work trees: the user's checkout and its .git stay as they are, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.history import run_git, state_of

from harness.bisect.repository import Repository, open_repository
from harness.bisect.worktree import CannotCheckOut, remove_left, work_tree
from harness.errors import LockBusy, WrongUse


def made(folder: Path, *contents: str) -> Repository:
    folder.mkdir()
    run_git(folder, "init", "-q", "-b", "main")
    for content in contents:
        (folder / "file").write_text(content)
        run_git(folder, "add", ".")
        run_git(folder, "commit", "-q", "-m", content)
    return open_repository(folder, "--in")


def test_each_commit_has_its_files_and_no_others_and_all_is_gone_afterwards(
    tmp_path: Path,
) -> None:
    repository = made(tmp_path / "user", "one", "two")
    (tmp_path / "user" / "file").write_text("not committed")
    (tmp_path / "user" / "unknown").write_text("not added")
    before = state_of(tmp_path / "user")
    assert repository.changed() == 1
    with work_tree(repository, tmp_path / "place") as tree:
        for name, content in (("HEAD~1", "one"), ("HEAD", "two")):
            tree.check_out(repository.commit(name))
            assert {path.name for path in tree.root.iterdir()} == {".git", "file"}
            assert (tree.root / "file").read_text() == content
            assert run_git(tree.root, "rev-parse", "HEAD") == repository.commit(name).id
            assert run_git(tree.root, "status", "--porcelain") == ""
            (tree.root / "built").mkdir()
            (tree.root / "built" / "x").write_text("")
            (tree.root / "file").write_text("changed by a step")
    assert {path.name for path in (tmp_path / "place").iterdir()} == {"lock"}
    assert state_of(tmp_path / "user") == before


def test_what_a_killed_search_left_is_removed_by_the_next(tmp_path: Path) -> None:
    repository = made(tmp_path / "user", "one")
    for name in ("same", "other"):
        (tmp_path / name / "tree" / "deep").mkdir(parents=True)
        (tmp_path / name / "git").mkdir()
        (tmp_path / name / "git" / "index.lock").write_text("")
        (tmp_path / name / "lock").write_text("")
        (tmp_path / name / "steps").mkdir()
    remove_left(tmp_path)
    assert {path.name for path in (tmp_path / "other").iterdir()} == {"lock", "steps"}
    with work_tree(repository, tmp_path / "same") as tree:
        tree.check_out(repository.commit("HEAD"))
        with pytest.raises(LockBusy, match="commits of .*user are searched"):
            with work_tree(repository, tmp_path / "same"):
                pass
        remove_left(tmp_path)
        assert (tree.root / "file").read_text() == "one"


def test_submodules_are_those_of_the_commit_and_the_users_stay(tmp_path: Path) -> None:
    made(tmp_path / "inner", "inner one", "inner two")
    made(tmp_path / "user", "one")
    allow = ("-c", "protocol.file.allow=always")
    user = tmp_path / "user"
    run_git(user, *allow, "submodule", "add", "-q", str(tmp_path / "inner"), "sub")
    run_git(user / "sub", "checkout", "-q", "HEAD~1")
    run_git(user, "commit", "-q", "-a", "-m", "with the older inner")
    run_git(user / "sub", "checkout", "-q", "main")
    run_git(user, "commit", "-q", "-a", "-m", "with the newer inner")
    repository = open_repository(user, "--in")
    before = state_of(user)
    with work_tree(repository, tmp_path / "place") as tree:
        for name, content in (("HEAD", "inner two"), ("HEAD~1", "inner one")):
            tree.check_out(repository.commit(name))
            assert (tree.root / "sub" / "file").read_text() == content
        tree.check_out(repository.commit("HEAD~2"))
        assert not (tree.root / "sub").exists()
    assert state_of(user) == before
    wanted = "1" * 40
    run_git(user, "update-index", "--cacheinfo", f"160000,{wanted},sub")
    run_git(user, "commit", "-q", "-m", "of a commit that nobody has")
    with work_tree(repository, tmp_path / "place") as tree:
        with pytest.raises(CannotCheckOut, match="submodule sub has no commit 111111111111 here"):
            tree.check_out(repository.commit("HEAD"))


def test_commits_that_are_not_there_are_named_and_shallow_clones_told_what_to_fetch(
    tmp_path: Path,
) -> None:
    made(tmp_path / "user", "one", "two", "three")
    run_git(tmp_path, "clone", "-q", "--depth=2", f"file://{tmp_path}/user", "shallow")
    shallow = open_repository(tmp_path / "shallow", "--in")
    assert len(shallow.cut) == 1
    with pytest.raises(WrongUse, match="GOOD: HEAD~2 is no commit.*shallow") as caught:
        shallow.commit("HEAD~2", "GOOD")
    assert "--unshallow" in caught.value.hint
    with work_tree(shallow, tmp_path / "place") as tree:
        tree.check_out(shallow.commit("HEAD~1"))
        assert (tree.root / "file").read_text() == "two"
    with pytest.raises(WrongUse, match="--upload-pack=x is no commit"):
        shallow.commit("--upload-pack=x", "BAD")
    with pytest.raises(WrongUse, match="is in no work tree of git"):
        open_repository(tmp_path, "--in")
    with pytest.raises(WrongUse, match="there is no folder"):
        open_repository(tmp_path / "nowhere", "--in")
