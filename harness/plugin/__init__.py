"""pytest plugin: `pytest --board ID`. Parses options once and delegates to `harness.rig`."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from numpy.typing import NDArray

from harness.board.registry import Board, load_registry
from harness.board.rigfile import load_rig
from harness.errors import HilError, ToolMissing
from harness.link.dut import Dut
from harness.link.protocol import Capability
from harness.measure.baseline import load_baselines
from harness.measure.limits import Limit, hold_to, refuse_unmeasured
from harness.measure.tables import LatencyRow
from harness.model.artifact import Artifact
from harness.model.interpreters import References
from harness.model.resolve import resolve_model
from harness.plugin.options import Options, parse_options, pytest_addoption
from harness.plugin.reporting import Reporting
from harness.plugin.state import (
    BOARD_ID,
    MODEL_NAME,
    RUNTIME,
    RunState,
    board_of,
    first_line,
    set_property,
    work_of,
)
from harness.plugin.tally import Tally
from harness.project import find_project, git_commit
from harness.rig.open import OpenBoard, open_board
from harness.rig.profiling import append_profile
from harness.rig.sessions import Plan, measure_board, refuse_slower

__all__ = ["pytest_addoption"]

if TYPE_CHECKING:
    from harness.plugin.xdist import BoardScheduling


_MARKERS = (
    "hil: talks to a board; set on every test that uses the board fixture",
    "qemu: talks to an emulated board; set by itself",
    "network: needs a network; skipped with the reason where there is none",
    "hil_requires(*features): skip on boards without them. A feature is an attachment (emulator, "
    "virtual, serial, url), a runtime (tflm, aot), a capability (infer, tensors, profile, reset, "
    "memory) or `real` for a board that is not emulated",
)


_PROPERTIES = (
    *("p50_us", "p99_us", "instructions_p50", "mismatches", "emulated", "accuracy", "sessions"),
    *("baseline_verdict", "baseline_ratio", "baseline_rule", "clock_check"),
)
"""Columns of a run's row that JUnit has of the test as well."""

_RIG = pytest.StashKey[RunState]()


def _rig_of(config: pytest.Config) -> RunState:
    """The run's state, made when it is first asked for.

    Raises:
        pytest.UsageError: a board, runtime, model or rig file that is none.
    """
    if _RIG not in config.stash:
        config.stash[_RIG] = _new_rig(parse_options(config))
    return config.stash[_RIG]


