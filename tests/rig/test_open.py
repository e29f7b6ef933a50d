"""Whole boards through the public API: faults of the emulator, power cycles, exact counts."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from fakes.processes import alive, children_of
from fakes.rewritten import first_scales_only, per_channel
from fakes.sources import changed_sources

from harness.board.lock import hold, lock_folder
from harness.board.registry import load_registry
from harness.board.rigfile import Plugged
from harness.errors import PortLost, RigError, UnknownName, Where, WrongUse
from harness.firmware.build import Builder
from harness.link.dut import Dut
from harness.link.link import Link, LinkOptions
from harness.link.protocol import Capability
from harness.measure.compare import Culprit, Verdict, compare
from harness.model.interpreters import TflmInterpreter
from harness.model.resolve import inspect_model, resolve_model
from harness.project import Project, find_project
from harness.rig.checks import affordable, checks_for, run_batch
from harness.rig.open import RigOptions, look_at, open_board
from harness.rig.qemu import QemuProcess

PROJECT = find_project()
REGISTRY = load_registry()


@pytest.fixture(autouse=True)
def own_locks(monkeypatch, tmp_path):
    """Tests of this file open their own boards, whatever the session's fixtures hold."""
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))


@pytest.fixture(scope="module")
def sine():
    return resolve_model("sine", PROJECT.artifacts)


@pytest.fixture
def emulator(sine):
    firmware = Builder(PROJECT).build(REGISTRY["qemu-m4"], "aot", sine)
    where = Where(board="qemu-m4", port="qemu", model=sine.name)
    with QemuProcess(REGISTRY["qemu-m4"].emulator, firmware.elf, where=where) as running:
        yield running


def test_a_model_is_looked_at_unless_its_firmware_was_built_before(sine, monkeypatch, tmp_path):
    looked = []
    monkeypatch.setattr("harness.rig.open.refuse_unrunnable", lambda *asked: looked.append(asked))
    board, virtual = REGISTRY["qemu-m4"], REGISTRY["virtual"]
    Builder(PROJECT).build(board, "aot", sine)
    look_at(board, sine, PROJECT, RigOptions())
    assert looked == []
    elsewhere = Project(root=PROJECT.root, state=tmp_path)
    look_at(board, sine, elsewhere, RigOptions())
    look_at(virtual, sine, PROJECT, RigOptions())
    look_at(virtual, sine, PROJECT, RigOptions(check_support=False))
    assert looked == [(sine, board, "aot"), (sine, virtual, "tflm")]


def test_a_killed_emulator_is_one_error_naming_board_port_and_request(sine):
    before = children_of(os.getpid())
    with open_board(REGISTRY["qemu-m4"], sine, PROJECT, RigOptions()) as opened:
        for pid in children_of(os.getpid()) - before:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(PortLost) as caught:
            opened.dut.infer(checks_for(sine).inputs)
    text = str(caught.value)
    assert "board qemu-m4" in text and "port qemu:mps2-an386" in text and "sine_int8" in text
    assert "during INFER" in text and "emulator ended with status -9" in text
    with hold("qemu-m4", timeout_s=0):
        pass


def test_a_board_stays_locked_between_two_openings_where_its_lock_is_held(sine):
    board, record = REGISTRY["virtual"], lock_folder() / "virtual.lock"
    with hold("virtual", timeout_s=60, again=True):
        for _ in range(2):
            with open_board(board, sine, PROJECT, RigOptions()):
                pass
            assert str(os.getpid()) in record.read_text()
    assert record.read_text() == ""


def test_a_dropped_connection_is_opened_again_and_counted(sine):
    inputs = checks_for(sine).inputs
    for board_id in ("qemu-m4", "virtual"):
        with open_board(REGISTRY[board_id], sine, PROJECT, RigOptions()) as opened:
            before = opened.dut.infer(inputs).outputs
            opened.dut.link._stream.close()
            np.testing.assert_array_equal(opened.dut.infer(inputs).outputs, before)
            assert opened.dut.link.stats.reconnects == 1


def test_a_stopped_emulator_cannot_be_reset_and_is_ended_all_the_same(sine):
    firmware = Builder(PROJECT).build(REGISTRY["qemu-m4"], "aot", sine)
    where = Where(board="qemu-m4", port="qemu")
    emulator = REGISTRY["qemu-m4"].emulator
    before = children_of(os.getpid())
    with QemuProcess(emulator, firmware.elf, where=where, answer_s=0.2) as running:
        (pid,) = children_of(os.getpid()) - before
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(RigError, match="did not run system_reset: no answer within 0.2 s"):
            running.power_cycle()
    assert not alive(pid)


