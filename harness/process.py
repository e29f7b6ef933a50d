"""Commands run in process groups of their own, and orderly ends on SIGTERM and SIGINT."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from harness.progress import Progress

_STEP = re.compile(r"(Compiling|Archiving|Indexing|Linking|Building|Checking) ")
"""How PlatformIO begins the line of each thing that it makes."""


def run_logged(
    command: list[str],
    log: Path,
    *,
    environment: Mapping[str, str],
    progress: Progress,
    what: str,
) -> tuple[int, str]:
    """Run a build; return its status and what it said, which `log` keeps.

    How many steps it takes nobody says before, so it is taken for as long as the longest that
    succeeded here, whose count lies beside the log. It is killed when the wait is interrupted.
    """
    counted = log.with_suffix(".steps")
    longest = _read_count(counted)
    said: list[str] = []
    steps = 0
    with (
        progress(what, longest) as advance,
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line)
                if _STEP.match(line):
                    steps += 1
                    advance(1)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
    text = "".join(said)
    log.write_text(text)
    if status == 0 and steps > (longest or 0):
        counted.write_text(f"{steps}\n")
    return status, text


def _read_count(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


class GracefulShutdown:
    """Turns the first SIGTERM into a KeyboardInterrupt, so that whatever is open is closed.

    Later ones are ignored: they would cut the closing short. A handler that somebody else has
    installed stays, and so does a SIGTERM that the parent process had ignored.
    """

    def __init__(self) -> None:
        self._installed = False
        self._begun = False

    def install(self) -> None:
        """Begin to listen, where that is possible: only a main thread can."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._end)
            self._installed = True

    def begin(self) -> None:
        """The end has begun, perhaps by other means: ignore SIGTERM from now on."""
        self._begun = True

    def restore(self) -> None:
        """Stop listening. Idempotent."""
        if self._installed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._installed = False

    def _end(self, number: int, frame: FrameType | None) -> None:
        # A Ctrl-C that is on its way through `finally` blocks is such an end as well.
        unwinding = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        if not (self._begun or unwinding):
            self.begin()
            raise KeyboardInterrupt("terminated (SIGTERM)")


def run_group(
    command: list[str] | str,
    log: Path,
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a command, or a shell's command line, and return its status; its output goes to `log`.

    It runs in a process group of its own, out of Ctrl-C's reach. The whole group is killed when
    time is up or the wait is interrupted.

    Raises:
        subprocess.TimeoutExpired: it took too long.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            shell=isinstance(command, str),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        return process.wait(timeout_s)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def warn(text: str) -> None:
    """A line on standard error, at once."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def defer_signals(what: str, say: Callable[[str], None] = warn) -> Iterator[None]:
    """SIGINT and SIGTERM wait until the block has ended; a second SIGINT interrupts it.

    A cancelled job would otherwise leave a board in its bootloader. A signal that the parent
    process had ignored stays so, as under nohup. Does nothing in a thread, where Python delivers
    no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if pending and number == signal.SIGINT:
            pending.clear()
            raise KeyboardInterrupt
        pending.append(number)
        say(f"interrupted: finishing {what} first; interrupt once more to kill it")

    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if (handler := signal.getsignal(number)) != signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])
