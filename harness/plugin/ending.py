"""How a run ends: all that was measured is written and shown, and only then the report is drawn."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

import pytest

from harness.errors import ReportError
from harness.plugin.state import RunState
from harness.process import GracefulShutdown, Terminated
from harness.text import printable

_PYTESTS_OWN = (
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
    pytest.ExitCode.NO_TESTS_COLLECTED,
)


class Ending(GracefulShutdown):
    """As GracefulShutdown while tests run; from `hold` on signals interrupt only what `cut` allows.

    `noted` is the first SIGINT, SIGTERM or SIGHUP since then. A second SIGINT interrupts anywhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: int | None = None
        self._held = self._cutting = False
        self._before = ExitStack()

    def hold(self) -> None:
        """Note signals from now on: a file that is being written must not be torn. Idempotent."""
        if self._held:
            return
        self._held = True
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._end)
            self._before.callback(signal.signal, signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Let a signal interrupt the block, one that was noted before it as well.

        Raises:
            Terminated: a signal came.
        """
        if self.noted is not None:
            raise Terminated(self.noted)
        self._cutting = True
        try:
            yield
        finally:
            self._cutting = False

    def restore(self) -> None:
        """Leave the signals to what handled them before. Idempotent."""
        self._before.close()
        super().restore()

    def _end(self, number: int, frame: FrameType | None) -> None:
        if not self._held:
            super()._end(number, frame)
            return
        if number == signal.SIGINT and self.noted == signal.SIGINT:
            raise KeyboardInterrupt
        self.noted = self.noted or number
        if self._cutting:
            self._cutting = False
            raise Terminated(number)


def report_at_end(
    rig: RunState, ending: Ending, session: pytest.Session, *, interrupted: bool
) -> tuple[str, ...]:
    """Write the report that was asked for, if any; returns what is to be said of it.

    Whatever goes wrong with it costs the report only, and the run is no success then: whoever asked
    for it reads it in the morning.

    Args:
        interrupted: the run was, before its end.
    """
    path = rig.options.report
    if path is None:
        return ()
    if interrupted:
        # Who cancels a run waits for few seconds only.
        return (f"no report: interrupted. One can be made: hil report {rig.options.csv}",)
    try:
        with ending.cut():
            return _write(rig, path)
    except ReportError as error:
        rig.counts.failed_elsewhere = True
        if session.exitstatus not in _PYTESTS_OWN:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (f"no report: {error}",)
    except KeyboardInterrupt as interrupt:
        session.exitstatus = pytest.ExitCode.INTERRUPTED
        why = str(interrupt) or "interrupted"
        return (f"no report: {why}. One can be made: hil report {rig.options.csv}",)


def _write(rig: RunState, path: Path) -> tuple[str, ...]:
    from harness.report.page import write_report  # jinja2 and matplotlib: 0.5 s

    runs = {row.run for row in rig.counts.rows if row.run is not None}
    if not runs:
        return ("no report: nothing was measured",)
    notes = write_report(
        rig.options.csv,
        path,
        now=datetime.now(timezone.utc),
        artifacts=rig.project.artifact_roots,
        registry=rig.registry,
        runs=runs,
        progress=rig.progress,
    )
    return (*map(printable, notes), f"report: {path}")
