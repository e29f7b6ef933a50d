"""Several boards in one run, in one process and in several."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from fakes.processes import alive, children_of
from fakes.pytests import SMALL, cases, properties, rows

from harness.outcome import Outcome

pytest_plugins = ["pytester"]

RIG = """
[boards.one]
kind = "virtual"
[boards.two]
kind = "virtual"
deadlines = { reply_s = 0.5 }
[boards.three]
kind = "virtual"
"""
TRACED = """
import json, os, time
from pathlib import Path
import pytest

def note(what, board):
    with open("trace", "a") as file:
        file.write(json.dumps([what, board, os.getpid()]) + "\\n")

@pytest.fixture(scope="session", autouse=True)
def _trace(): yield

def test_a(board): note("a", board.declared.id)
def test_b(board): note("b", board.declared.id)
def test_c(board, latency): latency(n=5); note("c", board.declared.id)
@pytest.mark.parametrize("n", range(8))
def test_free(n): note("free", None)
"""


@pytest.fixture
def several(run):
    """Run tests on three virtual boards; options after a board's name in `ports` are its faults."""
    (run.path / "rig.toml").write_text(RIG)

    def go(*options, tests=SMALL, boards="one,two,three", **faults):
        ports = [f"--hil-port={board}=virtual:?{fault}" for board, fault in faults.items()]
        base = ("--hil-rig", "rig.toml", "--board", boards, "--junitxml=junit.xml")
        return run(*base, *ports, *options, tests=tests)

    go.path = run.path
    return go


def trace(path):
    """Tuples of test, board and process, in the order of running."""
    return [tuple(json.loads(line)) for line in (path / "trace").read_text().splitlines()]


PARALLEL = pytest.param(("-n", "2"), id="two workers")
ALONE = pytest.param((), id="one process")


@pytest.mark.parametrize("processes", [ALONE, PARALLEL])
def test_a_sick_board_fails_no_other_boards_tests(several, processes):
    result = several(*processes, two="hang_after=200", three="wrong_model=1")
    assert result.ret == Outcome.STALE.exit_status
    counts = result.parseoutcomes()
    assert (counts["passed"], counts["errors"], counts["skipped"]) == (7, 2, 6)
    result.stdout.fnmatch_lines(
        [
            "*hil latency*",
            "*/reports/latency.csv",
            "one: 5 passed",
            "two: 1 sick rig, 2 passed, 2 skipped",
            "three: 1 stale firmware, 4 skipped",
        ]
    )
    found = rows(several.path / "reports" / "latency.csv")
    assert sorted(row["board"] for row in found) == ["one", "two"]
    said = cases(several.path / "junit.xml")
    assert len(said) == 15
    assert properties(said["test_long[two-sine]"])["hil_outcome"] == "sick rig"
    assert said["test_long[two-sine]"].find("error") is not None


def test_a_board_that_broke_is_skipped_with_its_other_models_too(several):
    models = ("--hil-model", "sine,sine-1-16-1")
    result = several(*models, boards="one,two", two="hang_after=200")
    assert result.ret == Outcome.SICK.exit_status
    result.stdout.fnmatch_lines(["one: 10 passed", "two: 1 sick rig, 2 passed, 7 skipped"])


def test_retries_and_rows_of_workers_reach_the_summary(several):
    result = several("-n", "2", boards="one,two", two="duplicate=0.001&seed=3")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            *("one, tflm", "  sine *0/256*", "two, tflm", "  sine *0/256*"),
            "two: * requests were sent again",
        ]
    )


def test_a_board_is_one_workers_and_the_rest_is_spread(several):
    assert several("-n", "3", tests=TRACED).ret == 0
    ran = trace(several.path)
    assert len(ran) == 3 * 3 + 8
    for board in ("one", "two", "three"):
        assert len({pid for _, on, pid in ran if on == board}) == 1
        assert [what for what, on, _ in ran if on == board] == ["a", "b", "c"]
    assert len({pid for _, _, pid in ran}) == 3


def test_n_auto_is_a_worker_for_each_board_up_to_the_cores_that_emulated_ones_take(several):
    result = several("-n", "auto", tests="def test_free(): pass")
    workers = min(3, os.cpu_count())
    result.stdout.fnmatch_lines([f"*created: {workers}/{workers} workers*"])


