"""What a run says: outcomes in pytest's reports, its terminal, its JUnit file and exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeVar

import pytest

from harness.board.rigfile import Quarantine
from harness.errors import (
    BoardError,
    HilError,
    ModelError,
    ModelRefused,
    ReportError,
    RigError,
    SlowerOperators,
)
from harness.measure.by_core import as_text as cores_text
from harness.measure.by_core import by_core, compared
from harness.measure.csvfile import beside
from harness.measure.findings import functions_text
from harness.measure.frames import read_rows
from harness.measure.profile import profile_from, profile_table
from harness.measure.tables import CallRow, FunctionRow, LayerRow, OperatorRow
from harness.outcome import Outcome, of_error, worst
from harness.plugin.counts import BoardCounts, Note
from harness.plugin.ending import Ending, report_at_end
from harness.plugin.junit import LINK_LOG, OUTCOME, JUnitFile
from harness.plugin.start import board_of
from harness.plugin.state import RunState, first_line, property_of, set_property
from harness.report.energy import energy_summary
from harness.report.operators import summary_of_rows
from harness.report.summary import summary
from harness.rig.opened import OpenBoard
from harness.terminal import BELOW_THE_LINE, TerminalProgress, say, wants_progress
from harness.text import printable_lines, wrapped

_OfRun = TypeVar("_OfRun", LayerRow, OperatorRow, FunctionRow, CallRow)
_NOTE = "hil_note"

_OF_NO_NUMBERS = (
    *(Outcome.SICK, Outcome.STALE, Outcome.UNRUNNABLE),
    *(Outcome.METER, Outcome.UNTOLD),
)

_OF_ENERGY = (Outcome.HUNGRY, Outcome.METER, Outcome.UNTOLD)

_LETTERS = {
    Outcome.WRONG: "W",
    Outcome.UNRUNNABLE: "M",
    Outcome.SLOW: "T",
    Outcome.STALE: "O",
    Outcome.HUNGRY: "J",
    Outcome.SICK: "S",
    Outcome.METER: "I",
    Outcome.UNTOLD: "?",
    Outcome.QUARANTINED: "Q",
}
"""Shown for each test on a terminal; the word is the outcome's own."""


def note_of(report: object) -> Note | None:
    """The note that a report carries, also one from another process; None where it has none."""
    packed = getattr(report, _NOTE, None)
    return Note.unpack(packed) if packed else None


