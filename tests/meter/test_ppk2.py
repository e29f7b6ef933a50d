from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ppk2lab", reason="the extra ppk2 is not installed")

import ppk2lab.device
from fakes.instruments import until
from fakes.ppk2 import PIN, AtPty, LoadedPpk2, at_port, opened
from fakes.supply import Errors, Load
from ppk2lab.calibration import SpikeFilter
from ppk2lab.protocol.commands import Opcode
from ppk2lab.protocol.samples import SampleBlock, pack_sample
from ppk2lab.testing import ArrayProfile
from ppk2lab.transport.mock import SimulatedPPK2

from harness.errors import CannotTell, MeterError
from harness.measure.energy import Energy, Trace, energy_of, find_windows
from harness.meter.meter import MeterSpec, open_meter
from harness.meter.ppk2 import Ppk2Meter
from harness.meter.ppk2_capture import Settling, chained, current_table, following

LOAD = Load(windows=2, inferences=10, first_s=0.1, gap_s=0.1)


def spec(pin: int | None = PIN, volts: float | None = 3.0, **options: Any) -> MeterSpec:
    return MeterSpec(kind="ppk2", volts=volts, pin=pin, options=options)


def taken(simulator: LoadedPpk2, given: MeterSpec) -> Trace:
    with Ppk2Meter(given, device=opened(simulator)) as meter:
        meter.arm()
        until(lambda: all_taken(meter, simulator))
        return meter.disarm()


def all_taken(meter: Any, simulator: LoadedPpk2) -> bool:
    """Whether the capture has brought all samples of the load, or has failed."""
    capture = getattr(meter, "_meter", meter)._capture
    return capture.ended() or capture.taken_s >= simulator.load_s


def energy(trace: Trace, load: Load = LOAD) -> Energy:
    windows = find_windows(trace, count=load.windows, length_s=load.length_s)
    return energy_of(trace, windows=windows, inferences=load.inferences, subtract_idle=True)


@pytest.mark.parametrize("pin", (PIN, None))
def test_known_joules_come_out_of_the_stream_of_a_ppk2(pin: int | None) -> None:
    errors = Errors(rate_hz=100e3, noise_amps=1e-4, gain=0.03, lost=((5000, 13), (26000, 40)))
    trace = taken(LoadedPpk2(LOAD, errors), spec(pin))
    assert trace.simulated and trace.rate_hz == pytest.approx(100e3)
    assert trace.lost == 53 and trace.gaps[0] == pytest.approx((0.05, 0.05013))
    found = energy(trace)
    assert found.found_by == ("current" if pin is None else "pin")
    # Nordic's 10 % of gain are most of it.
    assert abs(found.energy_j - LOAD.net_j) < found.uncertainty_j < 0.2 * LOAD.net_j
    assert found.uncertainty_of_run_j < 0.01 * LOAD.net_j


def test_what_a_calibration_states_stands_in_the_place_of_nordics_figures() -> None:
    given = spec(gain_error=0.01, offset_amps=1e-6, resolution_amps=1e-7, volts_error=0.0)
    found = energy(taken(LoadedPpk2(LOAD, Errors(rate_hz=100e3, gain=0.01)), given))
    assert abs(found.energy_j - LOAD.net_j) < found.uncertainty_j < 0.02 * LOAD.net_j


def test_identity_and_what_is_sent_in_ampere_mode_switches_nothing_on() -> None:
    simulator = LoadedPpk2(LOAD, serial_number="D1A2")
    with Ppk2Meter(spec(), device=opened(simulator)) as meter:
        assert str(meter.identity) == "simulated ppk2 D1A2"
        assert meter.identity.firmware == "1.2.4-sim"
    sent = [opcode for opcode, _ in simulator.command_log]
    assert Opcode.SET_DUT_POWER not in sent and Opcode.RESET not in sent
    assert (Opcode.SET_MODE, b"\x01") in simulator.command_log


def test_in_source_mode_it_is_the_supply_until_it_is_closed() -> None:
    simulator = LoadedPpk2(LOAD)
    with Ppk2Meter(spec(mode="source", volts=1.8), device=opened(simulator)):
        assert simulator.dut_power and simulator.vdd_mv == 1800
    assert not simulator.dut_power


