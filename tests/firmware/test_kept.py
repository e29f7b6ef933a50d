"""Finished builds: found, in use, removed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.board.registry import load_registry
from harness.errors import RigError
from harness.firmware.build import Builder
from harness.firmware.kept import ELF, IDLE_S, INDEX, MOST, KeptBuilds, notes_of
from harness.model.resolve import resolve_model
from harness.project import find_project

NOW = 1_000_000.0


@pytest.fixture
def kept(tmp_path: Path) -> KeptBuilds:
    return KeptBuilds(tmp_path, most=2, clock=lambda: NOW)


def add(folder: Path, identity: str, *, used: float, whole: bool = True) -> None:
    """A build that was last used so many seconds before NOW."""
    KeptBuilds(folder).keep(identity, {ELF: b"data" + bytes.fromhex(identity)}, [])
    if not whole:
        (folder / identity / INDEX).unlink()
    for path in (folder / identity / INDEX, folder / identity):
        if path.exists():
            os.utime(path, (NOW - used, NOW - used))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_the_builds_used_last_are_kept(kept: KeptBuilds, tmp_path: Path) -> None:
    for name, days in (("aa", 4), ("bb", 2), ("cc", 5), ("dd", 3)):
        add(tmp_path, name, used=days * IDLE_S)
    assert kept.prune() == 2
    assert names(tmp_path) == ["bb", "dd"]
    assert kept.prune() == 0


def test_what_was_used_within_a_day_stays_however_much_it_is(
    kept: KeptBuilds, tmp_path: Path
) -> None:
    for number in range(5):
        add(tmp_path, f"{number:02}", used=IDLE_S - 1)
    assert kept.prune() == 0


def test_a_build_that_another_process_has_just_found_stays(
    kept: KeptBuilds, tmp_path: Path
) -> None:
    for name, days in (("aa", 5), ("bb", 4), ("cc", 3), ("dd", 2)):
        add(tmp_path, name, used=days * IDLE_S)
    assert KeptBuilds(tmp_path, clock=lambda: NOW).find("aa") == tmp_path / "aa"
    assert kept.prune() == 2
    assert names(tmp_path) == ["aa", "dd"]


def test_an_unfinished_build_is_not_found_and_removed_like_others(
    kept: KeptBuilds, tmp_path: Path
) -> None:
    for name, days in (("aa", 3), ("bb", 2)):
        add(tmp_path, name, used=days * IDLE_S)
    add(tmp_path, "ee", used=4 * IDLE_S, whole=False)
    assert kept.find("ee") is None
    assert kept.prune() == 1
    assert names(tmp_path) == ["aa", "bb"]


def test_a_build_that_was_never_made_is_not_found(tmp_path: Path) -> None:
    assert KeptBuilds(tmp_path / "absent").find("aa") is None


def test_a_new_build_says_how_many_old_ones_it_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(MOST + 2):
        add(tmp_path, f"{number:04}", used=IDLE_S)
    project = find_project()
    builder = Builder(project)
    builder._kept = KeptBuilds(tmp_path)
    sine = resolve_model("sine", project.artifacts)
    assert builder.build(load_registry()["qemu-m4"], "aot", sine).elf.is_file()
    assert len(names(tmp_path)) == MOST
    said = capsys.readouterr().err
    assert said == f"removed 3 old builds from {tmp_path}, which keeps 200\n"


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "a torn index": (INDEX, lambda content: content[:40], "is damaged"),
    "an empty index": (INDEX, lambda content: b"", "is damaged"),
    "an index of an older version": (INDEX, lambda content: b"[]", "is damaged, or of an older"),
    "an index of another build": (INDEX, lambda content: content.replace(b"aa", b"bb"), "not of"),
    "a torn file": (ELF, lambda content: content[:-1], "is not as it was written"),
    "a changed file": (ELF, lambda content: b"x" + content[1:], "is not as it was written"),
}


@pytest.mark.parametrize("name, damage, said", DAMAGES.values(), ids=DAMAGES)
def test_a_build_that_is_not_whole_is_removed_and_a_line_says_so(
    kept: KeptBuilds,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[bytes], bytes],
    said: str,
) -> None:
    add(tmp_path, "aa", used=0)
    path = tmp_path / "aa" / name
    path.write_bytes(damage(path.read_bytes()))
    assert kept.find("aa") is None and not (tmp_path / "aa").exists()
    line = capsys.readouterr().err
    assert line.startswith(f"the firmware kept in {tmp_path}/aa is not whole, it is built again: ")
    assert said in line and line.count("\n") == 1


def test_a_missing_file_is_such_a_damage(kept: KeptBuilds, tmp_path: Path) -> None:
    add(tmp_path, "aa", used=0)
    (tmp_path / "aa" / ELF).unlink()
    assert kept.find("aa") is None


def test_firmware_is_kept_under_no_id_but_its_own(kept: KeptBuilds, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the firmware of build aa"):
        kept.keep("aa", {ELF: b"\xbb"}, [])
    assert names(tmp_path) == []
    # As an older version may have kept it, after a kill.
    elf = b"\xbb"
    index = {"build_id": "aa", "files": {ELF: hashlib.sha256(elf).hexdigest()}, "notes": []}
    (tmp_path / "aa").mkdir()
    (tmp_path / "aa" / ELF).write_bytes(elf)
    (tmp_path / "aa" / INDEX).write_text(json.dumps(index))
    assert kept.find("aa") is None


def test_what_was_noted_is_found_again(kept: KeptBuilds, tmp_path: Path) -> None:
    place = kept.keep("aa", {ELF: b"\xaa", "other": b""}, [{"a": 1}])
    assert notes_of(place) == [{"a": 1}] and (place / "other").read_bytes() == b""
    assert kept.find("aa") == place


def test_a_folder_that_cannot_keep_builds_is_a_sick_rig(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RigError, match="cannot keep firmware in .*file"):
        KeptBuilds(tmp_path / "file").keep("aa", {ELF: b"\xaa"}, [])