@pytest.mark.parametrize("board_id", ["qemu-m4", "virtual"])
def test_a_board_whose_connection_was_lost_is_greeted_on_a_new_one(sine, board_id):
    with open_board(REGISTRY[board_id], sine, PROJECT, RigOptions()) as opened:
        opened.dut.link._stream.close()
        with pytest.raises(PortLost) as lost:
            opened.dut.resync()
        (step,) = opened.recover_in_run(lost.value)
        assert str(step) == "resync and HELLO: it answers" and opened.escalations == (step,)
        assert opened.comparison().mismatches == 0


def test_power_cycle_makes_the_board_forget_the_session(emulator, sine):
    dut = Dut(Link(emulator.stream, where=Where(board="qemu-m4")))
    before = dut.greet()
    emulator.power_cycle()
    assert dut.greet() == before
    outputs = dut.infer(checks_for(sine).inputs).outputs
    np.testing.assert_array_equal(outputs, sine.goldens.outputs)


def test_qmp_reports_the_machine(emulator):
    assert emulator.qmp("query-status")["status"] == "running"


def test_a_hard_fault_is_reported_with_its_registers(sine, tmp_path):
    fault = "*reinterpret_cast<volatile uint32_t*>(0x90000000) = size;"
    feed = "server.Feed("
    spoilt = changed_sources(tmp_path, "firmware/src/main.cpp", feed, f"{fault}\n      {feed}")
    for timed in (True, False):
        with (
            pytest.raises(
                PortLost, match="ended with status 0; it said: firmware fault: HardFault"
            ) as caught,
            open_board(REGISTRY["qemu-m4"], sine, spoilt, RigOptions(timed=timed)),
        ):
            raise AssertionError("opened")
        text = str(caught.value)
        assert "bfar=0x90000000" in text and "board qemu-m4" in text, timed


def test_outputs_are_the_same_where_time_does_not_count(sine):
    """Bytes for the board then go by shared memory, here more than one turn of it."""
    checks = checks_for(sine)
    turns = 70_000 // len(checks.inputs)
    with open_board(REGISTRY["qemu-m4"], sine, PROJECT, RigOptions(timed=False)) as opened:
        outputs = opened.dut.infer(np.tile(checks.inputs, (turns, 1))).outputs
        opened.dut.reset()
        again = opened.dut.infer(checks.inputs).outputs
    np.testing.assert_array_equal(outputs, np.tile(again, (turns, 1)))
    np.testing.assert_array_equal(again, sine.goldens.outputs)


def test_instruction_counts_are_equal_over_starts(sine):
    counts = set()
    for _ in range(3):
        with open_board(REGISTRY["qemu-m4"], sine, PROJECT, RigOptions()) as opened:
            measured = opened.dut.measure(checks_for(sine).inputs[:1], 100)
            ns = opened.declared.ns_per_instruction
            counts |= set(measured.timer.instructions(measured.ticks, ns).tolist())
    assert len(counts) == 1


def test_a_corrupting_line_gives_no_wrong_tensor_and_counts_its_retries(sine):
    patient = LinkOptions(timeout_s=0.05, attempts=200, silent_attempts=200)
    port = "virtual:?flip=0.01&seed=5"
    options = RigOptions(port=port, link=patient)
    samples = np.random.default_rng(3).integers(-128, 128, 3000).astype(np.int8)
    with open_board(REGISTRY["virtual"], sine, PROJECT, options) as opened:
        answered = opened.dut.infer(samples)
        golden = opened.references.golden
        expected = run_batch(golden, samples, sine.inputs[0]).outputs
        np.testing.assert_array_equal(answered.outputs, expected)
        stats = opened.dut.link.stats
    assert 0 < answered.retries <= stats.retries
    assert stats.retries <= stats.timeouts + stats.refused_frames + stats.bad_frames


@pytest.mark.parametrize(
    ("fault", "culprit"), [("wrong_output=1", Culprit.KERNEL), ("wrong_output=7", Culprit.BOARD)]
)
def test_wrong_outputs_are_attributed(sine, fault, culprit):
    with open_board(
        REGISTRY["virtual"], sine, PROJECT, RigOptions(port=f"virtual:?{fault}")
    ) as opened:
        compared = opened.comparison()
    assert compared.verdict is Verdict.MISMATCH
    assert compared.culprit is culprit
    assert {item.first for item in compared.differences} >= {"board virtual", "staged"}


