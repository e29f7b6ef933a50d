"""Boards between tests: opened, brought back or given up, profiled, let go of."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from harness.errors import (
    BoardSilent,
    BoardTalks,
    HilError,
    ModelError,
    PoolError,
    ToolMissing,
)
from harness.link.protocol import Capability
from harness.measure.evaluate import Evaluation
from harness.model.artifact import Artifact
from harness.model.data import open_data
from harness.model.dataset import DataSet, parse_data
from harness.model.resolve import resolve_model
from harness.plugin.counts import Recovery
from harness.plugin.options import Options
from harness.plugin.start import board_of
from harness.plugin.state import RunState, first_line, work_of
from harness.rig.evaluate import EvaluationPlan, evaluate_board
from harness.rig.functions import append_functions
from harness.rig.metering import BoardMeter
from harness.rig.open import OpenBoard, build_ahead, open_board
from harness.rig.profiling import append_profile, refuse_slower_operators


class BoardTests:
    """The hooks around each test of a run with board tests."""

    def __init__(self, rig: RunState) -> None:
        self._rig = rig
        self._built: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a test whose board broke; bring the board back before, where that may help."""
        board_id = board_of(item)
        if board_id in self._rig.to_recover:
            self._recover(board_id)
        self._rig.look(item)
        broken = self._rig.broken_for(item)
        if broken is None:
            if board_id is not None and board_id not in self._built:
                self._built.add(board_id)
                build_all_ahead(self._rig, board_id, item.session.items)
            return
        if not broken.reported and self._rig.quarantine_of(item) is None:
            # A quarantined test met it first, and that does not gate.
            broken.reported = True
            raise broken.error
        if isinstance(broken.error, ModelError):
            pytest.skip(first_line(broken.error))
        pytest.skip(f"board {board_id} broke earlier: {first_line(broken.error)}")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: Any
    ) -> Generator[None, Any, Any]:
        """Remember how to close a board that was opened: as pytest does for another parameter."""
        value = yield
        if isinstance(value, OpenBoard):
            # The first fixture of this value is ours; others pass it on.
            self._rig.release = self._rig.release or partial(fixturedef.finish, request)
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, None, None]:
        """Let go of a board when the next test is not on it: others may wait for its lock."""
        try:
            yield
        finally:
            if nextitem is None or board_of(nextitem) != board_of(item):
                with ExitStack() as ending:
                    ending.callback(self._rig.keeper.let_go)
                    if self._rig.release:
                        self._rig.release()

    def _recover(self, board_id: str) -> None:
        """Bring a board back after the error that its last test met; it breaks if that fails."""
        met = self._rig.to_recover.pop(board_id)
        self._rig.recovered.add(board_id)
        with self._rig.progress(f"{board_id}: bringing it back"):
            helped, steps, lost = _brought_back(self._rig.opened, met.error)
        # What that sent again is no retry of a test.
        self._rig.forget_retries()
        if not helped:
            self._rig.broken[board_id, None] = replace(met, error=lost or met.error)
        text = f"{met.error.what}: {'; '.join(steps)}"
        self._rig.recovery = Recovery(helped=helped, text=text)


def _brought_back(
    board: OpenBoard | None, error: HilError
) -> tuple[bool, tuple[str, ...], HilError | None]:
    """Whether a board answers again, what was done, and what explains that it does not."""
    if board is None:
        return True, ("opened again",), None
    try:
        return True, tuple(map(str, board.recover_in_run(error))), None
    except (BoardSilent, BoardTalks) as silent:
        return False, silent.steps, None
    except PoolError as lost:
        return False, (lost.what,), lost
    except HilError as other:
        return False, (other.what,), None