class Reporting:
    """The hooks through which a run with board tests speaks."""

    def __init__(self, rig: RunState, junit: JUnitFile) -> None:
        self._rig = rig
        self._junit = junit
        self._ending = Ending()
        self._workers: list[Any] = []
        self._session: pytest.Session | None = None
        self._interrupted = self._reported = False
        self._terminal = ExitStack()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        board_id = board_of(item)
        if board_id is None:
            return (yield)
        error = call.excinfo.value if call.excinfo else None
        log = ""
        if error is not None and not isinstance(error, pytest.skip.Exception):
            log = self._link_log(error)
        if log:
            # Named `log of ...` since JUnit's junit_logging=log takes sections that start so.
            item.add_report_section(call.when, "log of the link", log)
        report = yield
        if report.failed and log:
            set_property(item, LINK_LOG, log)
        note = self._judged(item, board_id, report, error)
        note = self._rig.take(note)
        self._describe(item, note)
        report.user_properties = list(item.user_properties)
        setattr(report, _NOTE, note.pack())
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, tuple[str, Mapping[str, bool]]] | None:
        note = note_of(report)
        if note is None or note.outcome not in _LETTERS:
            return None
        if note.outcome is Outcome.QUARANTINED:
            category, colour = "xpassed" if report.passed else "xfailed", "yellow"
        else:
            category, colour = "failed" if report.when == "call" else "error", "red"
        return category, _LETTERS[note.outcome], (note.outcome.value.upper(), {colour: True})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        note = note_of(report)
        if note is not None:
            self._rig.counts.add(note)
        elif report.failed:
            self._rig.counts.failed_elsewhere = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._rig.counts.failed_elsewhere |= report.failed

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            self._ending.hold()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Outermost: JUnit (`JUnitFile`) and summary come first, the report last."""
        self._ending.hold()
        self._session = session
        # Of a model that cannot run the exit status is the same.
        self._interrupted = session.exitstatus == pytest.ExitCode.INTERRUPTED
        outcome = self._rig.counts.outcome
        worker = hasattr(session.config, "workerinput")
        if session.exitstatus == pytest.ExitCode.TESTS_FAILED and outcome.gates and not worker:
            session.exitstatus = outcome.exit_status
        yield
        if not worker and not self._reported:
            # No summary was shown, as with `-p no:terminal`.
            for line in self._last_words(session):
                say(line)

    def _last_words(self, session: pytest.Session) -> list[str]:
        """Draw the report, and say of files what is not as it was asked for."""
        self._reported = True
        status = session.exitstatus
        lines = [f"no JUnit file: {self._junit.lost}"] if self._junit.lost else []
        lines += report_at_end(self._rig, self._ending, session, interrupted=self._interrupted)
        if session.exitstatus != status:
            self._junit.restate(session)
        return lines

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        counts = self._rig.counts
        if counts.rows:
            terminalreporter.write_sep("=", "hil latency")
            order = self._rig.options.boards
            # Workers end in any order; a table reads better in that of the command line.
            rows = sorted(counts.rows, key=lambda row: order.index(row.board))
            _write(terminalreporter, summary(rows, self._rig.options.csv))
            self._show_layers(terminalreporter)
            self._show_functions(terminalreporter)
        if counts.energies:
            terminalreporter.write_sep("=", "hil energy")
            order = self._rig.options.boards
            energies = sorted(counts.energies, key=lambda row: order.index(row.board))
            _write(terminalreporter, energy_summary(energies))
        if cores := compared(by_core(counts.rows)):
            terminalreporter.write_sep("=", "hil cores")
            _write(terminalreporter, cores_text(cores))
        if counts.boards or self._rig.options.left_out:
            terminalreporter.write_sep("=", "hil boards")
            for board in counts.boards:
                for line in board.lines():
                    _write(terminalreporter, line, **_colour(board))
            for line in self._rig.options.left_out:
                for piece in wrapped(line):
                    _write(terminalreporter, piece, yellow=True)
        assert self._session is not None, "summaries are shown when a session finishes"
        for line in self._last_words(self._session):
            _write(terminalreporter, line)
        status = f"{counts.outcome.value}: exit status {counts.outcome.exit_status}"
        if counts.boards and counts.outcome.gates:
            terminalreporter.write_line(status, red=True)

    def _of_this_run(
        self, terminalreporter: pytest.TerminalReporter, table: str, kind: type[_OfRun]
    ) -> list[_OfRun]:
        """The rows of this run in a table beside latency.csv; that it cannot be read is said."""
        path = beside(self._rig.options.csv, table)
        runs = {row.run for row in self._rig.counts.rows}
        try:
            rows = read_rows(path, kind).rows if path.is_file() else ()
        except ReportError as error:
            _write(terminalreporter, f"no {table}: {error}")
            return []
        return [row for row in rows if row.run in runs]

    def _show_layers(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The profiles of this run, which whichever process made them has appended."""
        if not self._rig.options.profile:
            return
        rows = self._of_this_run(terminalreporter, "layers", LayerRow)
        if not rows:
            return
        terminalreporter.write_sep("=", "hil layers")
        for _, profiled in groupby(rows, key=lambda row: row.run):
            layers = list(profiled)
            first = layers[0]
            _write(terminalreporter, f"{first.board}, {first.runtime}, {first.model}")
            _write(terminalreporter, profile_table(profile_from(layers)))
        self._show_operators(terminalreporter)

    def _show_operators(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The operators of this run against their baselines'."""
        if self._rig.baselines is None:
            return
        if rows := self._of_this_run(terminalreporter, "operators", OperatorRow):
            terminalreporter.write_sep("=", "hil operators")
            _write(terminalreporter, summary_of_rows(rows))

    def _show_functions(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The functions of this run's invokes, as `_show_layers` does its layers."""
        if not self._rig.options.functions:
            return
        rows = self._of_this_run(terminalreporter, "functions", FunctionRow)
        if not rows:
            return
        calls = self._of_this_run(terminalreporter, "calls", CallRow)
        terminalreporter.write_sep("=", "hil functions")
        for run, counted in groupby(rows, key=lambda row: row.run):
            functions = list(counted)
            first = functions[0]
            _write(terminalreporter, f"{first.board}, {first.runtime}, {first.model}")
            of_run = [call for call in calls if call.run == run]
            _write(terminalreporter, functions_text(functions, of_run))

    def pytest_configure(self, config: pytest.Config) -> None:
        self._ending.install()
        worker = hasattr(config, "workerinput")
        if worker or not config.pluginmanager.hasplugin("terminalreporter"):
            return
        if wants_progress(sys.stdout):
            # A descriptor of our own: while a test runs, pytest's stands for a file of captures.
            own = open(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding)
            terminal = self._terminal.enter_context(own)
            shown = TerminalProgress(terminal, place=BELOW_THE_LINE)
            self._rig.progress = self._terminal.enter_context(shown)

    def pytest_report_collectionfinish(self, config: pytest.Config) -> list[str]:
        """What pytest's header would say, if it came when tests are collected."""
        rig, options = self._rig, self._rig.options
        if config.get_verbosity() < 0:
            return []
        boards = ", ".join(
            f"{board_id} ({', '.join(options.runtimes or rig.registry[board_id].runtimes[:1])})"
            for board_id in options.boards
        )
        lines = [f"hil: boards {boards}; models {', '.join(options.models)}; {options.csv}"]
        if rig.baselines is not None:
            count = len(rig.baselines.runs)
            lines.append(f"hil: baseline {rig.baselines.source}, {count} runs")
            lines += [f"hil: {note}" for note in rig.baselines.notes]
        return lines

    def pytest_unconfigure(self) -> None:
        self._terminal.close()
        self._ending.restore()

    def add_worker(self, gateway: Any) -> None:
        """A worker process has board tests to run."""
        self._workers.append(gateway)

    def pytest_keyboard_interrupt(self) -> None:
        """The end of this process is the end of its workers: execnet would leave them 5 s more."""
        self._ending.begin()
        for gateway in self._workers:
            # Not public, and only there for a worker on this machine; without it the 5 s remain.
            process = getattr(getattr(gateway, "_io", None), "popen", None)
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def _link_log(self, error: BaseException) -> str:
        """The last events on the open board's link, else those an opening that failed left."""
        if self._rig.opened is not None:
            return "\n".join(self._rig.opened.dut.link.log.lines())
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, HilError) and cause.link_log:
                return "\n".join(cause.link_log)
            cause = cause.__cause__ or cause.__context__
        return ""

    def _judged(
        self,
        item: pytest.Item,
        board_id: str,
        report: pytest.TestReport,
        error: BaseException | None,
    ) -> Note:
        """The note on a report, which is changed where pytest would call it something else."""
        if report.passed:
            ended = report.when == "call"
            note = Note(board=board_id, outcome=Outcome.PASSED if ended else None)
        elif report.failed:
            note = self._failed(item, board_id, report, error)
        else:
            note = Note(board=board_id, skipped=True)
        entry = self._rig.quarantine_of(item)
        return note if entry is None or note.outcome is None else _quarantined(report, note, entry)

    def _failed(
        self,
        item: pytest.Item,
        board_id: str,
        report: pytest.TestReport,
        error: BaseException | None,
    ) -> Note:
        if error is None:
            # Expected to fail and did not: the report has pytest's own words.
            return Note(board=board_id, outcome=Outcome.FAILED, reason=str(report.longrepr))
        outcome = of_error(error, on_board=report.when == "call")
        # One that a test itself meets may be about another model.
        of_model = ModelError if report.when == "setup" else ModelRefused
        if isinstance(error, RigError | BoardError | of_model) and outcome is not Outcome.METER:
            self._rig.note_sick(item, error)
        if isinstance(error, of_model | SlowerOperators) or outcome in _OF_ENERGY:
            # What it says is all there is to know: no line of the code that found it helps.
            report.longrepr = str(error)
        if outcome in _OF_NO_NUMBERS and report.when == "call":
            # An error, as when a fixture fails: a failure would mean that numbers are known.
            report.when = "setup"
        return Note(board=board_id, outcome=outcome, reason=first_line(error))

    def _describe(self, item: pytest.Item, note: Note) -> None:
        """Set the item's JUnit properties."""
        set_property(item, "hil_board", note.board)
        if self._rig.opened is not None:
            for name, value in _identity(self._rig.opened).items():
                set_property(item, name, value)
        set_property(item, "hil_retries", note.retries + (property_of(item, "hil_retries") or 0))
        if note.recovery is not None:
            set_property(item, "hil_recovery", str(note.recovery))
        if note.outcome is not None:
            before = property_of(item, OUTCOME)
            so_far = worst([note.outcome, *([Outcome(before)] if before else [])])
            set_property(item, OUTCOME, so_far.value)
        if note.outcome is Outcome.QUARANTINED:
            set_property(item, "hil_quarantine", note.reason)


def _identity(opened: OpenBoard) -> dict[str, object]:
    """What JUnit says of the board and of what ran on it."""
    hello = opened.dut.hello
    return {
        "hil_port": opened.port,
        "hil_board_uid": hello.board_uid,
        "hil_runtime": f"{opened.runtime} {hello.runtime_version}",
        "hil_kernels": hello.kernels,
        "hil_model": opened.artifact.name,
        "hil_build": hello.build_id.hex(),
        "hil_flash": _flashed(opened),
        "hil_escalations": "; ".join(map(str, opened.escalations)),
    }


def _flashed(opened: OpenBoard) -> str:
    """How the firmware got onto the board, retries included."""
    if opened.flash is None:
        return "not uploaded"
    again = f", {opened.flash.retries} retries" if opened.flash.retries else ""
    return f"uploaded in {opened.flash.seconds:.1f} s{again}"


def _quarantined(report: pytest.TestReport, note: Note, entry: Quarantine) -> Note:
    """Pytest's expected failure, which is reported and does not gate; or its unexpected pass."""
    said = f"since {entry.since}, {entry.reason}"
    if report.failed:
        assert note.outcome is not None
        said = f"{said}; {note.outcome.value}: {note.reason}"
        report.outcome = "skipped"
    report.wasxfail = f"quarantined {said}"
    return replace(note, outcome=Outcome.QUARANTINED, reason=said)


def _write(terminalreporter: pytest.TerminalReporter, text: str, **markup: bool) -> None:
    """Lines on the terminal; what they have of boards and files cannot act on it."""
    terminalreporter.write_line(printable_lines(text), **markup)


def _colour(board: BoardCounts) -> dict[str, bool]:
    if board.outcome.gates:
        return {"red": True}
    calm = board.outcome is Outcome.PASSED and not board.retries
    return {"green": True} if calm else {"yellow": True}
