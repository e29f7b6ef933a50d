"""MLPerf Tiny's commands over real streams: the emulated firmware and the virtual board."""

import shutil
import socket
import subprocess
import time
from contextlib import closing

import numpy as np
import pytest

from benchmarks.link.mlperf_client import MlperfClient
from benchmarks.link.soak import soak
from harness.board.registry import QEMU, load_registry
from harness.errors import Where
from harness.firmware.build import Builder
from harness.link.dut import Dut
from harness.link.faults import Faults
from harness.link.link import Link
from harness.link.streams import SocketStream
from harness.model.interpreters import TflmInterpreter
from harness.model.resolve import resolve_model
from harness.model.tensor import dequantize
from harness.project import find_project
from harness.rig.qemu import QemuProcess, Wires, dies_with_parent, qemu_command
from harness.rig.virtual import VirtualProcess

WHERE = Where(board="any")
HALVES = {
    "a frame": b"\0\x08\x01\x01\x01",
    "a command": b"infer 1",
    "a line": b"1.57",
    "a frame's rest": b"\x08\x01\xf2\xb2",
}


@pytest.fixture(scope="module")
def sine():
    return resolve_model("sine", find_project().artifacts)


@pytest.fixture(scope="module", params=["qemu-m4", "virtual"])
def board(request, sine):
    """Its id and its stream."""
    if request.param == "virtual":
        process = VirtualProcess(sine, Faults(), where=WHERE)
    else:
        emulated = load_registry()[request.param]
        assert emulated.emulator is not None
        elf = Builder(find_project()).build(emulated, "aot", sine).elf
        process = QemuProcess(emulated.emulator, elf, where=WHERE)
    with process:
        yield request.param, process.stream


@pytest.fixture
def client(board):
    return MlperfClient(board[1])


def test_board_says_who_it_is(board, client, sine):
    assert client.ask("name") == [f"m-name-dut-[{board[0]}]"]
    profile, model = client.ask("profile")
    assert profile.startswith("m-profile-[") and model == f"m-model-[{sine.name}]"
    assert client.ask("") == []
    assert client.ask("nonsense") == ["e-[Unknown command: nonsense]"]
    assert len(client.ask("help")) == 8


def test_inferences_answer_the_golden_output_and_take_time(client, sine):
    golden = TflmInterpreter(sine.content, name=sine.name)
    spec, output = sine.inputs[0], sine.outputs[0]
    for value in (0x00, 0x25, 0x7F, 0x80, 0xFF):
        assert client.load(bytes((value,))) == ["m-load-done"]
        lap_us, results = client.infer(50, 3)
        sample = np.frombuffer(bytes((value,)), spec.dtype).reshape(spec.shape)
        expected = dequantize(golden.run(sample), output).ravel()
        assert results == [pytest.approx(float(real), abs=5e-5) for real in expected]
        assert lap_us > 0
        assert client.ask("results") == [f"m-results-[{results[0]:.4f}]"]


def test_time_only_goes_forward(client):
    times = [client.timestamp_us() for _ in range(20)]
    assert times == sorted(times) and times[0] < times[-1]


def test_frames_lines_and_commands_take_turns(board, client):
    link = Link(board[1], where=WHERE)
    dut = Dut(link)
    for _ in range(3):
        assert dut.greet().board == board[0]
        assert client.ask("name") == [f"m-name-dut-[{board[0]}]"]
        assert link.ask_text("1.5708").startswith("y=")


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_client_that_died_in_the_middle_costs_the_next_one_nothing(board, client, half):
    board[1].write(half)
    time.sleep(0.3 if half[0] == 0 else 1.3)
    assert client.ask("name") == [f"m-name-dut-[{board[0]}]"]
    board[1].write(half)
    time.sleep(0.3)
    assert Dut(Link(board[1], where=WHERE)).greet().board == board[0]


def test_time_goes_on_through_two_turns_of_the_emulated_boards_ticks():
    seen = soak(2 * 2**32 / 25e6)
    assert seen.wrong == seen.backwards == seen.retries == 0
    assert seen.ticks_max - seen.ticks_min <= 1
    assert seen.lap_error < 0.05


def test_sleeping_board_sees_every_turn_of_its_ticks(sine):
    """With sleep=off QEMU's clock leaps to the next timer whenever the CPU waits: years pass."""
    emulated = load_registry()["qemu-m4"]
    assert emulated.emulator is not None
    elf = Builder(find_project()).build(emulated, "aot", sine).elf
    (uart, for_uart), (qmp, for_qmp) = socket.socketpair(), socket.socketpair()
    wires = Wires(uart=for_uart.fileno(), qmp=for_qmp.fileno())
    command = qemu_command(emulated.emulator, elf, wires, shutil.which(QEMU) or QEMU)
    awake = [f"{word},sleep=off" if word.startswith("shift=") else word for word in command]
    with (
        for_uart,
        for_qmp,
        qmp,
        closing(SocketStream(uart)) as stream,
        subprocess.Popen(
            dies_with_parent(awake), stderr=subprocess.DEVNULL, pass_fds=wires.all
        ) as process,
    ):
        try:
            times = [leapt_us(stream) for _ in range(3)]
        finally:
            process.kill()
    turn_us = 2**32 / 25
    assert times[1] - times[0] > turn_us and times[2] - times[1] > turn_us


def leapt_us(stream):
    """The board's time. Ages may pass inside a command too, which is then another one."""
    for _ in range(50):
        time.sleep(0.02)
        try:
            return MlperfClient(stream, timeout_s=0.5).timestamp_us()
        except (TimeoutError, TypeError, ValueError):
            continue
    raise AssertionError("no timestamp came whole")
