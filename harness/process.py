"""Running commands in process groups of their own, and ending in order on signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

from harness import supervise
from harness.terminal import say_from_handler

GRACE_S = 2.0
"""How long a process group may take to end after SIGTERM."""

MOST_TOLD = 2000
"""Bytes of a command's output that `run_told` returns, the last ones."""

_POLL_S = 0.05


def run(
    command: Sequence[str] | str,
    log: Path | None,
    *,
    timeout_s: float | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    locks: Sequence[int] = (),
    given: Path | None = None,
    errors: Path | None = None,
) -> int:
    """Run a command, or a shell's command line, and return its exit status.

    It runs in a session of its own, which Ctrl-C does not reach, and without standard input. Before
    this returns or raises, for whatever reason, all processes of its group have ended. Where this
    program is killed meanwhile they end as well: see harness.supervise.

    Args:
        log: file for its output; None: it goes where this program's own output goes.
        on_line: called with each line of the log while the command runs.
        locks: descriptors of locks, which are held until nothing of the command runs any more.
        given: file for its standard input.
        errors: file for what it says of errors, which else goes where its output goes.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout_s`.
    """
    with ExitStack() as files:
        output = None if log is None else files.enter_context(log.open("wb"))
        complaints = output if errors is None else files.enter_context(errors.open("wb"))
        stdin = subprocess.DEVNULL
        if given is not None:
            stdin = files.enter_context(given.open("rb")).fileno()
        theirs, ours = os.pipe()
        files.callback(os.close, ours)
        with _closing(theirs):
            process = start(
                supervised(command, theirs),
                stdin=stdin,
                stdout=output,
                stderr=complaints,
                environment=environment,
                folder=folder,
                inherited=(theirs, *locks),
            )
        try:
            if log is None or on_line is None:
                return process.wait(timeout_s)
            return _follow(process, log, on_line, timeout_s)
        finally:
            end_group(process)


def run_told(command: Sequence[str] | str, *, timeout_s: float) -> tuple[int, str]:
    """Run a command as `run` does; its exit status, and the end of what it wrote.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout_s`.
    """
    with tempfile.TemporaryDirectory(prefix="hil-run-") as folder:
        log = Path(folder, "log")
        status = run(command, log, timeout_s=timeout_s)
        with log.open("rb") as said:
            said.seek(max(0, log.stat().st_size - MOST_TOLD))
            return status, said.read(MOST_TOLD).decode(errors="replace").strip()


ANSWERS_S = 30.0
"""For a program to say its version, on a machine that is busy, or from a disk of the network."""


def answer_of(command: Sequence[str], *, folder: Path | None = None) -> str | None:
    """What a program prints of itself; None where it cannot be run, fails, or does not end.

    For quick questions: the command runs as a child like any other.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWERS_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.decode(errors="replace")


@contextmanager
def _closing(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)


def supervised(command: Sequence[str] | str, lifeline: int) -> list[str]:
    """The command as run by harness.supervise until the other end of `lifeline` is closed."""
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    supervisor = [sys.executable, "-I", "-S", supervise.__file__]
    return [*supervisor, str(lifeline), str(GRACE_S), *words]


def start(
    command: Sequence[str] | str,
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    inherited: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a command, or a shell's command line, in a session of its own; see `end_group`.

    Args:
        inherited: descriptors that stay open in it.
    """
    process = None
    try:
        # A signal that is turned into an exception meanwhile would lose what was started.
        with defer_signals():
            process = subprocess.Popen(
                command,
                shell=isinstance(command, str),
                cwd=folder,
                env=environment,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                bufsize=0,
                start_new_session=True,
                pass_fds=inherited,
            )
    except BaseException:
        if process is not None:
            end_group(process)
        raise
    return process


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End all processes of a started command that still run, and wait until they are gone.

    SIGTERM, and SIGKILL after GRACE_S, or at once if this wait is interrupted.
    """
    gone = False
    try:
        _signal_group(process, signal.SIGTERM)
        # A stopped process heeds it once it goes on.
        _signal_group(process, signal.SIGCONT)
        gone = _wait_for_group(process)
    finally:
        if not gone:
            _signal_group(process, signal.SIGKILL)
            _wait_for_group(process)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    # Not permitted: a group of zombies on macOS, or of another user's processes, as under sudo.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _wait_for_group(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is gone after GRACE_S at most."""
    deadline, pause_s = time.monotonic() + GRACE_S, 0.001
    while process.poll() is None or _group_runs(process.pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.01)
    return True