def test_as_a_supply_it_sources_whatever_its_mode_is_by_default() -> None:
    simulator = LoadedPpk2(LOAD)
    with Ppk2Meter(replace(spec(volts=1.8), supply=True), device=opened(simulator)):
        assert simulator.dut_power and simulator.vdd_mv == 1800
    assert not simulator.dut_power
    with pytest.raises(MeterError, match="no supply in mode ampere"):
        Ppk2Meter(replace(spec(mode="ampere"), supply=True), device=opened(simulator))


def test_which_it_is_is_told_without_switching_anything() -> None:
    simulator = LoadedPpk2(LOAD, serial_number="D1A2")
    found = Ppk2Meter.look(spec(mode="source"), device=opened(simulator))
    assert found.serial_number == "D1A2"
    sent = {opcode for opcode, _ in simulator.command_log}
    assert sent <= {Opcode.STOP_MEASURING, Opcode.GET_METADATA} and not simulator.dut_power


def test_never_more_volts_than_the_rig_file_says() -> None:
    simulator = LoadedPpk2(LOAD)
    with Ppk2Meter(spec(mode="source"), device=opened(simulator)) as meter:
        with pytest.raises(MeterError, match="3.3 V are above the 3 V of the rig file"):
            meter.arm(3.3)
        meter.arm(2.5)
        assert simulator.vdd_mv == 2500
        meter.disarm()


def test_unplugged_in_mid_window() -> None:
    simulator = LoadedPpk2(LOAD)
    with Ppk2Meter(spec(), device=opened(simulator)) as meter:
        meter.arm()
        simulator.unplug_after = 0
        until(meter._capture.ended)
        with pytest.raises(MeterError, match="lost while it sampled: stream interrupted"):
            meter.disarm()
        with pytest.raises(MeterError, match="not armed"):
            meter.disarm()


def test_a_current_above_its_range_is_no_current() -> None:
    simulator = LoadedPpk2(replace(LOAD, active_amps=1.2))
    with Ppk2Meter(spec(), device=opened(simulator)) as meter:
        meter.arm()
        until(lambda: all_taken(meter, simulator))
        with pytest.raises(CannotTell, match="current is above what the meter measures"):
            meter.disarm()


EXACT = spec(gain_error=0.0, offset_amps=0.0, resolution_amps=1e-7, volts_error=0.0)


def crossing(inference_s: float, levels: tuple[float, ...], active_amps: float = 5e-3) -> Load:
    """Windows of 0.1 s of invokes that cross 5 mA, where ranges change."""
    count = round(0.1 / inference_s)
    return replace(
        LOAD, inference_s=inference_s, inferences=count, active_amps=active_amps, levels=levels
    )


def test_changes_of_range_in_every_invoke_cost_nothing_where_each_has_time_to_settle() -> None:
    load = crossing(2e-4, (0.2, 1.8))
    found = energy(taken(LoadedPpk2(load), EXACT), load)
    assert found.energy_j == pytest.approx(load.net_j, rel=2e-3)
    assert found.uncertainty_j < 0.01 * load.net_j


def test_pulses_shorter_than_a_change_of_range_are_uncertain_not_wrong() -> None:
    # 10 us above 5 mA of each 100 us: a filter that holds three samples leaves it out.
    load = crossing(1e-4, (*(0.5,) * 9, 5.5), active_amps=3e-3)
    found = energy(taken(LoadedPpk2(load), EXACT), load)
    assert found.energy_j == pytest.approx(load.net_j, rel=5e-3)
    assert found.parts.ranges > 0.2 * load.net_j


def test_spikes_after_changes_of_range_are_within_the_uncertainty() -> None:
    load = crossing(2e-4, (0.2, 1.8))
    spiky = Errors(rate_hz=100e3, spikes=(0.3, 0.1, 0.02))
    found = energy(taken(LoadedPpk2(load, spiky), EXACT), load)
    assert 0.05 * load.net_j < found.energy_j - load.net_j < found.uncertainty_j


def test_changes_of_range_that_follow_each_other_before_they_settle() -> None:
    ranges = np.array([2, 2, 3, 2, 2, 2, 2, 2, 3, 3, 3, 3, 2, 2], np.uint8)
    # Of a pulse of one sample all four; of one of four samples none.
    assert np.flatnonzero(chained(ranges)).tolist() == [2, 3, 4, 5]
    assert not chained(ranges[:1]).any() and not chained(ranges[:2]).any()


def test_a_sample_at_the_end_of_a_range_that_changes_next_is_up_to_what_follows() -> None:
    amps, full = np.array([1.0, 5.0, 5.0, 20.0, 5.0]), np.array([False, True, True, False, True])
    assert following(amps, ~full).tolist() == [1.0, 20.0, 20.0, 20.0, 5.0]