def _new_rig(options: Options) -> RunState:
    try:
        registry = load_registry()
        file = load_rig(options.rig_file, registry)
        registry = file.extend(registry)
        for board_id in options.boards:
            for runtime in options.runtimes if options.asked else ():
                registry[board_id].runtime(runtime)
            registry[board_id]
        project = find_project()
        for name in options.models if options.asked else ():
            resolve_model(name, project.artifacts)
        baselines = load_baselines(options.baseline) if options.baseline else None
    except HilError as error:
        raise pytest.UsageError(str(error)) from error
    return RunState(
        options=options,
        registry=registry,
        file=file,
        project=project,
        tally=Tally(options.boards),
        baselines=baselines,
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(Reporting(_rig_of(config)), "harness.plugin.reporting")


def pytest_report_header(config: pytest.Config) -> list[str]:
    rig = config.stash[_RIG]
    boards = ", ".join(
        f"{board_id} ({', '.join(rig.options.runtimes or rig.registry[board_id].runtimes[:1])})"
        for board_id in rig.options.boards
    )
    lines = [f"hil: boards {boards}; models {', '.join(rig.options.models)}; {rig.options.csv}"]
    if rig.baselines is not None:
        count = len(rig.baselines.runs)
        lines.append(f"hil: baseline {rig.baselines.source}, {count} runs")
        lines += [f"hil: {note}" for note in rig.baselines.notes]
    return lines


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Names of our own: a project's fixture called `model` or `board` is not ours to parametrize.
    options = metafunc.config.stash[_RIG].options
    models = [Path(model).stem for model in options.models]
    # One runtime is no parameter: a test's id should not change with the default.
    runtimes = options.runtimes if len(options.runtimes) > 1 else ()
    for name, values, ids in (
        (BOARD_ID, options.boards, options.boards),
        (MODEL_NAME, options.models, models),
        (RUNTIME, runtimes, runtimes),
    ):
        if values and name in metafunc.fixturenames:
            metafunc.parametrize(name, values, indirect=True, scope="session", ids=ids)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark board tests, and order them: by board, model and runtime, after those without a board.

    So a board is opened once for each model and runtime, and let go when its last test is over.
    """
    rig = config.stash[_RIG]
    boards, models = (None, *rig.options.boards), (None, *rig.options.models)
    runtimes = (None, *rig.options.runtimes)

    def place(item: pytest.Item) -> tuple[int, int, int]:
        model, runtime = work_of(item)
        return boards.index(board_of(item)), models.index(model), runtimes.index(runtime)

    items.sort(key=place)
    for item in items:
        board_id = board_of(item)
        if board_id is None:
            continue
        item.add_marker("hil")
        if rig.registry[board_id].attachment == "emulator":
            item.add_marker("qemu")


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """What `-n auto` means where several boards were asked for.

    A worker for each real board, since those take turns at waiting, and for emulated ones as many
    as there are cores, which they keep busy.
    """
    rig = _rig_of(config)
    boards = [rig.registry[board_id] for board_id in rig.options.boards]
    if not rig.options.asked or len(boards) == 1:
        return None
    emulated = sum(board.emulated for board in boards)
    return len(boards) - emulated + min(emulated, os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> BoardScheduling | None:
    """All tests of a board to one worker, unless another --dist than the default was asked for."""
    from harness.plugin.xdist import BoardScheduling  # where there is xdist

    if config.getoption("dist") != "load":
        return None
    return BoardScheduling(config, log, config.stash[_RIG].options.boards)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    rig = item.config.stash[_RIG]
    broken = rig.broken_for(item)
    if broken is None:
        return
    if not broken.reported and rig.quarantine_of(item) is None:
        # A quarantined test met it first, and that does not gate.
        broken.reported = True
        raise broken.error
    pytest.skip(f"board {board_of(item)} broke earlier: {first_line(broken.error)}")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: Any
) -> Generator[None, Any, Any]:
    """Remember how to close a board that was opened: as pytest does when a parameter changes."""
    value = yield
    if isinstance(value, OpenBoard):
        rig = request.config.stash[_RIG]
        # The first fixture of this value is ours; others pass it on.
        rig.release = rig.release or partial(fixturedef.finish, request)
    return value


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """Let go of a board when the next test is not on it: another process may wait for its lock."""
    try:
        yield
    finally:
        rig = item.config.stash[_RIG]
        if rig.release and (nextitem is None or board_of(nextitem) != board_of(item)):
            rig.release()


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest) -> RunState:
    """This run's options, registry and results."""
    state = request.config.stash[_RIG]
    if state.commit is None:
        state.commit = git_commit(Path(request.config.rootpath))
    return state


@pytest.fixture(scope="session", name=BOARD_ID)
def _board_id(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session", name=MODEL_NAME)
def _model_name(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session", name=RUNTIME)
def _runtime(request: pytest.FixtureRequest, rig: RunState) -> Any:
    return getattr(request, "param", next(iter(rig.options.runtimes), None))


@pytest.fixture(scope="session")
def model(
    rig: RunState, _hil_model_name: str, _hil_board_id: str, _hil_runtime: str | None
) -> Artifact:
    """The model under test (`--hil-model`), in the form that the board's runtime runs."""
    runtime = rig.registry[_hil_board_id].runtime(_hil_runtime)
    return resolve_model(_hil_model_name, rig.project.artifacts, runtime)


@pytest.fixture(scope="session")
def board(
    rig: RunState, _hil_board_id: str, _hil_runtime: str | None, model: Artifact
) -> Iterator[OpenBoard]:
    """A board, locked, built for, started and greeted; once per board, model and runtime."""
    declared: Board = rig.registry[_hil_board_id]
    options = rig.options_for(declared.id, _hil_runtime)
    with ExitStack() as stack:
        try:
            ready = stack.enter_context(open_board(declared, model, rig.project, options))
        except ToolMissing as error:
            if rig.options.missing == "skip":
                pytest.skip(str(error))
            raise
        rig.opened, rig.retries_seen, rig.measured = ready, 0, None
        yield ready
        rig.count_retries()
        rig.opened = rig.release = None
    if rig.measured is not None and rig.options.profile and declared.attachment != "virtual":
        # Another build: what is measured carries nothing of what observes it.
        csv = rig.options.csv
        append_profile(declared, model, rig.project, options, run=rig.measured, csv=csv)


@pytest.fixture
def dut(request: pytest.FixtureRequest, board: OpenBoard) -> Dut:
    """The board's API, resynchronized; its link log goes into the report of a failed test."""
    marker = request.node.get_closest_marker("hil_requires")
    for feature in marker.args if marker else ():
        if feature not in features(board):
            pytest.skip(f"board {board.declared.id} with {board.runtime} has no {feature}")
    board.dut.link.log.clear()
    board.dut.resync()
    return board.dut


def features(board: OpenBoard) -> set[str]:
    """What `hil_requires` may name, of one board."""
    capabilities = {
        (capability.name or "").lower()
        for capability in Capability
        if board.dut.hello.capabilities & capability
    }
    real = set() if board.declared.emulated else {"real"}
    return {board.declared.attachment, board.runtime} | capabilities | real


@pytest.fixture(scope="session")
def firmware(board: OpenBoard) -> Any:
    """What was built for the board; skips for a board that runs none."""
    if board.firmware is None:
        pytest.skip(f"board {board.declared.id} runs no firmware")
    return board.firmware


@pytest.fixture(scope="session")
def reference(board: OpenBoard) -> References:
    """The host's interpreters for the model."""
    return board.references


@pytest.fixture
def latency(
    request: pytest.FixtureRequest, rig: RunState, board: OpenBoard, dut: Dut
) -> Callable[..., LatencyRow]:
    """Measure in sessions, append their rows to the CSV at once, hold the run's to its limits.

    `latency(n=200, at_most_us=400)` or, on an emulator, `latency(at_most_instructions=3000)` limit
    the median; so does the rig file's `budget_us`, by itself. Rows are appended either way, and
    that of the whole run is returned.

    Raises on call:
        TooSlow: the median is over a limit.
        SlowerThanBaseline: the run is slower than that of `--hil-baseline`.
        ValueError: a limit in a unit that the board is not measured in.
    """

    def measure(
        n: int | None = None,
        sample: NDArray[Any] | None = None,
        *,
        at_most_us: float | None = None,
        at_most_instructions: float | None = None,
    ) -> LatencyRow:
        asked = {"at_most_us": at_most_us, "at_most_instructions": at_most_instructions}
        limits = [
            Limit(most=most, unit=rule.removeprefix("at_most_"), rule=rule)
            for rule, most in asked.items()
            if most is not None
        ] + rig.limits_for(board)
        refuse_unmeasured(limits, board=board.declared.id, attachment=board.declared.attachment)
        plan = Plan(
            samples=n or rig.options.samples,
            sessions=rig.options.sessions,
            csv=rig.options.csv,
            commit=rig.commit,
            judge=rig.judge,
        )
        row = measure_board(board, plan, sample).run
        rig.rows.append(row)
        rig.measured = row.run
        for name in _PROPERTIES:
            set_property(request.node, f"hil_{name}", getattr(row, name))
        hold_to(row, limits)
        refuse_slower(row)
        return row

    return measure
