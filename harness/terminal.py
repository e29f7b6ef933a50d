"""Progress on a terminal, and plain lines on standard error."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, TextIO

from harness.errors import NotWritten
from harness.progress import Advance, Progress, State, Task, no_progress, state
from harness.text import MOST_PRINTED, printable, printable_lines

DELAY_S = 2.0
"""Work shorter than this shows nothing."""

INTERVAL_S = 0.25
_LEAST_SHARE = 0.03
"""Below it the time left would be a guess: work starts slowly, with warm-up and small batches."""

_FALLBACK_COLUMNS = 80
_TIME_COLUMNS, _BAR_COLUMNS = 10, 45
"""What is kept for a time, and for a bar and times, when a name is long."""


def say(text: str) -> None:
    """One line of progress, at once, on standard error; `printable_lines` of it."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def say_notes(notes: Iterable[str], limit: int = MOST_PRINTED) -> None:
    """Each note on a line of its own, whatever a file's names have in them.

    Args:
        limit: characters of each.
    """
    for note in notes:
        say(printable(note, limit))


def say_from_handler(text: str) -> None:
    """As `say`, from a signal handler, which may have come in the middle of another line.

    A buffered stream refuses a write within its own: the error would end what the signal is not to
    interrupt.
    """
    try:
        os.write(sys.stderr.fileno(), f"{printable_lines(text)}\n".encode())
    except (OSError, ValueError):  # Not a file, as where tests capture it.
        say(text)


def open_standard_streams() -> None:
    """Open a standard stream that is closed, so that what goes there is thrown away.

    Else the next file that is opened would get its number, and output of others' programs; and
    what is printed to no stderr goes to standard output.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, mode, closefd=False))


@contextmanager
def plain_stdout() -> Iterator[None]:
    """What is printed within the block is `printable_lines`, whatever a file or board had in it.

    Raises:
        NotWritten: it cannot be written, as where the disk is full.
    """
    plain = _Plain(sys.stdout)
    with redirect_stdout(plain):
        yield
        plain.flush()


class _Plain:
    """A text stream that escapes what is no text before it writes it to another."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._written():
            self._stream.write(printable_lines(text))
        return len(text)

    def flush(self) -> None:
        with self._written():
            self._stream.flush()

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            # Nothing is left to be flushed when Python ends, which would fail once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            why = error.strerror or str(error)
            raise NotWritten(f"cannot write to standard output: {why}") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Control sequences before and after a line of text that may be overwritten."""

    before: str
    after: str


ON_THE_LINE = Place(before="\r", after="\x1b[K\r")
"""Where the cursor is; for programs that write whole lines."""

BELOW_THE_LINE = Place(before="\x1bD\x1b[A\x1b7\x1b[B\r", after="\x1b[K\x1b8")
"""Under a line that is being written, as pytest's dots are: the cursor is put back.

Down and up first: at the bottom of the screen this scrolls, so that there is a line below.
"""


def is_utf8(stream: TextIO) -> bool:
    """Whether what is written may hold more than ASCII."""
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def wants_progress(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to show progress: on a terminal that can move its cursor, not in CI."""
    in_ci = bool(environment.get("CI"))
    return stream.isatty() and not in_ci and environment.get("TERM") not in (None, "", "dumb")


@contextmanager
def progress_on(stream: TextIO, place: Place = ON_THE_LINE) -> Iterator[Progress]:
    """Show progress on a stream if it is a terminal; write nothing to any other."""
    if not wants_progress(stream):
        yield no_progress
        return
    with TerminalProgress(stream, place=place) as shown:
        yield shown


class TerminalProgress:
    """One line on a terminal with the work under way and the time left; gone when it is done.

    A thread writes it, so that it moves also while nothing reports. Work of DELAY_S or less is not
    shown.

    Args:
        clock: seconds, monotonic.
        interval_s: between two writes; None for no thread, where `show` is called by hand.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        place: Place = ON_THE_LINE,
        clock: Callable[[], float] = time.monotonic,
        interval_s: float | None = INTERVAL_S,
    ) -> None:
        self._stream = stream
        self._place = place
        self._clock = clock
        self._interval_s = interval_s
        self._tasks: list[Task] = []
        self._drawn = False
        # The writer's thread and the worker's see a line either drawn or gone.
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> TerminalProgress:
        if self._interval_s is not None:
            self._thread = threading.Thread(target=self._keep_showing, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        self._clear()

    @contextmanager
    def __call__(self, what: str, total: int | None = None) -> Iterator[Advance]:
        """A piece of work begins; see harness.progress."""
        task = Task(what, total, self._clock())
        with self._lock:
            self._tasks.append(task)
        try:
            yield task.advance
        finally:
            with self._lock:
                self._tasks.remove(task)
                if not self._tasks:
                    self._clear()

    def show(self) -> None:
        """Write the line anew if there is work that has taken long enough."""
        with self._lock:
            now = self._clock()
            if self._tasks and now - self._tasks[0].start > DELAY_S:
                text = line(state(self._tasks, now), self._columns() - 1, unicode=self._unicode())
                self._write(text)
                self._drawn = True

    def _keep_showing(self) -> None:
        while not self._end.wait(self._interval_s):
            self.show()

    def _clear(self) -> None:
        with self._lock:
            if self._drawn:
                self._write("")
                self._drawn = False

    def _write(self, text: str) -> None:
        try:
            self._stream.write(f"{self._place.before}{text}{self._place.after}")
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal is gone or closed; that must not stop the work.
            self._end.set()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _FALLBACK_COLUMNS
        except OSError:
            return _FALLBACK_COLUMNS

    def _unicode(self) -> bool:
        return is_utf8(self._stream)


def line(now: State, columns: int, *, unicode: bool = True) -> str:
    """`qemu-m4: timing  43%|####      | 00:12, 00:15 left`, no wider than `columns`.

    The time left is what the rest takes at the average pace so far. Where next to nothing is done,
    or nobody knows how much, only the time that has passed.
    """
    from tqdm import tqdm  # loaded once somebody waits

    if now.share is None:
        form = "{desc}  {elapsed}"
    elif now.share < _LEAST_SHARE:
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}"
    else:
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    text: str = tqdm.format_meter(
        now.share or 0.0,
        None if now.share is None else 1.0,
        now.elapsed_s,
        ncols=columns,
        prefix=printable(
            now.what, columns - (_TIME_COLUMNS if now.share is None else _BAR_COLUMNS)
        ),
        ascii=not unicode,
        bar_format=form,
    )
    return text