@pytest.mark.parametrize("dist", ["loadscope", "each"])
def test_locks_keep_a_board_to_one_process_however_tests_are_dealt_out(several, dist):
    result = several("-n", "2", "--dist", dist, boards="one,two", tests=SMALL)
    assert result.ret == 0
    passed = result.parseoutcomes()["passed"]
    assert passed == (20 if dist == "each" else 10)


def test_boards_are_tested_one_after_the_other_each_model_once(several):
    tests = TRACED.replace("board.declared.id", "board.declared.id + board.artifact.model")
    assert several("--hil-model", "sine,sine-1-16-1", boards="two,one", tests=tests).ret == 0
    ran = [on for _, on, _ in trace(several.path)]
    order = list(dict.fromkeys(ran))
    assert order == [None, "twosine", "twosine-1-16-1", "onesine", "onesine-1-16-1"]
    assert ran == sorted(ran, key=order.index)


def test_a_board_is_let_go_when_the_next_test_is_not_on_it_and_opened_again_later(several, served):
    tests = """
import os
from pathlib import Path

sessions = []
def holders():
    locks = Path(os.environ["HIL_LOCK_DIR"]).glob("*.lock")
    return [path.stem for path in locks if path.stat().st_size]
def test_first(dut, board):
    dut.greet()
    sessions.append(board.session)
    assert holders() == ["one"]
def test_free(): assert holders() == []
def test_again(dut, board):
    dut.greet()
    assert board.session not in sessions and len(sessions) == 1
"""
    # Another plugin that orders tests, as pytest-randomly does, but later than this one.
    (several.path / "conftest.py").write_text("""
import pytest
@pytest.hookimpl(trylast=True, wrapper=True)
def pytest_collection_modifyitems(items):
    yield
    items.sort(key=lambda item: ["test_first", "test_free", "test_again"].index(item.originalname))
""")
    at = f"--hil-port=one={served}"
    several(at, boards="one", tests=tests).assert_outcomes(passed=3)


def test_two_runs_at_once_both_end_well(several):
    several.path.joinpath("test_it.py").write_text(SMALL)
    command = [sys.executable, "-m", "pytest", "-p", "harness.plugin", "--hil-rig", "rig.toml"]
    command += ["--board", "one,two", "-q", "-p", "no:cacheprovider"]
    runs = [
        subprocess.Popen(command, cwd=several.path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in runs:
        said, _ = process.communicate()
        assert process.returncode == 0, said
    found = rows(several.path / "reports" / "latency.csv")
    assert sorted(row["board"] for row in found) == ["one", "one", "two", "two"]


SLEEPER = """
import time
def test_it(dut, latency):
    latency(n=10)
    open(f"ready-{dut.link.where.board}", "w").close()
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("on", "processes"),
    [("qemu-m4", ()), ("virtual,one", ("-p", "xdist", "-n", "2"))],
    ids=["alone", "workers"],
)
def test_sigterm_closes_every_board_in_order(several, processes, on):
    tidy = """
import pytest
@pytest.fixture(scope="session", autouse=True)
def tidy(): yield; open(f"tidied-{__import__('os').getpid()}", "w").close()
"""
    (several.path / "test_it.py").write_text(SLEEPER + tidy)
    command = [sys.executable, "-m", "pytest", "-p", "harness.plugin", "--hil-rig", "rig.toml"]
    process = subprocess.Popen(
        [*command, "--board", on, *processes],
        cwd=several.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # As in a job that a shell started in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        boards = on.split(",")
        ready = [several.path / f"ready-{board}" for board in boards]
        deadline = time.monotonic() + 60
        while not all(path.exists() for path in ready):
            assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
            time.sleep(0.01)
        children = children_of(process.pid)
        process.terminate()
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, said
    assert not [pid for pid in children if alive(pid)]
    assert len(list(several.path.glob("tidied-*"))) == len(boards), said
    assert not any(lock.stat().st_size for lock in (several.path / "locks").glob("*.lock"))


def test_the_plugin_works_without_xdist(several):
    assert several("-p", "no:xdist", boards="one").ret == 0
