"""Fixtures of several test files."""

import ast
import os
import re
import signal
import sys
from contextlib import ExitStack

import pytest
from fakes.forks import BOARDS, COMMAND, PYTEST, Forks
from fakes.pytests import ROOT, SMALL
from hypothesis import HealthCheck, settings

from harness.errors import Where
from harness.link.faults import Faults
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig import ptyprocess
from harness.rig.virtual import VirtualProcess

# Copies of the firmware's sources are compiled where they differ, and linked.
os.environ.setdefault("HIL_OBJECT_CACHE", str(find_project().state / "objects"))

# NumPy's threads would spin in each of the hundreds of programs that tests start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Containers often set this: then each of those programs would compile all of harness anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Deterministic, and not timed: a loaded machine is no reason to fail.
settings.register_profile(
    "exact",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("exact")

STARTERS = {
    *("subprocess", "multiprocessing", "run_on_terminal", "browser", "compile_command"),
    *("QemuProcess", "VirtualProcess", "open_board", "Builder", "Spoilt", "opened", "main"),
}
"""Names in a test file that start other programs."""
STARTER = re.compile(rf"\b({'|'.join(STARTERS)})\b")
IMPATIENT = "[boards.virtual]\ndeadlines = { reply_s = 0.5 }\n"
"""A rig file."""
STARTING_FIXTURES = {"pytester", "pytests", "commands", "run", "board", "dut", "served"}


def pytest_ignore_collect(collection_path, config):
    """Do not import files of which no test can be chosen: that is a third of `make check`'s."""
    wanted = config.option.markexpr
    chosen = " or " not in wanted and "not program" in wanted.split(" and ")
    if chosen and collection_path.name.startswith("test_"):
        return True if imported(collection_path) & STARTERS else None
    return None


def imported(path):
    """Names that a file imports, as far as it is worth to look."""
    text = path.read_text()
    lines = ast.parse(text).body if STARTER.search(text) else []
    imports = [line for line in lines if isinstance(line, ast.Import | ast.ImportFrom)]
    names = [alias.asname or alias.name for line in imports for alias in line.names]
    return {name.partition(".")[0] for name in names}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark tests whose file or fixtures start other programs: `make check` leaves them out.

    Their files come first: short ones at the end keep all of pytest-xdist's workers at work.
    """
    long = set()
    for item in items:
        named = set(vars(item.module)) & STARTERS or set(item.fixturenames) & STARTING_FIXTURES
        if named or item.get_closest_marker("train"):
            item.add_marker("program")
            long.add(item.path)
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture
def heard_interrupts():
    """Children hear SIGINT, which background jobs of a shell, and all they start, ignore."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def deaf():
    """What is started ignores SIGTERM and SIGHUP at first, as under nohup."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def served():
    """Port of a virtual board that runs already, and so exists once as a real board does."""
    sine = resolve_model("sine", find_project().artifacts)
    with VirtualProcess(sine, Faults(), where=Where(board="virtual")) as process:
        process.stream.close()
        yield process.port


@pytest.fixture(scope="session")
def pytests():
    """Starts runs of pytest that have imported what a run on boards does."""
    forks = Forks(*PYTEST)
    yield forks
    forks.close()


@pytest.fixture(scope="session", autouse=True)
def forked_virtual_boards():
    """Virtual boards that a test starts in its own process have their imports done."""
    with ExitStack() as stack:
        forks: list[Forks] = []

        def begin(command, **how):
            if not forks:
                forks.append(Forks(*BOARDS))
                stack.callback(forks[0].close)
            return forks[0].begin(command, **how)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ptyprocess, "start", begin)
            yield


@pytest.fixture(scope="session")
def commands():
    """Starts `hil` with most of its imports done."""
    forks = Forks(*COMMAND)
    yield forks
    forks.close()


@pytest.fixture
def run(pytester, pytests, monkeypatch):
    """Run pytest in a process and folder of its own, importing the harness under test.

    Where it matters what is imported, ask for a `fresh` interpreter.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HIL_LOCK_DIR", str(pytester.path / "locks"))
    monkeypatch.delenv("CI", raising=False)
    # Other plugins of this environment, such as Hypothesis, take half of the time of a short run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    # For boards that hang: waiting for them longer shows nothing more.
    (pytester.path / "impatient.toml").write_text(IMPATIENT)

    def forked(arguments, *, stdin, stdout, stderr):
        assert tuple(arguments[:2]) == (sys.executable, "-mpytest")
        given = ("pytest", *arguments[2:])
        return pytests.start(given, cwd=os.getcwd(), env=os.environ, stdout=stdout, stderr=stderr)

    def go(*options, tests=SMALL, fresh=False):
        pytester.makepyfile(test_it=tests)
        workers = any(str(option).startswith(("-n", "--dist")) for option in options)
        plugins = ("-p", "harness.plugin", *(("-p", "xdist") if workers else ()))
        with monkeypatch.context() as patch:
            if not fresh:
                patch.setattr(pytester, "popen", forked)
            return pytester.runpytest_subprocess(*plugins, *options)

    go.path = pytester.path
    return go
