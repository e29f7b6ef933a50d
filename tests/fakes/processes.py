"""Processes as /proc shows them."""

import time
from pathlib import Path


def children_of(pid: int) -> set[int]:
    """Process ids of a process's descendants, from /proc."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            child = int(stat.parent.name)
            found |= {child} | children_of(child)
    return found


def name_of(pid: int) -> str:
    """A process's command, cut at 15 characters; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_in(path: Path) -> int:
    """A process id that a command has written, or will."""
    until = time.monotonic() + 120
    while not (path.is_file() and path.read_text().endswith("\n")):
        assert time.monotonic() < until, f"nothing in {path}"
        time.sleep(0.01)
    return int(path.read_text())
