"""Signals to `hil`: it ends in order, leaves no process, and heeds what its parent ignored."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.processes import children_of, name_of

from harness.errors import Where
from harness.link.dut import Dut
from harness.link.link import Link
from harness.link.streams import open_serial
from harness.model.wheels import tflm_version

ROOT = Path(__file__).parents[2]
HIL = [sys.executable, "-m", "harness.cli"]


def processes_with(text):
    """Ids of processes whose environment holds a text."""
    found = set()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in environ.read_bytes():
                found.add(int(environ.parent.name))
        except OSError:
            continue
    return found


def compiling(pid):
    return any(name_of(child).startswith(("arm-none-eabi", "cc1")) for child in children_of(pid))


def test_a_terminated_build_leaves_no_process_and_can_be_repeated(tmp_path):
    state = str(tmp_path / "state of this test")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HIL_STATE_DIR": state}
    with subprocess.Popen([*HIL, "build"], env=environment, stderr=subprocess.PIPE) as process:
        while not compiling(process.pid):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.002)
        process.terminate()
        process.stderr.read()
        assert process.wait() == 128 + signal.SIGTERM
        assert processes_with(state) == set()
    again = subprocess.run([*HIL, "build"], env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "build id" in again.stdout


@pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")
def test_signals_that_the_parent_had_ignored_stay_ignored(deaf, heard_interrupts):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*HIL, "virtual"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        port = process.stdout.readline().strip()
        for number in deaf:
            process.send_signal(number)
        where = Where(board="virtual", port=port)
        link = Link(open_serial(port, where=where), where=where)
        assert Dut(link).greet().board == "virtual"
        link.close()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT
