"""pytest plugin: `pytest --board ID`. Parses options once and delegates to `harness.rig`."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from harness.artifact import Artifact
from harness.board import Board, Registry, load_registry
from harness.errors import BoardError, HilError, RigError, ToolMissing
from harness.project import Project, find_project
from harness.protocol import Capability
from harness.reference import References, resolve_model
from harness.report import LatencyRow
from harness.rig import (
    DEFAULT_CSV,
    DEFAULT_LOCK_TIMEOUT_S,
    DEFAULT_MODEL,
    DEFAULT_SAMPLES,
    FLASH,
    OpenBoard,
    RigOptions,
    git_commit,
    open_board,
    record,
    summary,
)
from harness.rigfile import RigFile, load_rig
from harness.runner import Dut

DEFAULT_BOARDS = "qemu-m4,virtual"
_DEFAULTS = {
    "board": DEFAULT_BOARDS,
    "model": DEFAULT_MODEL,
    "runtime": "",
    "port": "",
    "samples": str(DEFAULT_SAMPLES),
    "csv": str(DEFAULT_CSV),
    "missing": "",
    "lock_timeout": f"{DEFAULT_LOCK_TIMEOUT_S:g}",
    "rig": "",
    "flash": FLASH[0],
    "tflm": "",
}

_MARKERS = (
    "hil: talks to a board; set on every test that uses the board fixture",
    "qemu: talks to an emulated board; set by itself",
    "network: needs a network; skipped with the reason where there is none",
    "hil_requires(*features): skip on boards without them. A feature is an attachment (emulator, "
    "virtual, serial, url), a runtime (tflm, aot), a capability (infer, tensors, profile, reset) "
    "or `real` for a board that is not emulated",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The plugin's options, parsed once. `asked` says that boards were named by the user."""

    boards: tuple[str, ...]
    asked: bool
    models: tuple[str, ...]
    samples: int
    csv: Path
    missing: str
    ports: dict[str, str]
    rig_file: Path | None
    rig: RigOptions


@dataclass(slots=True)
class Rig:
    """State of one run: options, registry, measured rows, boards that broke and why."""

    options: Options
    registry: Registry
    file: RigFile
    project: Project
    rows: list[LatencyRow] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    commit: str | None = None

    def options_for(self, board_id: str) -> RigOptions:
        """Rig options with what is said of one board."""
        return replace(
            self.options.rig,
            port=self.options.ports.get(board_id),
            plugged=self.file.plugged(board_id),
        )


_BOARD_ID = "_hil_board_id"
_MODEL_NAME = "_hil_model_name"
_RIG = pytest.StashKey[Rig]()
_OPENED = pytest.StashKey[OpenBoard]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hil", "hardware in the loop")
    add = group.addoption
    add("--board", action="append", metavar="ID", help="board to test (repeat, or comma list)")
    add("--hil-model", action="append", metavar="NAME", help="model name, folder or .tflite file")
    add("--hil-runtime", "--runtime", metavar="ID", help="tflm or aot; default is the board's own")
    add("--hil-port", action="append", metavar="[BOARD=]PORT", help="where the board is")
    add("--hil-samples", metavar="N", help="timed invokes per measurement")
    add("--hil-csv", metavar="FILE", help="latency CSV to append to")
    add("--hil-missing", choices=("error", "skip"), help="when a board or its tools are absent")
    add("--hil-lock-timeout", metavar="S", help="seconds to wait for a board in use")
    add("--hil-rig", metavar="FILE", help="rig file (TOML): what is plugged in where")
    add("--hil-flash", choices=FLASH, help="upload if the board runs another build, always, never")
    add("--hil-tflm", metavar="DIR", help="TFLM library to build with, for rigs without a network")
    add(
        "--hil-unchecked",
        action="store_true",
        help="run models also where the runtime is known to compute them wrongly",
    )
    for name, default in _DEFAULTS.items():
        parser.addini(f"hil_{name}", help=f"default of the option of that name [{default}]")


