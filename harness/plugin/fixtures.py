"""The plugin's fixtures, and the tests that use them: parametrized and marked.

Every pytest in whose environment the plugin is installed loads this file: it imports what takes
time when a fixture is set up.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.start import (
    BOARD_ID,
    MODEL_NAME,
    RUNTIME,
    board_of,
    model_ids,
    names_of,
    state_of,
)

if TYPE_CHECKING:
    from harness.firmware.build import Firmware
    from harness.firmware.host import HostInterpreters
    from harness.link.dut import Dut
    from harness.measure.evaluate import Evaluation
    from harness.measure.tables import EnergyRow, LatencyRow
    from harness.model.artifact import Artifact
    from harness.plugin.state import RunState
    from harness.rig.open import OpenBoard


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Names of our own: a project's fixture called `model` or `board` is not ours to parametrize.
    for name in (BOARD_ID, MODEL_NAME, RUNTIME):
        values = names_of(metafunc.config)[name] if name in metafunc.fixturenames else ()
        # One runtime is no parameter: a test's id should not change with the default.
        if len(values) > (name == RUNTIME):
            ids = model_ids(values) if name == MODEL_NAME else values
            metafunc.parametrize(name, values, indirect=True, scope="session", ids=ids)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests on boards before pytest deselects by `-m`."""
    boards = {item: board_id for item in items if (board_id := board_of(item)) is not None}
    emulators = _emulators(config) if boards else ()
    for item, board_id in boards.items():
        item.add_marker("hil")
        if board_id in emulators:
            item.add_marker("qemu")


def _emulators(config: pytest.Config) -> Container[str]:
    try:
        registry = state_of(config).registry
    except pytest.UsageError:
        return ()  # To be said of tests that are not deselected.
    return [id_ for id_ in names_of(config)[BOARD_ID] if registry[id_].attachment == "emulator"]


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest) -> Iterator[RunState]:
    """This run's options, registry and results."""
    from harness.project import git_commit

    state = state_of(request.config)
    if state.commit is None:
        state.commit = git_commit(Path(request.config.rootpath))
    with state.keeper:
        yield state


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
    """The model under test (`--hil-model`), in the form that the board's runtime runs.

    Prints what is in a file without a manifest: pytest shows that where a test fails.
    """
    from harness.firmware.look import page_of
    from harness.model.resolve import resolve_model
    from harness.text import printable_lines

    board = rig.registry[_hil_board_id]
    runtime = board.runtime(_hil_runtime)
    artifact = resolve_model(_hil_model_name, rig.project.artifacts)
    if artifact.goldens is None:
        print(printable_lines(page_of(artifact, board, runtime)))
    return artifact


@pytest.fixture(scope="session")
def board(
    rig: RunState, _hil_board_id: str, _hil_runtime: str | None, model: Artifact
) -> Iterator[OpenBoard]:
    """A board, locked, built for, started and greeted; once per board, model and runtime."""
    from harness.plugin.boards import opened

    with opened(rig, _hil_board_id, _hil_runtime, model) as ready:
        yield ready


@pytest.fixture
def dut(request: pytest.FixtureRequest, board: OpenBoard) -> Dut:
    """The board's API, resynchronized; its link log goes into the report of a failed test."""
    from harness.plugin.boards import features

    marker = request.node.get_closest_marker("hil_requires")
    for feature in marker.args if marker else ():
        if feature not in features(board):
            pytest.skip(f"board {board.declared.id} with {board.runtime} has no {feature}")
    board.dut.link.log.clear()
    board.dut.resync()
    return board.dut


@pytest.fixture(scope="session")
def firmware(board: OpenBoard) -> Firmware:
    """What was built for the board; skips for a board that runs none."""
    if board.firmware is None:
        pytest.skip(f"board {board.declared.id} runs no firmware")
    return board.firmware


@pytest.fixture(scope="session")
def reference(board: OpenBoard) -> HostInterpreters:
    """The host's interpreters for the model."""
    return board.references


@pytest.fixture(scope="session")
def evaluation(rig: RunState, board: OpenBoard) -> Evaluation:
    """The whole of the user's data (`--hil-data`) through the board; skips where there is none.

    `evaluation.accuracy.low` is the lower end of its 95 % interval, `evaluation.mae` and
    `evaluation.rmse` are errors where values are expected, `evaluation.agrees` says whether every
    output is that of TFLM on this machine, `evaluation.detections` has what `--hil-detect` asked
    for. A row of evaluation.csv is appended.
    """
    from harness.plugin.boards import evaluate

    if board.data is None:
        pytest.skip("no data of your own: --hil-data PATH")
    return evaluate(rig, board, board.data)


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
    from harness.plugin.measuring import measure

    return partial(measure, request.node, rig, board)


@pytest.fixture
def energy(
    request: pytest.FixtureRequest, rig: RunState, board: OpenBoard, dut: Dut
) -> Callable[..., EnergyRow]:
    """Measure the energy of an inference by the board's meter, append its rows to energy.csv.

    `energy(at_most_uj=25)` limits it; so does the rig file's `budget_uj`, by itself. It is with
    idle power unless `--hil-energy-net` is set; the row of the whole run, which is returned, has
    both. Skips on a board without a meter, unless `--hil-energy` asks for it.

    Raises on call:
        TooMuchEnergy: it is over a limit, whatever its uncertainty.
        MoreThanBaseline: the run takes more than that of `--hil-baseline`.
        CannotTell: its uncertainty is above `--hil-energy-share`, or reaches over a limit.
        MeterError: the meter failed; nothing is known of the board.
    """
    from harness.plugin.metering import measure

    return partial(measure, request.node, rig, board)