def _group_runs(group: int) -> bool:
    """Whether any process of a group still runs; zombies do not count."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    # In a container the first process may never reap what was left to it.
    states = [_state_in_group(stat, group) for stat in Path("/proc").glob("[0-9]*/stat")]
    return not states or any(state not in ("", "Z") for state in states)


def _state_in_group(stat: Path, group: int) -> str:
    """State of a process as Linux's letter; empty if it has ended or is of another group."""
    try:
        state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return ""
    return state if int(its_group) == group else ""


def _follow(
    process: subprocess.Popen[bytes],
    log: Path,
    on_line: Callable[[str], None],
    timeout_s: float | None,
) -> int:
    """Wait for a process and pass on each line that it writes into its log."""
    begun = time.monotonic()
    rest = ""
    with log.open(errors="replace") as said:
        while True:
            status = process.poll()
            *lines, rest = (rest + said.read()).split("\n")
            for line in lines if status is None else [*lines, rest]:
                on_line(line)
            if status is not None:
                return status
            if timeout_s is not None and time.monotonic() - begun > timeout_s:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)


class LastWords:
    """Reads the output of a process, so that it never blocks on it, and keeps the last bytes.

    Args:
        pipe: unbuffered; it is read by a thread until its other end closes, then closed.
        most: bytes that are kept.
    """

    def __init__(self, pipe: IO[bytes] | None, most: int = 2000) -> None:
        assert pipe is not None, "started without a pipe"
        self._pipe = pipe
        self._most = most
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self, wait_s: float = 0.2) -> str:
        """The last bytes as text; waits up to `wait_s` for the end of the output."""
        self._thread.join(wait_s)
        return self._kept.decode("utf-8", "replace").strip()

    def _read(self) -> None:
        with self._pipe:
            while data := self._pipe.read(65536):
                self._kept = (self._kept + data)[-self._most :]


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP asked the program to end. `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"terminated ({signal.Signals(number).name})")
        self.number = number


class GracefulShutdown:
    """Turns the first SIGTERM or SIGHUP into an exception, so that boards and files are closed.

    Later ones are ignored: they would interrupt the closing. Handlers that other code has installed
    stay, and so do signals that the parent process had ignored, as under nohup. Active within
    `with`, or from `install` to `restore`, and in the main thread only.

    Raises:
        Terminated: a KeyboardInterrupt, in the main thread.
    """

    def __init__(self) -> None:
        self._installed = ExitStack()
        self._begun = False

    def install(self) -> None:
        """Handle the signals from now on."""
        untouched = _handling(
            self._end, signal.SIGTERM, signal.SIGHUP, where=lambda old: old is signal.SIG_DFL
        )
        self._installed.enter_context(untouched)

    def begin(self) -> None:
        """Ignore the signals from now on, since the program is already ending."""
        self._begun = True

    def restore(self) -> None:
        """Leave the signals to their default again. Idempotent."""
        self._installed.close()

    def __enter__(self) -> GracefulShutdown:
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def _end(self, number: int, frame: FrameType | None) -> None:
        # A Ctrl-C that is on its way through `finally` blocks is such an end as well.
        unwinding = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        if not (self._begun or unwinding):
            self.begin()
            raise Terminated(number)


@contextmanager
def defer_signals(what: str | None = None) -> Iterator[None]:
    """Delay SIGINT, SIGTERM and SIGHUP until the block has ended.

    Ignored signals stay ignored. Does nothing outside the main thread, where Python delivers none.

    Args:
        what: named in a message when a signal comes; a second SIGINT then interrupts the block.
            None: no message, and nothing interrupts the block; for short ones.
    """
    pending: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if what is not None and pending and number == signal.SIGINT:
            pending.clear()
            raise KeyboardInterrupt
        pending.append(number)
        if what is not None:
            say_from_handler(f"interrupted: finishing {what} first; interrupt once more to kill it")

    heard = _handling(
        note,
        *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        where=lambda old: old not in (signal.SIG_IGN, None),
    )
    try:
        with heard:
            yield
    finally:
        if pending:
            signal.raise_signal(pending[0])


@contextmanager
def _handling(
    handler: Callable[[int, FrameType | None], None], *numbers: int, where: Callable[[Any], bool]
) -> Iterator[None]:
    """Handle some signals in the block, those for whose present handler `where` is true."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: old for number in numbers if where(old := signal.getsignal(number))}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
