"""One lock per board id, per meter, and for uploads; freed by the kernel when the holder dies.

All users of a machine share its boards, and so the folder of their locks. What another user may
have put there is neither followed nor written to.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from harness.errors import BoardBusy, LockBusy, RigError, Where
from harness.lent import loan_of
from harness.locks import held, held_by, user_name
from harness.progress import Progress, no_progress

__all__ = ["hold", "hold_meter", "hold_uploads", "lock_folder", "open_lock_folder", "user_name"]

# Not a board id that TOML allows without quotes, so that nobody has a board of this name.
_UPLOADS = "all uploads"
_NAME = re.compile(r"[^/\\\0.][^/\\\0]{0,199}")
_MOST_SHOWN = 80
_OWN_FOLDER = (
    "Or set HIL_LOCK_DIR to another folder. All who use a board must name the same one: in a "
    "folder of your own the locks of other users are not seen."
)


def lock_folder() -> Path:
    """Where the lock files lie; all users of the machine share it, as they share its boards."""
    return Path(os.environ.get("HIL_LOCK_DIR") or Path(tempfile.gettempdir()) / "hil-locks")


def open_lock_folder(folder: Path) -> int:
    """Descriptor of the folder of locks, made if it is not there.

    Raises:
        RigError: it cannot be had, or other users could put files of theirs in the place of ours.
    """
    try:
        handle = _opened(folder)
    except OSError as error:
        raise RigError(f"cannot lock in {folder}: {error.strerror}", hint=_OWN_FOLDER) from error
    try:
        _refuse_unsafe(folder, handle)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _opened(folder: Path) -> int:
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        # Sticky: nobody may remove or rename what another user locks.
        folder.chmod(0o1777)
    link = folder.is_symlink()
    if link and folder.lstat().st_uid not in (0, os.getuid()):
        raise OSError(0, "it is a symbolic link of another user")
    follow = 0 if link else os.O_NOFOLLOW
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | follow)


def _refuse_unsafe(folder: Path, handle: int) -> None:
    found = os.fstat(handle)
    ours = found.st_uid == os.getuid()
    if found.st_mode & stat.S_ISVTX:
        return
    if ours and found.st_mode & stat.S_IWOTH:  # As it was made before it had to be sticky.
        os.fchmod(handle, stat.S_IMODE(found.st_mode) | stat.S_ISVTX)
    elif found.st_mode & stat.S_IWOTH or not (ours or found.st_uid == 0):
        raise RigError(
            f"cannot lock in {folder}: it belongs to user {found.st_uid} and is not sticky, so "
            "that others can remove what is locked there",
            hint=f"Let its owner or root say: chmod 1777 {shlex.quote(str(folder))}\n{_OWN_FOLDER}",
        )


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

    A board that the process which started this one holds, and lends to it, is had at once.

    Args:
        again: re-entrant: a thread that holds the board so already gets it at once, and holds it
            until the last of its blocks has ended. Keeps a board locked between two openings.

    Raises:
        BoardBusy: another process still held it after `timeout_s`; names that process.
    """
    where, path = Where(board=board_id), _path(board_id, folder)
    loan = loan_of(board_id)
    if loan is not None and held_by(path, loan.pid):
        yield
        return
    lock = _locked(board_id, "board is in use", where, timeout_s, folder, progress)
    with _in_one(path, lock) if again else lock:
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
def hold_meter(
    name: str,
    *,
    where: Where,
    timeout_s: float,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> Iterator[None]:
    """Hold the lock of an instrument, which may be wired to one board at a time.

    Args:
        name: whatever tells it from all others, such as its kind and serial number or port.

    Raises:
        BoardBusy: another process or thread still held it after `timeout_s`; names that process.
    """
    # No board has a blank in its name. Of a longer one the end is cut, not what tells it apart.
    short = quote(name, safe=" ")
    digest = f" {sha256(name.encode()).hexdigest()[:12]}" if len(short) > _MOST_METER else ""
    lock = f"meter {short[:_MOST_METER]}{digest}"
    with _locked(lock, "the meter is in use", where, timeout_s, folder, progress):
        yield


_MOST_METER = 150


@contextmanager
def _locked(
    name: str,
    what: str,
    where: Where,
    timeout_s: float,
    place: Path | None,
    progress: Progress,
) -> Iterator[None]:
    path = _path(name, place)
    with ExitStack() as stack:
        folder = open_lock_folder(path.parent)
        stack.callback(os.close, folder)
        lock = held(path, what, timeout_s=timeout_s, where=where, folder=folder, progress=progress)
        try:
            stack.enter_context(lock)
        except LockBusy as error:
            raise BoardBusy(
                where=where, holder=error.holder, waited_s=timeout_s, what=what
            ) from error
        except OSError as error:
            raise RigError(f"cannot lock {path}: {error.strerror}", where=where) from error
        yield


def _path(name: str, place: Path | None) -> Path:
    if not _NAME.fullmatch(name):
        raise RigError(f"{name[:_MOST_SHOWN]!r} cannot be the id of a board")
    return (place or lock_folder()) / f"{name}.lock"


@dataclass(slots=True)
class _Hold:
    """A lock that its thread has in so many blocks."""

    lock: ExitStack
    blocks: int = 0


class _Holds(threading.local):
    """Those of a thread, by the lock's path."""

    def __init__(self) -> None:
        self.by_path: dict[Path, _Hold] = {}


_HOLDS = _Holds()


@contextmanager
def _in_one(path: Path, lock: AbstractContextManager[None]) -> Iterator[None]:
    """The lock, unless this thread has it already; it is let go after the last such block."""
    holds = _HOLDS.by_path
    if path not in holds:
        with ExitStack() as stack:
            stack.enter_context(lock)
            holds[path] = _Hold(stack.pop_all())
    hold = holds[path]
    hold.blocks += 1
    try:
        yield
    finally:
        hold.blocks -= 1
        if not hold.blocks:
            del holds[path]
            hold.lock.close()
