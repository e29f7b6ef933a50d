"""Lock files: freed by the kernel when the holder dies, and telling whoever waits who holds them.

The lock file itself says who holds it, so there is no second file that somebody could put in the
way. It may lie in a folder that others can write to: nothing but a regular file of ours is opened.
"""

from __future__ import annotations

import errno
import fcntl
import getpass
import json
import os
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from harness.errors import NOWHERE, LockBusy, Where
from harness.progress import Progress, no_progress
from harness.terminal import say
from harness.text import shortened

WAIT_S = 120.0
"""How long files are waited for: they are held for moments, unless their holder is stopped."""

SILENT_S = 2.0
"""Waiting longer than this is said where no progress is shown, and again every EVERY_S."""

EVERY_S = 30.0
_POLL_S = 0.05
_MOST_BYTES = 4096
"""Of what a holder writes about itself."""

_MOST_LETTERS = 200
_TRIES = 10


def user_name() -> str:
    """Name of the user who runs this process; the user id where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@contextmanager
def held(
    path: Path,
    what: str,
    *,
    timeout_s: float = WAIT_S,
    where: Where = NOWHERE,
    folder: int | None = None,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = say,
) -> Iterator[int]:
    """Hold a lock file for the length of a `with` block; yields its descriptor.

    The lock lasts as long as any process has the descriptor open: one that inherits it holds the
    lock beyond the end of this one.

    Args:
        path: the lock file; made if it is not there, and never removed.
        what: begins the messages: `board is in use`, then `by COMMAND (pid ...)`.
        folder: descriptor of the folder of `path`, if all users share it: a new file is then open
            to all.
        progress: shows the wait.
        tell: called with a line now and then while waiting, unless there is a `progress`.

    Raises:
        LockBusy: another process, or thread, still held it after `timeout_s`; names the process.
        OSError: it cannot be opened, or is no lock file: `strerror` says why.
    """
    handle = _acquired(path, what, timeout_s, where, folder, progress, tell)
    try:
        _write_record(handle)
        yield handle
    finally:
        with suppress(OSError):
            os.ftruncate(handle, 0)
        os.close(handle)


def _acquired(
    path: Path,
    what: str,
    timeout_s: float,
    where: Where,
    folder: int | None,
    progress: Progress,
    tell: Callable[[str], None],
) -> int:
    until = time.monotonic() + timeout_s
    for _ in range(_TRIES):
        handle = _opened(path, folder)
        try:
            if not _try(handle):
                waiting = _Waiting(what, timeout_s, until, where)
                with progress(waiting.text(handle)):
                    waiting.wait(handle, tell if progress is no_progress else None)
            if os.fstat(handle).st_nlink:
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # Somebody removed the file meanwhile: what others lock is a new one.
    raise OSError(errno.EAGAIN, "it is removed again and again", str(path))


def held_by(path: Path, pid: int) -> bool:
    """Whether a lock file is held, by a process that says that it is this one."""
    try:
        handle = _opened(path, None)
    except OSError:
        return False
    try:
        return not _try(handle) and _record(handle)["pid"] == pid
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    finally:
        os.close(handle)


class _Waiting:
    """A wait for a lock until clock time `until`."""

    def __init__(self, what: str, timeout_s: float, until: float, where: Where) -> None:
        self._what = what
        self._timeout_s = timeout_s
        self._until = until
        self._where = where

    def text(self, handle: int) -> str:
        """What is said while waiting."""
        board = f"{self._where.board}: " if self._where.board else ""
        waiting = f"waiting up to {self._timeout_s:g} s for {holder_of(handle)}"
        return f"{board}{self._what}, {waiting}"

    def wait(self, handle: int, tell: Callable[[str], None] | None) -> None:
        """Return once the lock is had; raise LockBusy when the time is over."""
        say_at = time.monotonic() + SILENT_S
        while not _try(handle):
            now = time.monotonic()
            if now >= self._until:
                raise LockBusy(
                    self._what,
                    where=self._where,
                    holder=holder_of(handle),
                    waited_s=self._timeout_s,
                )
            if tell is not None and now >= say_at:
                tell(self.text(handle))
                say_at = now + EVERY_S
            time.sleep(min(_POLL_S, self._until - now))


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(path: Path, folder: int | None) -> int:
    """Descriptor of a lock file, made if need be."""
    name = str(path) if folder is None else path.name
    # O_NONBLOCK: nothing that stands there, as a FIFO, may hold the opening up.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    for _ in range(_TRIES):
        # First without O_CREAT, with which Linux refuses files of others in sticky folders.
        try:
            return _checked(os.open(name, flags, dir_fd=folder), path)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno == errno.ELOOP:
                error.strerror = "what stands there is a symbolic link; remove it"
            raise
        with suppress(FileExistsError):
            handle = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
            if folder is not None:
                os.fchmod(handle, 0o666)  # Whatever the umask.
            return handle
    raise OSError(errno.EAGAIN, "it is removed again and again", str(path))


def _checked(handle: int, path: Path) -> int:
    """The descriptor, if it is that of a lock file; else it is closed."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        problem = "what stands there is no regular file; remove it"
    elif found.st_nlink > 1:
        problem = "the file there has a second name elsewhere (a hard link); remove it"
    elif found.st_size and not os.pread(handle, 1, 0) == b"{":
        problem = "the file there is no lock file of the harness; move it away"
    else:
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, problem, str(path))


def _write_record(handle: int) -> None:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    record = {
        "pid": os.getpid(),
        "user": user_name(),
        "command": shortened(command, _MOST_LETTERS),
        "since": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    with suppress(OSError):  # On a full disk it is held all the same.
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(record).encode(), 0)


def holder_of(handle: int) -> str:
    """Who holds a lock, by what the holder wrote into its file."""
    try:
        record = _record(handle)
        pid = int(record["pid"])
        command, user, since = (_plain(record[key]) for key in ("command", "user", "since"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "an unknown process"
    return f"{command} (pid {pid}, user {user}) since {since}"


def _record(handle: int) -> Any:
    return json.loads(os.pread(handle, _MOST_BYTES, 0))


def _plain(text: object) -> str:
    # Any user of the machine may have written it.
    plain = "".join(char if char.isprintable() else "?" for char in str(text))
    return shortened(plain, _MOST_LETTERS)
