"""What a build that did not end leaves in its working folder."""

import os

from harness.firmware.workfolder import WorkFolder


def made(path, *, at):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, ns=(at, at))
    return path


def test_what_an_unfinished_build_made_is_removed_and_no_more(tmp_path):
    work = WorkFolder(tmp_path, "env")
    old = made(work.built / "lib" / "a.o", at=1_000)
    work.begin()
    began = (tmp_path / "under-way").stat().st_mtime_ns
    young = made(work.built / "model" / "b.o", at=began)
    notes = made(work.built / ".sconsign311.dblite", at=began)
    other = made(tmp_path / "pio" / "build" / "project.checksum", at=began)
    (tmp_path / "model-x1").mkdir()
    work.begin()
    assert not young.exists() and not (tmp_path / "model-x1").exists()
    assert old.exists() and notes.exists() and other.exists()


def test_what_a_build_made_that_ended_stays(tmp_path):
    work = WorkFolder(tmp_path, "env")
    work.begin()
    began = (tmp_path / "under-way").stat().st_mtime_ns
    young = made(work.built / "b.o", at=began)
    work.end()
    work.begin()
    assert young.exists()
    work.clear()
    assert not young.exists()
