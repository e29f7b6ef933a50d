"""Signals to a run of the plugin."""

import pytest
from fakes.pytests import ROOT

from harness.model.wheels import tflm_version

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")

SIGNALLED = f"""
import os, signal, sys
sys.path.append({str(ROOT / "tests")!r})
from fakes.processes import children_of

def test_it(dut):
    for pid in (os.getpid(), *children_of(os.getpid())):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGHUP)
    dut.greet()
"""


def test_signals_that_the_parent_had_ignored_stay_ignored_by_pytest_and_its_board(run, deaf):
    done = run("--board", "virtual", tests=SIGNALLED)
    done.assert_outcomes(passed=1)
    assert done.ret == 0


def test_a_hangup_ends_a_run_in_order(run):
    alone = "import os, signal\ndef test_it(dut): os.kill(os.getpid(), signal.SIGHUP)\n"
    done = run("--board", "virtual", tests=alone)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*terminated (SIGHUP)*"])
    assert not any(lock.stat().st_size for lock in (run.path / "locks").glob("*.lock"))
