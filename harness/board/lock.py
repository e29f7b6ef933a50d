"""One lock per board id, and one for uploads; freed by the kernel when the holder dies."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import BoardBusy, RigError, Where
from harness.progress import Progress, no_progress

# Not a board id that TOML allows without quotes, so that nobody has a board of this name.
_UPLOADS = "all uploads"


def lock_folder() -> Path:
    """Where the lock files lie; all users of the machine share it, as they share its boards."""
    return Path(os.environ.get("HIL_LOCK_DIR") or Path(tempfile.gettempdir()) / "hil-locks")


def _prepare(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    # Without the sticky bit: in a sticky folder the kernel refuses other users' lock files.
    folder.chmod(0o777)


def user_name() -> str:
    """Name of the user who runs this process; the user id where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _describe_self() -> str:
    record = {
        "pid": os.getpid(),
        "user": user_name(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "since": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    return json.dumps(record)


def _describe_holder(path: Path) -> str:
    try:
        held = json.loads(path.read_text())
        return f"{held['command']} (pid {held['pid']}, user {held['user']}) since {held['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown process"


@contextmanager
def hold(
    board_id: str,
    *,
    timeout_s: float,
    folder: Path | None = None,
    progress: Progress = no_progress,
    again: bool = False,
) -> Iterator[None]:
    """Hold the board for the length of a `with` block.

    Args:
        again: re-entrant: a thread that holds the board so already gets it at once, and holds it
            until the last of its blocks has ended. Keeps a board locked between two openings.

    Raises:
        BoardBusy: another process still held it after `timeout_s`; names that process.
    """
    where = Where(board=board_id)
    with _locked(board_id, "board is in use", where, timeout_s, folder, progress, again=again):
        yield


@contextmanager
def hold_uploads(
    board_id: str, *, timeout_s: float, folder: Path | None = None, progress: Progress = no_progress
) -> Iterator[None]:
    """Hold the lock of all uploads: a port that appears meanwhile is then this board's.

    Raises:
        BoardBusy: another process still uploaded after `timeout_s`; names that process.
    """
    where = Where(board=board_id)
    with _locked(_UPLOADS, "an upload is under way", where, timeout_s, folder, progress):
        yield


@contextmanager
def _locked(
    name: str,
    what: str,
    where: Where,
    timeout_s: float,
    folder: Path | None,
    progress: Progress,
    *,
    again: bool = False,
) -> Iterator[None]:
    place = folder or lock_folder()
    holder = place / f"{name}.holder"
    try:
        _prepare(place)
        # A singleton, by its path, counts how often its thread has acquired it.
        lock = FileLock(place / f"{name}.lock", mode=0o666, is_singleton=again)
        waiting = f"{where.board}: {what}, waiting up to {timeout_s:g} s"
        with progress(f"{waiting} for {_describe_holder(holder)}"):
            lock.acquire(timeout=timeout_s, poll_interval=0.05)
    except Timeout as error:
        raise BoardBusy(
            where=where, holder=_describe_holder(holder), waited_s=timeout_s, what=what
        ) from error
    except OSError as error:
        raise RigError(f"cannot lock in {place}: {error.strerror}", where=where) from error
    try:
        if lock.lock_counter == 1:
            holder.unlink(missing_ok=True)
            holder.write_text(_describe_self())
        yield
    finally:
        if lock.lock_counter == 1:
            holder.unlink(missing_ok=True)
        lock.release()
