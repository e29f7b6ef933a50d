"""Runs one command and ends its whole process group when the program that asked for it is gone.

    python -I -S supervise.py LIFELINE GRACE_S COMMAND [ARGUMENT ...]

LIFELINE is the descriptor of a pipe whose other end only that program has: however it dies, the
kernel closes it. A parent-death signal would reach the command alone, not the compilers that it
starts through shells. This process ends last, so that a lock which it inherited is held until
nothing is left that could write. It is the first of its process group, and started once for each
command: it imports nothing else of the harness.
"""

import contextlib
import os
import select
import signal
import sys
import time

_POLL_S = 0.01
_NOT_FOUND = 127
_KILLS = 100


def main(lifeline: int, grace_s: float, command: list[str]) -> int:
    """Run the command; returns its exit status, negative if a signal ended it."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        # The whole group gets it. What it makes of it is waited for.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
    os.set_inheritable(lifeline, False)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    if _orphaned(lifeline, 0):
        return -signal.SIGKILL
    try:
        child = os.posix_spawnp(
            command[0], command, os.environ, setsigdef=(signal.SIGPIPE, signal.SIGXFSZ)
        )
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        return _NOT_FOUND
    status = _wait(child, lifeline, woken)
    if status is None and not os.path.isdir("/proc/self"):
        os.killpg(0, signal.SIGKILL)  # This process as well: who is in the group cannot be seen.
    _end_others(grace_s)
    return -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)


def _wait(child: int, lifeline: int, woken: int) -> "int | None":
    """How the child ended, as waitpid tells it; None once the lifeline is cut."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        ready, _, _ = select.select([lifeline, woken], [], [])
        if lifeline in ready:
            return None
        os.read(woken, 512)


def _orphaned(lifeline: int, timeout_s: float) -> bool:
    return bool(select.select([lifeline], [], [], timeout_s)[0])


def _end_others(grace_s: float) -> None:
    """End all other processes of the group: SIGTERM, and SIGKILL after the grace."""
    if not os.path.isdir("/proc/self") or not _others():
        return  # Whoever waits for this process ends its group in any case.
    os.killpg(0, signal.SIGTERM)
    os.killpg(0, signal.SIGCONT)  # A stopped process heeds it once it goes on.
    until = time.monotonic() + grace_s
    while _others():
        if time.monotonic() > until:
            return _kill_others()
        time.sleep(_POLL_S)


def _kill_others() -> None:
    for _ in range(_KILLS):
        others = _others()
        for pid in others:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not others:
            return
        time.sleep(_POLL_S)


def _others() -> "list[int]":
    """The other processes of this group that run; zombies do not count."""
    group, own = os.getpgrp(), os.getpid()
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit() and int(name) != own and _runs_in(name, group)
    ]


def _runs_in(pid: str, group: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, _, its_group = file.read().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(its_group) == group and state not in (b"Z", b"X")


if __name__ == "__main__":
    ended = main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
    if ended < 0:
        # Its parent is to see the same ending.
        signal.signal(-ended, signal.SIG_DFL) if -ended != signal.SIGKILL else None
        os.kill(os.getpid(), -ended)
    sys.exit(ended)