def test_a_gap_of_unknown_length_leaves_a_mark() -> None:
    simulator = LoadedPpk2(LOAD)
    # A byte is missing in the first window: the parser loses the framing, and finds it again.
    words = simulator._words.tobytes()
    cut = words[: 4 * 15_001] + words[4 * 15_001 + 1 :]
    simulator._words = np.frombuffer(cut[: len(cut) // 4 * 4], np.uint32)
    simulator.load_s -= 0.05
    trace = taken(simulator, spec())
    assert any(begin == end for begin, end in trace.gaps)
    with pytest.raises(CannotTell, match="unknown number of samples was lost"):
        energy(trace)


@pytest.mark.parametrize(
    ("given", "said"),
    (
        (spec(volts=None), "voltage of the board's supply is not known"),
        (spec(pin=8), "channels 0 to 7"),
        (spec(mode="both"), "mode must be ampere or source"),
        (spec(colour=1), "colour is not a known key"),
        (spec(volts=5.5), "5000"),
    ),
)
def test_a_wrong_rig_file_is_refused(given: MeterSpec, said: str) -> None:
    with pytest.raises(MeterError, match=said):
        Ppk2Meter(given, device=opened(LoadedPpk2(LOAD)))


def test_without_an_instrument_it_says_which_was_looked_for() -> None:
    given = MeterSpec(kind="ppk2", serial_number="NOSUCH", volts=3.0)
    with pytest.raises(MeterError, match="NOSUCH.*board left, meter ppk2 NOSUCH"):
        open_meter(given, board="left", lock_timeout_s=0)


def test_two_are_told_apart_by_port_each_with_its_own_current(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = replace(LOAD, active_amps=6e-3)
    simulators = {"/dev/hil-A": LoadedPpk2(LOAD), "/dev/hil-B": LoadedPpk2(other)}
    monkeypatch.setattr(ppk2lab.device, "_transport_factory", at_port(dict(simulators)))
    specs = [replace(spec(), port=port) for port in simulators]
    with (
        open_meter(specs[0], lock_timeout_s=0) as one,
        open_meter(specs[1], lock_timeout_s=0) as two,
    ):
        one.arm()
        two.arm()
        first, second = simulators.values()
        until(lambda: all_taken(one, first) and all_taken(two, second))
        assert energy(one.disarm()).energy_j == pytest.approx(LOAD.net_j, rel=0.01)
        assert energy(two.disarm(), other).energy_j == pytest.approx(other.net_j, rel=0.01)


def test_over_a_serial_port_that_goes_away() -> None:
    simulator = LoadedPpk2(LOAD)
    instrument = AtPty(simulator)
    with open_meter(replace(spec(), port=instrument.path), lock_timeout_s=0) as meter:
        assert str(meter.identity) == "ppk2" and not meter.identity.simulated
        meter.arm()
        until(lambda: all_taken(meter, simulator))
        assert energy(meter.disarm()).energy_j == pytest.approx(LOAD.net_j, rel=0.01)
        meter.arm()
        instrument.unplug()
        until(meter._meter._capture.ended)
        with pytest.raises(MeterError, match=f"lost while it sampled.*port {instrument.path}"):
            meter.disarm()


def test_currents_and_settling_are_ppk2labs_own() -> None:
    rng = np.random.default_rng(0)
    simulator = SimulatedPPK2(profile=ArrayProfile([1.0]))
    device = opened(simulator)(spec())
    ranges = rng.integers(0, 5, 40).repeat(rng.integers(1, 7, 40))
    codes = rng.integers(0, 1 << 14, len(ranges))
    words = [
        pack_sample(int(c), int(r), n % 64, 0)
        for n, (c, r) in enumerate(zip(codes, ranges, strict=True))
    ]
    from array import array

    block = SampleBlock(0, array("I", words))
    assert device.calibration is not None
    theirs = device.calibration.convert_block(block, 3000)
    ours = current_table(device.calibration, 3.0)[ranges, codes] * 1e6
    assert ours == pytest.approx(theirs)
    settling = Settling()
    pieces = np.split(np.arange(len(ranges)), [1, 2, 5, 40, 41])
    held = [settling.settled(ours[piece], ranges[piece].astype(np.uint8)) for piece in pieces]
    assert np.concatenate(held) == pytest.approx(
        SpikeFilter().apply(theirs, bytes(ranges.tolist()))
    )
    device.close()
