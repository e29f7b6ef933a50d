from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.history import run_git, state_of

from harness.errors import RigError
from harness.project import Project, _cache, find_project, git_commit

ROOT = Path(__file__).parents[2]


def test_checkout_is_found_and_builds_into_a_folder_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HIL_STATE_DIR", raising=False)
    monkeypatch.delenv("HIL_PROJECT_DIR", raising=False)
    assert find_project() == Project(root=ROOT, state=ROOT / ".hil")


def test_environment_moves_what_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path))
    assert find_project() == Project(root=ROOT, state=tmp_path)


def test_a_state_folder_behind_a_link_is_known_by_its_own_path(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "disk")  # which is not there yet
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path / "link"))
    assert find_project().state == tmp_path / "disk"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIL_STATE_DIR", "link/nearer")
    assert find_project().state == tmp_path / "disk" / "nearer"


def test_project_names_its_folders(tmp_path: Path) -> None:
    project = Project(root=tmp_path, state=tmp_path / "state")
    assert project.artifacts == tmp_path / "models" / "artifacts"
    assert project.firmware == tmp_path / "firmware"


def test_the_sources_can_be_another_folder_with_a_platformio_ini(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HIL_STATE_DIR", raising=False)
    monkeypatch.setenv("HIL_PROJECT_DIR", str(tmp_path))
    with pytest.raises(RigError, match="no platformio.ini in .*, which HIL_PROJECT_DIR names"):
        find_project()
    (tmp_path / "platformio.ini").write_text("")
    assert find_project() == Project(root=tmp_path, state=tmp_path / ".hil")


def test_the_commit_is_told_with_what_is_changed_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    run_git(tmp_path, "init", "-q")
    run_git(tmp_path, "add", ".")
    run_git(tmp_path, "commit", "-q", "-m", "one")
    commit = run_git(tmp_path, "rev-parse", "--short=12", "HEAD")
    os.utime(tmp_path / "file", (1, 1))
    before = state_of(tmp_path / ".git")
    assert git_commit(tmp_path) == commit
    assert state_of(tmp_path / ".git") == before
    (tmp_path / "file").write_text("two")
    (tmp_path / "unknown").write_text("")
    assert git_commit(tmp_path) == f"{commit}-dirty"
    assert git_commit(tmp_path / "nowhere") is None


def test_a_user_without_a_home_needs_none_in_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "HIL_STATE_DIR", "HIL_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert find_project().state.name == ".hil"
    with pytest.raises(RigError, match="no home folder") as caught:
        _cache()
    assert "HIL_STATE_DIR" in caught.value.hint
