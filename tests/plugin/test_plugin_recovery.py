"""Boards that stall in mid-run, as a stopped process does, and what becomes of the other tests."""

from pathlib import Path

import pytest
from fakes.processes import alive
from fakes.pytests import ROOT, cases, properties

from harness.outcome import Outcome

pytest_plugins = ["pytester"]

RIG = """
[boards.bench]
kind = "{kind}"
deadlines = {{ reply_s = 0.5 }}
"""
ASKING = """
import os, signal
from pathlib import Path
import numpy as np
import pytest
from fakes.processes import children_of

def ask(dut): return dut.infer(np.zeros(1, np.int8)).outputs

def stall(dut, resume):
    boards = ("harness.rig.virtual", "qemu-system")  # And not the host's interpreter, nor a guard.
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children_of(os.getpid())}
    (process,) = (
        pid for pid, line in commands.items()
        if any(name in line for name in boards) and "supervise" not in line
    )
    Path("process").write_text(str(process))
    os.kill(process, signal.SIGSTOP)
    try:
        ask(dut)
    finally:
        if resume:
            os.kill(process, signal.SIGCONT)

def test_before(dut): ask(dut)
"""
ONCE = """
def test_stalls(dut): stall(dut, resume=True)
def test_after(dut): ask(dut)
def test_measured(latency): latency(n=5)
"""
TWICE = (
    ONCE
    + """
def test_stalls_again(dut): stall(dut, resume=True)
def test_rest(dut): ask(dut)
"""
)
FOR_EVER = ONCE.replace("True", "False")


@pytest.fixture
def stalling(run, monkeypatch):
    """Run tests on a board of a kind, in one process."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")

    def go(kind, tests, *options):
        (run.path / "rig.toml").write_text(RIG.format(kind=kind))
        base = ("--hil-rig", "rig.toml", "--board", "bench", "--junitxml=junit.xml", "-rs")
        # Fresh: the test looks for its board by the command that started it.
        return run(*base, *options, tests=ASKING + tests, fresh=True)

    go.path = run.path
    return go


@pytest.mark.parametrize("kind", ["qemu-m4", "virtual"])
def test_a_board_that_stalled_is_brought_back_for_the_next_test(stalling, kind):
    result = stalling(kind, ONCE)
    assert result.ret == Outcome.SICK.exit_status
    result.assert_outcomes(errors=1, passed=3)
    result.stdout.fnmatch_lines(
        [
            "bench: 1 sick rig, 3 passed, recovered once",
            "  recovered after no reply to INFER within 0.5*",
        ]
    )
    said = cases(stalling.path / "junit.xml")
    assert said["test_stalls[bench-sine]"].find("error") is not None
    recovery = properties(said["test_after[bench-sine]"])["hil_recovery"]
    assert recovery.endswith(": resync and HELLO: it answers")
    assert "hil_recovery" not in properties(said["test_measured[bench-sine]"])


def test_a_board_that_stalls_again_is_given_up(stalling):
    result = stalling("qemu-m4", TWICE)
    assert result.ret == Outcome.SICK.exit_status
    result.assert_outcomes(errors=2, passed=3, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*board bench broke earlier: no reply to INFER*"])
    result.stdout.fnmatch_lines(["bench: 2 sick rig, 3 passed, 1 skipped, recovered once"])


def test_a_board_that_does_not_come_back_is_broken_and_every_step_is_told(stalling):
    result = stalling("qemu-m4", FOR_EVER)
    assert result.ret == Outcome.SICK.exit_status
    result.assert_outcomes(errors=1, passed=1, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*board bench broke earlier: no reply to INFER*"])
    told = " ".join(result.stdout.str().split())
    assert "not recovered after no reply to INFER" in told
    assert "resync and HELLO: no reply to HELLO" in told and "system_reset of QEMU: failed" in told
    assert not alive(int(Path(stalling.path, "process").read_text()))


def test_a_board_that_rebooted_is_greeted_again(run):
    result = run("--board", "virtual", "--hil-port", "virtual:?reboot_after=200")
    assert result.ret == Outcome.SICK.exit_status
    result.assert_outcomes(errors=1, passed=4)
    result.stdout.fnmatch_lines(
        [
            "virtual: 1 sick rig, 4 passed, recovered once",
            "*board rebooted during INFER (board virtual*",
            "  recovered after board rebooted during INFER: resync and HELLO: it answers",
        ]
    )


def test_a_refused_request_costs_no_other_test(run):
    tests = """
import numpy as np
def test_refused(dut): dut.profile(np.zeros(1, np.int8), 1)
def test_after(dut): assert dut.infer(np.zeros(1, np.int8)).outputs.shape == (1, 1)
"""
    result = run("--board", "virtual", tests=tests)
    result.assert_outcomes(failed=1, passed=1)
    assert result.ret == Outcome.FAILED.exit_status