@contextmanager
def opened(
    rig: RunState, board_id: str, runtime: str | None, model: Artifact
) -> Iterator[OpenBoard]:
    """A board for tests; skips where a tool is missing and that is to be skipped.

    Where profiles are asked for, it is profiled in the end, if it was measured: in another build,
    since what is measured is to carry nothing of what observes it. Functions are counted in a start
    of their own, of the same build.

    Its energy comes last, where that is asked for and no test has measured it.

    Raises:
        SlowerOperators: in the end, by the profiles of `--hil-baseline`.
        MeterError, CannotTell, TooMuchEnergy, MoreThanBaseline: in the end, of its energy.
    """
    declared = rig.registry[board_id]
    options = rig.options_for(board_id, runtime)
    data = _data_for(model, rig.options)
    profiled = rig.options.profile and declared.attachment != "virtual"
    by_function = rig.options.functions and options.counts_functions(declared)
    with ExitStack() as lock:
        if profiled or rig.options.energy:
            # One hold for both builds: another run would take the board between them. And before
            # the meter is: a run that keeps the board may come for its meter again.
            lock.enter_context(options.hold(declared))
        with ExitStack() as stack:
            rig.meter = stack.enter_context(
                BoardMeter(options.plugged, board_id, supplies=options.supplies)
            )
            if rig.options.energy:
                rig.meter.begin()
            board = open_board(declared, model, rig.project, options)
            try:
                ready = stack.enter_context(board)
            except ToolMissing as error:
                if rig.options.missing == "skip":
                    pytest.skip(str(error))
                raise
            ready.data = data
            rig.opened, rig.retries_seen, rig.measured, rig.metered = ready, 0, None, None
            yield ready
            of_energy = None
            if rig.options.energy:
                from harness.plugin.metering import measure_at_end  # 0.02 s

                of_energy = measure_at_end(rig, ready)
            rig.count_retries()
            rig.opened = rig.release = rig.meter = None
        measured, found = rig.measured, None
        if profiled and measured is not None:
            plan = rig.profile_plan(measured)
            found = append_profile(declared, model, rig.project, options, plan)
        if by_function and measured is not None and measured.run is not None:
            run, csv = measured.run, rig.options.csv
            append_functions(declared, model, rig.project, options, run=run, csv=csv)
        if found is not None and measured is not None:
            refuse_slower_operators(found, measured)
        if of_energy is not None:
            raise of_energy


def build_all_ahead(rig: RunState, board_id: str, items: Sequence[pytest.Item]) -> None:
    """Build what tests need of a board that other runs may want, before it is held for the first.

    What goes wrong with that is said when it is built for its own tests.
    """
    board = rig.registry[board_id]
    works = dict.fromkeys(work_of(item) for item in items if board_of(item) == board_id)
    profiled = rig.options.profile and board.attachment != "virtual"
    if len(works) == 1 and not (profiled or rig.options.energy):
        return
    for name, asked in works:
        with suppress(HilError):
            runtime = board.runtime(asked or next(iter(rig.options.runtimes), None))
            options = rig.options_for(board_id, runtime)
            if name is None or not options.shared(board):
                return
            model = resolve_model(name, rig.project.artifacts)
            build_ahead(board, model, rig.project, options, profiled=profiled)


def _data_for(model: Artifact, options: Options) -> DataSet | None:
    """The user's data for a model, if there are any."""
    if options.data is None:
        return None
    path, how = parse_data(str(options.data))
    return open_data(path, model, replace(how, stride=options.stride or how.stride))


def evaluate(rig: RunState, board: OpenBoard, data: DataSet) -> Evaluation:
    """The whole data set through an open board, as `hil evaluate` does it.

    An emulator that counts instructions takes 7 times as long: the samples go through another one
    of the same firmware, which counts none.
    """
    plan = EvaluationPlan(
        csv=rig.options.csv,
        state=rig.project.state,
        commit=rig.commit,
        detector=rig.options.detector,
    )
    options = replace(rig.options_for(board.declared.id, board.runtime), timed=False)
    if board.declared.emulator is None or not options.starts(board.declared):
        return evaluate_board(board, data, plan).result
    with open_board(board.declared, board.artifact, rig.project, options) as uncounted:
        return evaluate_board(uncounted, data, plan).result


def features(board: OpenBoard) -> set[str]:
    """What `hil_requires` may name, of one board."""
    capabilities = {
        (capability.name or "").lower()
        for capability in Capability
        if board.dut.hello.capabilities & capability
    }
    real = set() if board.declared.emulated else {"real"}
    counted = set() if board.declared.ns_per_instruction is None else {"counted"}
    return {board.declared.attachment, board.runtime} | capabilities | real | counted
