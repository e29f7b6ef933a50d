"""Terminals as a user sees them: a pty with a screen that understands control sequences."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pyte

COLUMNS, LINES = 80, 24


class Terminal:
    """The master side of a pty. `seen` are the screens so far, each without its empty end.

    Args:
        stream: the program's, where the program is the test.
    """

    def __init__(self, master: int, stream: TextIO | None = None) -> None:
        self._master = master
        self._program = stream
        self._settled = 0
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.seen: list[list[str]] = []

    @property
    def lines(self) -> list[str]:
        """What is on the screen now."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def cursor(self) -> tuple[int, int]:
        """Line and column, from 0."""
        return self._screen.cursor.y, self._screen.cursor.x

    def take(self) -> bool:
        """Wait for more and show it; false when nobody is left to write."""
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False
        self._stream.feed(data)
        self.seen.append(self.lines)
        return bool(data)

    def write(self, text: str) -> None:
        """The program writes."""
        assert self._program is not None
        self._program.write(text)
        self.settle()

    def settle(self) -> None:
        """Show all that was written so far, of which a read may bring any part."""
        assert self._program is not None
        self._settled += 1
        self._program.write(f"\x1b]2;{self._settled}\x07")
        self._program.flush()
        while self._screen.title != str(self._settled):
            assert self.take()


@contextmanager
def opened() -> Iterator[tuple[Terminal, TextIO]]:
    """A terminal and the stream of a program that runs on it."""
    master, slave = _pty()
    try:
        with open(slave, "w", encoding="utf-8") as stream:
            yield Terminal(master, stream), stream
    finally:
        os.close(master)


def run_on_terminal(
    command: list[str], *, folder: Path, environment: Mapping[str, str]
) -> tuple[int, Terminal]:
    """Run a command on a terminal to its end: its status and all that was to be seen."""
    master, slave = _pty()
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TERM": "xterm", "COLUMNS": str(COLUMNS)},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        terminal = Terminal(master)
        while terminal.take():
            pass
        return process.wait(), terminal
    finally:
        os.close(master)


def _pty() -> tuple[int, int]:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    return master, slave