def test_a_library_that_ignores_all_scales_but_the_first_is_caught_and_its_kernels_blamed(
    sine, tmp_path
):
    path = tmp_path / "dense.tflite"
    path.write_bytes(per_channel(sine.content))
    dense = inspect_model(path)
    assert dense.per_channel_dense
    ignoring = replace(dense, content=first_scales_only(dense.content))
    inputs = checks_for(sine).inputs
    golden, board = (
        run_batch(TflmInterpreter(model.content, name=model.name), inputs, dense.inputs[0]).reading
        for model in (dense, ignoring)
    )
    compared = compare(spec=dense.outputs[0], board=board, golden=golden, repeated=(board, board))
    assert compared.verdict is Verdict.MISMATCH and compared.culprit is Culprit.KERNEL
    assert compared.mismatches > 200


@pytest.mark.parametrize("board_id", ["qemu-m4", "nucleo-f446re"])
def test_faults_asked_of_a_board_that_is_not_virtual_are_refused(sine, board_id):
    port = "virtual:?flip=0.01"
    plugged = Plugged(id=board_id, kind=board_id, port=port)
    for options in (RigOptions(port=port), RigOptions(plugged=plugged)):
        with pytest.raises(WrongUse, match="only the virtual board can inject faults") as caught:
            with open_board(REGISTRY[board_id], sine, PROJECT, options):
                raise AssertionError("opened")
        assert caught.value.where == Where(board=board_id, port=port)


def test_a_runtime_the_board_lacks_is_named_with_those_it_has(sine):
    with (
        pytest.raises(UnknownName, match="'tvm'; known: aot, tflm"),
        open_board(REGISTRY["qemu-m4"], sine, PROJECT, RigOptions(runtime="tvm")),
    ):
        raise AssertionError("opened")


@pytest.mark.parametrize(
    ("macs", "side", "sent", "expected"),
    [
        (288, 1, True, 300),  # the sine: all
        (6_000_000, 1, False, 16),  # 60 ms each: as many as fit into a second
        (300_000_000, 1, False, 4),  # 3 s each: the least
        (0, 100, True, 4),  # 10000 bytes, of 25 us each
        (0, 100, False, 300),
    ],
)
def test_slow_models_are_asked_for_fewer_invokes(sine, macs, side, sent, expected):
    spec = replace(sine.inputs[0], shape=(1, side, side))
    model = replace(sine, macs=macs, inputs=(spec,))
    assert affordable(model, 300, sent=sent) == expected
    assert affordable(model, 3, sent=sent) == 3


def test_large_pictures_are_compared_on_the_first_goldens_only(sine):
    whole = checks_for(sine)
    assert len(whole.inputs) == len(whole.goldens.inputs) == 256
    horse = resolve_model("horse_or_human", PROJECT.artifacts)
    few = checks_for(horse)
    assert len(few.inputs) == len(few.goldens.outputs) == len(few.goldens.labels) == 32
    np.testing.assert_array_equal(few.inputs, horse.goldens.inputs[:32])


def test_picture_larger_than_a_frame_takes_one_invoke_and_its_transfer_is_apart(tmp_path):
    horse = resolve_model("horse_or_human", PROJECT.artifacts)
    board = REGISTRY["virtual"]
    with open_board(board, horse, PROJECT, RigOptions()) as opened:
        dut = opened.dut
        assert dut.input.size_bytes == 96 * 96 * 3 > dut.hello.max_payload
        assert not dut.hello.capabilities & Capability.INFER
        answered = dut.infer(horse.goldens.inputs[:2])
        assert len(answered.ticks) == 2
        np.testing.assert_array_equal(answered.outputs, horse.goldens.outputs[:2])
        measured = dut.measure(horse.goldens.inputs[:1], 3)
        assert len(measured.ticks) == 3 and measured.link_us > 0


@pytest.mark.parametrize(
    ("option", "by_rig", "by_board", "expected"),
    [(None, None, None, None), (None, None, 3, 3), (None, 2, 3, 2), (1, 2, 3, 1)],
)
def test_the_most_baud_is_said_by_the_run_the_rig_file_or_the_board(
    option, by_rig, by_board, expected
):
    board = replace(REGISTRY["nano33ble"], most_baud=by_board)
    plugged = Plugged(id="left", kind="nano33ble", most_baud=by_rig)
    options = RigOptions(most_baud=option, plugged=plugged)
    line = options.line_to(board)
    assert (line.most_baud, line.native_usb, line.baud) == (expected, True, 115200)
    assert replace(options, port="/dev/x").line_to(board).slow is line.slow  # For a whole run.
