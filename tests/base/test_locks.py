"""Lock files: what may stand in their place, who holds them, and for how long."""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from harness.errors import LockBusy
from harness.locks import held


def test_a_lock_says_in_its_file_who_holds_it_and_is_empty_when_free(tmp_path):
    path = tmp_path / "it.lock"
    with held(path, "in use"):
        assert f'"pid": {os.getpid()},' in path.read_text()
    assert path.read_text() == ""
    with held(path, "in use"):
        pass


def test_a_wait_that_is_too_long_names_the_holder(tmp_path):
    path = tmp_path / "it.lock"
    with held(path, "the file is written"), pytest.raises(LockBusy) as caught:
        with held(path, "the file is written", timeout_s=0.01):
            raise AssertionError("held twice")
    text = str(caught.value)
    assert text.startswith("the file is written by ") and "; waited 0.01 s." in text
    assert f"(pid {os.getpid()}, user " in caught.value.holder


def test_waiting_is_said_in_plain_lines_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.locks.SILENT_S", 0.0)
    monkeypatch.setattr("harness.locks.EVERY_S", 0.04)
    said = []
    with held(tmp_path / "a", "in use"), pytest.raises(LockBusy):
        with held(tmp_path / "a", "in use", timeout_s=0.3, tell=said.append):
            raise AssertionError("held twice")
    assert 2 <= len(said) < 12
    assert said[0].startswith("in use, waiting up to 0.3 s for ")
    assert f"(pid {os.getpid()}, " in said[0]


PLACED = {
    "a FIFO": (os.mkfifo, "no regular file"),
    "a folder": (os.mkdir, "directory"),
    "a link to a file": (lambda path: path.symlink_to(path.parent / "theirs"), "symbolic link"),
    "a link to nothing": (lambda path: path.symlink_to(path.parent / "none"), "symbolic link"),
    "a second name": (lambda path: path.hardlink_to(path.parent / "theirs"), "hard link"),
    "another file": (lambda path: path.write_text("[settings]\n"), "no lock file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "symbolic link"),
}


@pytest.mark.parametrize("place, why", PLACED.values(), ids=PLACED)
def test_what_stands_in_the_place_of_a_lock_is_refused_at_once_and_unharmed(tmp_path, place, why):
    theirs, path = tmp_path / "theirs", tmp_path / "it.lock"
    theirs.write_text("precious\n")
    place(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(OSError, match=why):
        with held(path, "in use", timeout_s=0):
            raise AssertionError("held")
    assert theirs.read_text() == "precious\n"
    assert not (tmp_path / "none").exists()
    assert not path.is_file() or path.read_bytes() == before


def test_whoever_inherits_the_descriptor_holds_the_lock_on(tmp_path):
    path = tmp_path / "it.lock"
    with ExitStack() as stack:
        with held(path, "in use") as handle:
            child = subprocess.Popen(
                [sys.executable, "-Sc", "input()"], stdin=subprocess.PIPE, pass_fds=[handle]
            )
            stack.callback(child.wait)
            stack.enter_context(child.stdin)
        with pytest.raises(LockBusy, match="an unknown process"):
            with held(path, "in use", timeout_s=0.01):
                raise AssertionError("held twice")
    with held(path, "in use", timeout_s=0):
        pass


def test_what_a_holder_says_of_itself_is_no_escape_sequence(tmp_path):
    path = tmp_path / "it.lock"
    with held(path, "in use"):
        path.write_text(
            '{"pid": 7, "user": "u", "since": "s", "command": "\\u001b[2J\\n::error::'
            + 5000 * "x"
            + '"}'
        )
        with pytest.raises(LockBusy, match="by an unknown process"):
            with held(path, "in use", timeout_s=0):
                raise AssertionError
        path.write_text(path.read_text().replace(4000 * "x", ""))
        with pytest.raises(LockBusy) as caught:
            with held(path, "in use", timeout_s=0):
                raise AssertionError
    assert caught.value.holder.startswith("?[2J?::error::xxx")
    assert len(caught.value.holder) < 250


def test_a_lock_whose_file_was_removed_is_taken_on_the_new_one(tmp_path):
    path = tmp_path / "it.lock"
    with held(path, "in use"):
        path.unlink()
        with held(path, "in use", timeout_s=0):
            assert path.read_text()
    assert path.read_text() == ""
