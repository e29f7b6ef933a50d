from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.board.lock import hold, hold_uploads, lock_folder
from harness.errors import BoardBusy, RigError

ROOT = Path(__file__).parents[2]

HOLDER = """
import sys
from pathlib import Path
from harness.board.lock import hold

with hold("nano", timeout_s=10, folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the board until its standard input closes."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), "--board nano"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_second_holder_waits_and_is_told_who_holds_it_since_when(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(BoardBusy) as caught:
            with hold("nano", timeout_s=0.1, folder=tmp_path):
                raise AssertionError("two holders")
    text = str(caught.value)
    assert f"in use by -c {tmp_path} '--board nano' (pid {process.pid}, user " in text
    assert " since 20" in text and " UTC; waited 0.1 s (board nano)" in text
    assert "--hil-lock-timeout" in text


def test_board_is_free_again_when_its_holder_ends(tmp_path: Path) -> None:
    with holder(tmp_path):
        pass
    with hold("nano", timeout_s=0, folder=tmp_path):
        assert str(os.getpid()) in (tmp_path / "nano.lock").read_text()
    assert (tmp_path / "nano.lock").read_text() == ""


def test_board_is_free_again_when_its_holder_was_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        assert (tmp_path / "nano.lock").read_text()
        with hold("nano", timeout_s=0, folder=tmp_path):
            assert str(os.getpid()) in (tmp_path / "nano.lock").read_text()


def test_a_waiting_process_gets_the_board_as_soon_as_its_holder_is_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as process, ThreadPoolExecutor(1) as pool:

        def wait() -> float:
            with hold("nano", timeout_s=30, folder=tmp_path):
                return time.monotonic()

        waiting = pool.submit(wait)
        time.sleep(0.3)
        assert not waiting.done()
        killed = time.monotonic()
        process.kill()
        assert waiting.result() - killed < 2


def test_the_wait_lasts_as_long_as_allowed(tmp_path: Path) -> None:
    with holder(tmp_path):
        start = time.monotonic()
        with pytest.raises(BoardBusy, match="waited 0.5 s"):
            with hold("nano", timeout_s=0.5, folder=tmp_path):
                raise AssertionError("two holders")
        assert 0.5 <= time.monotonic() - start < 5


def test_uploads_have_a_lock_of_their_own_for_all_boards(tmp_path: Path) -> None:
    with holder(tmp_path), hold_uploads("nano", timeout_s=0, folder=tmp_path):
        with pytest.raises(BoardBusy, match="an upload is under way by .* since 20.*board pico"):
            with hold_uploads("pico", timeout_s=0, folder=tmp_path):
                raise AssertionError("two uploads")


def test_another_board_is_free(tmp_path: Path) -> None:
    with holder(tmp_path), hold("qemu-m4", timeout_s=0, folder=tmp_path):
        assert (tmp_path / "qemu-m4.lock").read_text()


def test_its_holder_may_hold_a_board_again_and_keeps_it_to_the_end(tmp_path: Path) -> None:
    def held() -> AbstractContextManager[None]:
        return hold("nano", timeout_s=0, folder=tmp_path, again=True)

    with ExitStack() as first, ExitStack() as second:
        first.enter_context(held())
        second.enter_context(held())
        first.close()
        assert str(os.getpid()) in (tmp_path / "nano.lock").read_text()
        with ThreadPoolExecutor(1) as pool, pytest.raises(BoardBusy, match=f"pid {os.getpid()}"):
            pool.submit(held().__enter__).result()
    assert (tmp_path / "nano.lock").read_text() == ""
    with holder(tmp_path):
        pass


def test_lock_is_let_go_when_the_block_fails(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), hold("nano", timeout_s=0, folder=tmp_path):
            raise KeyError


@pytest.mark.parametrize("record", ["", "{", "{}", '{"pid": null}', '{"a":' * 9000])
def test_unreadable_holder_record_is_no_obstacle(tmp_path: Path, record: str) -> None:
    with holder(tmp_path):
        (tmp_path / "nano.lock").write_text(record)
        with pytest.raises(BoardBusy, match="in use by an unknown process"):
            with hold("nano", timeout_s=0, folder=tmp_path):
                raise AssertionError("two holders")


def test_folder_is_the_machines_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))
    assert lock_folder() == tmp_path / "locks"
    with hold("nano", timeout_s=0):
        assert (tmp_path / "locks" / "nano.lock").exists()
    monkeypatch.delenv("HIL_LOCK_DIR")
    assert lock_folder().name == "hil-locks"


def test_folder_made_is_open_to_every_user(tmp_path: Path) -> None:
    with hold("nano", timeout_s=0, folder=tmp_path / "locks"):
        assert (tmp_path / "locks").stat().st_mode & 0o7777 == 0o1777


def test_folder_that_cannot_be_is_a_sick_rig(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RigError, match="cannot lock in .*file"):
        with hold("nano", timeout_s=0, folder=tmp_path / "file"):
            raise AssertionError("held")


def test_waiting_for_a_board_tells_for_whom_and_how_long_at_most(tmp_path):
    told = []

    @contextmanager
    def progress(what, total=None):
        told.append(what)
        yield lambda count: None
        told.append("over")

    with hold("nano", timeout_s=9, folder=tmp_path):
        with (
            pytest.raises(BoardBusy),
            hold("nano", timeout_s=0.01, folder=tmp_path, progress=progress),
        ):
            raise AssertionError("held")
    (waiting,) = told
    assert waiting.startswith("nano: board is in use, waiting up to 0.01 s for ")
    assert f"(pid {os.getpid()}, " in waiting
    with hold("nano", timeout_s=9, folder=tmp_path, progress=progress):
        assert told == [waiting]


@pytest.mark.parametrize("board", ["../nano", "a/b", "a\\b", ".", "..", "", "a\0b", "n" * 201])
def test_ids_that_are_no_names_of_files_are_refused(tmp_path: Path, board: str) -> None:
    with pytest.raises(RigError, match="cannot be the id of a board"):
        with hold(board, timeout_s=0, folder=tmp_path / "locks"):
            raise AssertionError("held")
    assert not list(tmp_path.iterdir())


def test_a_folder_left_by_an_older_version_is_made_sticky(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with hold("nano", timeout_s=0, folder=tmp_path):
        assert tmp_path.stat().st_mode & 0o7777 == 0o1777


NOBODY = 65534
needs_two_users = pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A sticky folder that every user reaches, as /tmp is."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="hil-shared-") as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


HELD_BY_NOBODY = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from harness.board.lock import hold
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); os.umask(0o077)
with hold("nano", timeout_s=0, folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@needs_two_users
def test_two_users_share_the_locks_of_a_machine(shared: Path) -> None:
    command = [sys.executable, "-c", HELD_BY_NOBODY, str(shared / "locks")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BoardBusy, match=f"pid {process.pid}, user nobody"):
            with hold("nano", timeout_s=0, folder=shared / "locks"):
                raise AssertionError("two holders")
    with hold("nano", timeout_s=0, folder=shared / "locks"):
        assert str(os.getpid()) in (shared / "locks" / "nano.lock").read_text()
    with hold("pico", timeout_s=0, folder=shared / "locks"):
        command = [sys.executable, "-c", HELD_BY_NOBODY.replace("nano", "pico")]
        done = subprocess.run([*command, str(shared / "locks")], capture_output=True, text=True)
    assert f"board is in use by {sys.argv[0].rpartition('/')[2]}" in done.stderr
    assert f"pid {os.getpid()}, user root" in done.stderr


@needs_two_users
@pytest.mark.parametrize("mode, name", [(0o777, "locks"), (0o755, "locks"), (0o1777, "link")])
def test_a_folder_that_another_user_rules_is_refused(shared: Path, mode: int, name: str) -> None:
    folder = shared / "locks"
    folder.mkdir()
    folder.chmod(mode)
    os.chown(folder, NOBODY, NOBODY)
    (shared / "link").symlink_to(folder)
    os.chown(shared / "link", NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(RigError, match="cannot lock in .*") as caught:
        with hold("nano", timeout_s=0, folder=shared / name):
            raise AssertionError("held")
    assert "HIL_LOCK_DIR" in str(caught.value)
    assert not list(folder.iterdir())


@needs_two_users
def test_another_users_sticky_folder_serves(shared: Path) -> None:
    folder = shared / "locks"
    folder.mkdir()
    folder.chmod(0o1777)
    os.chown(folder, NOBODY, NOBODY)
    with hold("nano", timeout_s=0, folder=folder):
        assert (folder / "nano.lock").stat().st_uid == 0
