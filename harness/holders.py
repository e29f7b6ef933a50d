"""Who has a serial port of this machine open, and why this user cannot open it."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import shlex
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness.locks import user_name
from harness.text import listed, printable

UNKNOWN = "Is it plugged in, is your user in its group, does another program hold it?"
_BUSY = (errno.EBUSY, errno.EAGAIN)
_MOST_NAMED = 3


def keep_others_out(handle: int) -> None:
    """Have the kernel refuse a port to programs that open it from now on, root's apart.

    A lock, which pyserial takes, is heeded only by programs that ask for one; `cat` and
    ModemManager do not, and would take bytes of the board's answers. Left alone is a
    pseudo-terminal, which would stay shut after this program was killed: its other end is open.
    """
    with suppress(OSError, termios.error):
        if not _is_pty(os.ttyname(handle)):
            fcntl.ioctl(handle, termios.TIOCEXCL)


def holders(port: str, processes: Path = Path("/proc")) -> tuple[str, ...]:
    """Other programs that have a port open, such as `cat (process 4711)`.

    Without root those of this user alone are seen. Of a pseudo-terminal, which whoever serves it
    has open as well, none is named.
    """
    try:
        path = os.path.realpath(port)
        device = 0 if _is_pty(path) else os.stat(path).st_rdev
    except (OSError, ValueError):
        return ()
    return tuple(_holders(device, processes)) if device else ()


def _is_pty(path: str) -> bool:
    return path.startswith("/dev/pts/")


def _holders(device: int, processes: Path) -> Iterator[str]:
    for process in sorted(processes.glob("[0-9]*")):
        if process.name != str(os.getpid()) and _has_open(process, device):
            name = "a program"
            with suppress(OSError):
                name = printable((process / "comm").read_text(errors="replace").strip(), 40)
            yield f"{name} (process {process.name})"


def _has_open(process: Path, device: int) -> bool:
    with suppress(OSError):
        for handle in os.listdir(process / "fd"):
            with suppress(OSError):
                if os.stat(process / "fd" / handle).st_rdev == device:
                    return True
    return False


def why_not(port: str, error: OSError | ValueError) -> str:
    """What to do about a port that could not be opened."""
    number = getattr(error, "errno", None)
    if "://" in port:
        return "Does a server listen there, does it serve another client, is the board plugged in?"
    if number == errno.ENOENT:
        return "Is it plugged in? `hil boards` lists the ports that are there."
    if number == errno.EACCES:
        return _not_permitted(port)
    if number in _BUSY:
        return _held(port)
    return UNKNOWN


def _not_permitted(port: str) -> str:
    user, group = user_name(), "dialout"
    with suppress(OSError, KeyError):
        group = grp.getgrgid(os.stat(port).st_gid).gr_name
    if group == "root":
        return (
            f"It belongs to root alone: udev gives it to a group by rules. Install those of "
            f"`hil udev`; `hil doctor` says how. You are {user}."
        )
    return (
        f"{user} may not open it, but group {group} may: sudo usermod -aG {group} {user}, then log "
        "in again."
    )


def _held(port: str) -> str:
    if found := holders(port):
        return f"{listed(found, _MOST_NAMED)} has it open: end that, and try again."
    return f"Another program has it open: sudo fuser -v {shlex.quote(port)} names it."


def also_open(port: str | None) -> str:
    """A sentence on other programs that have a board's port open; empty where none is seen."""
    found = holders(port) if port and port.startswith("/") else ()
    if not found:
        return ""
    return (
        f"{listed(found, _MOST_NAMED)} has the port open too, and may take what the board answers: "
        "end that, and try again."
    )