def _setting(config: pytest.Config, name: str) -> tuple[str, bool]:
    """Value of a setting and whether anybody gave it: command line, ini, environment, default."""
    given = config.getoption("board" if name == "board" else f"hil_{name}")
    if isinstance(given, list):
        given = ",".join(given)
    ini = config.getini(f"hil_{name}")
    for value in (given, ini, os.environ.get(f"HIL_{name.upper()}")):
        if value:
            return str(value), True
    return _DEFAULTS[name], False


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))


def _number(name: str, text: str, kind: type[int] | type[float]) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if value < 0 or (kind is int and value < 1):
        raise pytest.UsageError(f"--hil-{name} takes a positive number, not {text!r}")
    return value


def _ports(text: str, boards: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for item in _listed(text):
        board, equals, port = item.partition("=")
        if equals and board in boards:
            found[board] = port
        elif len(boards) == 1:
            found[boards[0]] = item
        else:
            raise pytest.UsageError(f"--hil-port {item}: say which board, as in BOARD=PORT")
    return found


def parse_options(config: pytest.Config) -> Options:
    """Options from the command line, ini file, environment and defaults, in this order."""
    board_text, asked = _setting(config, "board")
    boards = _listed(board_text)
    missing, told = _setting(config, "missing")
    if not told:
        missing = "error" if asked or os.environ.get("CI") else "skip"
    samples = _number("samples", _setting(config, "samples")[0], int)
    timeout = _number("lock-timeout", _setting(config, "lock_timeout")[0], float)
    rig_file, _ = _setting(config, "rig")
    tflm, _ = _setting(config, "tflm")
    flash, _ = _setting(config, "flash")
    if flash not in FLASH:
        raise pytest.UsageError(f"--hil-flash is one of {', '.join(FLASH)}, not {flash!r}")
    return Options(
        boards=boards,
        asked=asked,
        models=_listed(_setting(config, "model")[0]),
        samples=samples,
        csv=config.rootpath / _setting(config, "csv")[0],
        missing=missing,
        ports=_ports(_setting(config, "port")[0], boards),
        rig_file=config.rootpath / rig_file if rig_file else None,
        rig=RigOptions(
            lock_timeout_s=timeout,
            runtime=_setting(config, "runtime")[0] or None,
            flash=flash,
            tflm=(config.rootpath / tflm).resolve() if tflm else None,
            check_support=not config.getoption("hil_unchecked"),
        ),
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    options = parse_options(config)
    try:
        registry = load_registry()
        file = load_rig(options.rig_file, registry)
        registry = file.extend(registry)
        for board_id in options.boards:
            registry[board_id].runtime(options.rig.runtime if options.asked else None)
        project = find_project()
        for name in options.models if options.asked else ():
            resolve_model(name, project.artifacts)
    except HilError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_RIG] = Rig(options=options, registry=registry, file=file, project=project)


def pytest_report_header(config: pytest.Config) -> str:
    rig = config.stash[_RIG]
    boards = ", ".join(
        f"{board_id} ({rig.registry[board_id].runtime(rig.options.rig.runtime)})"
        for board_id in rig.options.boards
    )
    return f"hil: boards {boards}; models {', '.join(rig.options.models)}; {rig.options.csv}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Names of our own: a project's fixture called `model` or `board` is not ours to parametrize.
    options = metafunc.config.stash[_RIG].options
    for name, values in ((_BOARD_ID, options.boards), (_MODEL_NAME, options.models)):
        if name in metafunc.fixturenames:
            ids = [Path(value).stem for value in values]
            metafunc.parametrize(name, values, indirect=True, scope="session", ids=ids)


def _board_of(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get(_BOARD_ID) if callspec else None
    return value if isinstance(value, str) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    registry = config.stash[_RIG].registry
    for item in items:
        board_id = _board_of(item)
        if board_id is None:
            continue
        item.add_marker("hil")
        if registry[board_id].attachment == "emulator":
            item.add_marker("qemu")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    board_id = _board_of(item)
    reason = item.config.stash[_RIG].broken.get(board_id or "")
    if reason:
        pytest.skip(f"board {board_id} broke earlier: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    error = call.excinfo.value if call.excinfo else None
    opened = item.stash.get(_OPENED, None)
    if opened is not None and error is not None and not isinstance(error, pytest.skip.Exception):
        # Named `log of ...` since JUnit's junit_logging=log takes sections that start so.
        item.add_report_section(
            call.when, "log of the link", "\n".join(opened.dut.link.log.lines())
        )
    report = yield
    board_id = _board_of(item)
    if board_id is not None and isinstance(error, RigError | BoardError):
        item.config.stash[_RIG].broken.setdefault(board_id, str(error).splitlines()[0])
        if call.when == "call":
            # A sick rig is an error, as when a fixture fails; a failure means wrong numbers.
            report.when = "setup"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rig = terminalreporter.config.stash[_RIG]
    if rig.rows:
        terminalreporter.section("hil latency")
        terminalreporter.write_line(summary(rig.rows, rig.options.csv))
    retried = {board: count for board, count in rig.retries.items() if count}
    for board_id, count in retried.items():
        terminalreporter.write_line(f"{board_id}: {count} requests were sent again", yellow=True)
    for board_id, reason in rig.broken.items():
        terminalreporter.write_line(f"{board_id} broke: {reason}", red=True)


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest) -> Rig:
    """This run's options, registry and results."""
    state = request.config.stash[_RIG]
    if state.commit is None:
        state.commit = git_commit(Path(request.config.rootpath))
    return state


@pytest.fixture(scope="session", name=_BOARD_ID)
def _board_id(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session", name=_MODEL_NAME)
def _model_name(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session")
def model(rig: Rig, _hil_model_name: str) -> Artifact:
    """The model under test (`--hil-model`)."""
    return resolve_model(_hil_model_name, rig.project.artifacts)


@pytest.fixture(scope="session")
def board(rig: Rig, _hil_board_id: str, model: Artifact) -> Iterator[OpenBoard]:
    """A board, locked, built for, started and greeted; once per board and model."""
    declared: Board = rig.registry[_hil_board_id]
    options = rig.options_for(declared.id)
    with ExitStack() as stack:
        try:
            ready = stack.enter_context(open_board(declared, model, rig.project, options))
        except ToolMissing as error:
            if rig.options.missing == "skip":
                pytest.skip(str(error))
            raise
        yield ready
        retries = ready.dut.link.stats.retries
        rig.retries[declared.id] = rig.retries.get(declared.id, 0) + retries


@pytest.fixture
def dut(request: pytest.FixtureRequest, board: OpenBoard) -> Dut:
    """The board's API, resynchronized; its link log goes into the report of a failed test."""
    marker = request.node.get_closest_marker("hil_requires")
    for feature in marker.args if marker else ():
        if feature not in features(board):
            pytest.skip(f"board {board.board.id} with {board.runtime} has no {feature}")
    request.node.stash[_OPENED] = board
    request.node.user_properties += [
        ("hil_board", board.board.id),
        ("hil_port", board.port),
        ("hil_runtime", f"{board.runtime} {board.dut.hello.runtime_version}"),
        ("hil_model", board.artifact.name),
        ("hil_build", board.dut.hello.build_id.hex()),
    ]
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
    real = set() if board.board.emulated else {"real"}
    return {board.board.attachment, board.runtime} | capabilities | real


@pytest.fixture(scope="session")
def firmware(board: OpenBoard) -> Any:
    """What was built for the board; skips for a board that runs none."""
    if board.firmware is None:
        pytest.skip(f"board {board.board.id} runs no firmware")
    return board.firmware


@pytest.fixture(scope="session")
def reference(board: OpenBoard) -> References:
    """The host's interpreters for the model."""
    return board.references


@pytest.fixture
def latency(
    request: pytest.FixtureRequest, rig: Rig, board: OpenBoard, dut: Dut
) -> Callable[..., LatencyRow]:
    """Measure, append the row to the CSV at once and return it: `latency()`, `latency(n=200)`."""

    def measure(n: int | None = None, sample: NDArray[Any] | None = None) -> LatencyRow:
        count = n or rig.options.samples
        row = record(board, samples=count, csv=rig.options.csv, commit=rig.commit, sample=sample)
        rig.rows.append(row)
        for name in ("p50_us", "p99_us", "instructions_p50", "mismatches", "emulated"):
            request.node.user_properties.append((f"hil_{name}", getattr(row, name)))
        return row

    return measure
