"""Finished builds: found, in use, removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.board.registry import load_registry
from harness.firmware.build import Builder
from harness.firmware.kept import IDLE_S, INDEX, MOST, KeptBuilds
from harness.model.resolve import resolve_model
from harness.project import find_project

NOW = 1_000_000.0


@pytest.fixture
def kept(tmp_path: Path) -> KeptBuilds:
    return KeptBuilds(tmp_path, most=2, clock=lambda: NOW)


def add(folder: Path, identity: str, *, used: float, whole: bool = True) -> None:
    """A build that was last used so many seconds before NOW."""
    (folder / identity).mkdir(parents=True)
    (folder / identity / "firmware.elf").touch()
    if whole:
        (folder / identity / INDEX).touch()
    for path in (folder / identity / INDEX, folder / identity):
        if path.exists():
            os.utime(path, (NOW - used, NOW - used))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_the_builds_used_last_are_kept(kept: KeptBuilds, tmp_path: Path) -> None:
    for name, days in (("a", 4), ("b", 2), ("c", 5), ("d", 3)):
        add(tmp_path, name, used=days * IDLE_S)
    assert kept.prune() == 2
    assert names(tmp_path) == ["b", "d"]
    assert kept.prune() == 0


def test_what_was_used_within_a_day_stays_however_much_it_is(
    kept: KeptBuilds, tmp_path: Path
) -> None:
    for number in range(5):
        add(tmp_path, str(number), used=IDLE_S - 1)
    assert kept.prune() == 0


def test_a_build_that_another_process_has_just_found_stays(
    kept: KeptBuilds, tmp_path: Path
) -> None:
    for name, days in (("a", 5), ("b", 4), ("c", 3), ("d", 2)):
        add(tmp_path, name, used=days * IDLE_S)
    assert KeptBuilds(tmp_path, clock=lambda: NOW).find("a") == tmp_path / "a"
    assert kept.prune() == 2
    assert names(tmp_path) == ["a", "d"]


def test_an_unfinished_build_is_not_found_and_removed_like_others(
    kept: KeptBuilds, tmp_path: Path
) -> None:
    for name, days in (("a", 3), ("b", 2)):
        add(tmp_path, name, used=days * IDLE_S)
    add(tmp_path, "torn", used=4 * IDLE_S, whole=False)
    assert kept.find("torn") is None
    assert kept.prune() == 1
    assert names(tmp_path) == ["a", "b"]


def test_a_build_that_was_never_made_is_not_found(tmp_path: Path) -> None:
    assert KeptBuilds(tmp_path / "absent").find("a") is None


def test_a_new_build_says_how_many_old_ones_it_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(MOST + 2):
        add(tmp_path, f"{number:03}", used=IDLE_S)
    project = find_project()
    builder = Builder(project)
    builder._kept = KeptBuilds(tmp_path)
    sine = resolve_model("sine", project.artifacts)
    assert builder.build(load_registry()["qemu-m4"], "aot", sine).elf.is_file()
    assert len(names(tmp_path)) == MOST
    said = capsys.readouterr().err
    assert said == f"removed 3 old builds from {tmp_path}, which keeps 200\n"
