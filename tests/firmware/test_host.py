"""Models on the host in processes of their own: answers, and how one that goes wrong ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import ModelError
from harness.firmware import host
from harness.firmware.frame import LITERT, TFLM, read_frame
from harness.firmware.requests import described, unpacked
from harness.model.artifact import load_artifact
from harness.model.interpreters import TflmInterpreter
from harness.model.wheels import tflm_version

ARTIFACTS = Path(__file__).parents[2] / "models" / "artifacts"
SINE = load_artifact(ARTIFACTS / "sine")
needs_tflm = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")


@needs_tflm
def test_answers_are_those_of_the_same_interpreter_in_this_process() -> None:
    samples = [(np.array([[value]], np.int8),) for value in range(-128, 128)]
    here = TflmInterpreter(SINE.content, name="sine")
    there = host.tflm(SINE.content, name="sine")
    given = [outputs[0] for outputs, seconds in there.run_samples(samples) if seconds > 0]
    assert np.array_equal(np.stack(given), np.stack([here.run(*sample) for sample in samples]))
    assert there.source == here.source
    assert np.array_equal(there.run(samples[3][0]), here.run(samples[3][0]))
    there.close()


def test_litert_says_what_it_takes_and_gives() -> None:
    interpreter = host.litert(SINE.content, name="sine")
    assert interpreter.takes[0].scale == SINE.inputs[0].scale
    assert interpreter.gives[0].shape == (1, 1)
    interpreter.close()


def process_of(interpreter: host.HostInterpreter) -> int:
    """The model's process: the fork of the server's."""
    server = interpreter._server._process.pid
    return int(Path(f"/proc/{server}/task/{server}/children").read_text().split()[0])


@needs_tflm
def test_a_model_that_crashes_tflm_is_at_fault_and_named() -> None:
    interpreter = host.tflm(SINE.content, name="mine")
    os.kill(process_of(interpreter), signal.SIGSEGV)
    with pytest.raises(ModelError) as raised:
        interpreter.run(np.zeros((1, 1), np.int8))
    assert "TFLite Micro on the host crashed (SIGSEGV) on this model" in raised.value.what
    assert raised.value.where.model == "mine"
    with pytest.raises(ModelError, match="crashed"):
        interpreter.run(np.zeros((1, 1), np.int8))
    other = host.tflm(SINE.content, name="sine")
    assert other.run(np.zeros((1, 1), np.int8)).shape == (1, 1)
    other.close()


def test_a_model_that_takes_too_long_is_at_fault() -> None:
    # No more than loading it takes.
    with pytest.raises(ModelError, match=r"LiteRT on the host did not end within 1e-06 s"):
        host.litert(SINE.content, name="sine", most_s=1e-6)


@pytest.mark.parametrize("kind", [TFLM, LITERT])
def test_what_is_no_model_is_an_error_and_the_process_goes_on(kind: str) -> None:
    if kind == TFLM and tflm_version() is None:
        pytest.skip("no tflite-micro wheel here")
    for content in (b"junk" * 10, b"", b"\0\0\0\0TFL3" + bytes(100)):
        with pytest.raises(ModelError):
            host.HostInterpreter(kind, content, name="junk")


def test_inputs_that_do_not_fit_are_an_error() -> None:
    interpreter = host.litert(SINE.content, name="sine")
    for wrong in (np.zeros((1, 2), np.int8), np.zeros((1, 1), np.float32)):
        with pytest.raises(ModelError, match="ValueError"):
            interpreter.run(wrong)
    assert interpreter.run(np.zeros((1, 1), np.int8)).shape == (1, 1)
    interpreter.close()


def test_arrays_come_out_as_they_went_in() -> None:
    given = [
        [np.full((2, 3), 1.5, np.float32), np.array(7, np.int8), np.zeros((0, 4), np.int32)]
        for _ in range(3)
    ]
    payload = b"".join(array.tobytes() for sample in given for array in sample)
    found = unpacked(payload, described(given[0]), 3)
    assert all(
        np.array_equal(a, b) and a.dtype == b.dtype and a.shape == b.shape
        for one, other in zip(found, given, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    "shapes, count", [([["|O", [1]]], 1), ([["|i1", [-1]]], -1), ([["|i1", [9]]], 1)]
)
def test_arrays_that_are_not_there_are_refused(shapes: list, count: int) -> None:
    with pytest.raises((ValueError, TypeError)):
        unpacked(b"1", shapes, count)


def test_a_frame_that_is_too_large_is_refused_before_it_is_read() -> None:
    asked = []

    def read(size: int) -> bytes:
        asked.append(size)
        return b"\xff" * size

    with pytest.raises(ValueError, match="too large"):
        read_frame(read)
    assert asked == [8]


def test_the_process_ends_with_the_one_that_started_it() -> None:
    code = (
        "import os; from harness.firmware.server import Server\n"
        "server = Server('litert'); print(server._process.pid, flush=True)\n"
        "server.send({'what': 'reset'}, most_s=9); server.receive(most_s=20)\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    started = int(done.stdout)
    for _ in range(1000):
        try:
            # The zombie of a process whose parent is gone may stay in a container.
            if Path(f"/proc/{started}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
            os.kill(started, 0)
        except (ProcessLookupError, FileNotFoundError):
            break
        select_a_moment()
    else:
        pytest.fail("it is still there")


def select_a_moment() -> None:
    """10 ms, without a clock."""
    import select

    select.select([], [], [], 0.01)


@needs_tflm
def test_only_a_recipes_own_model_is_run_in_this_process() -> None:
    assert isinstance(host.HostInterpreters(SINE).golden, TflmInterpreter)
    foreign = host.HostInterpreters(replace(SINE, goldens=None))
    assert isinstance(foreign.golden, host.HostInterpreter)
    assert isinstance(foreign.float32, host.HostInterpreter)
    assert not host.of_this_project(replace(SINE, path=Path("/elsewhere/sine_int8.tflite")))
    foreign.close()
