"""A meter that is its board's supply: on while the board is held, whatever is measured."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.told_meter import ToldMeter

from harness.board.meters import MeterSpec
from harness.board.ports import Bench, SerialPort
from harness.board.registry import load_registry
from harness.board.rigfile import Plugged
from harness.errors import MeterError
from harness.meter.csvfile import CsvMeter
from harness.meter.meter import Meter
from harness.rig.keeper import Keeper
from harness.rig.metering import BoardMeter
from harness.rig.open import RigOptions
from harness.rig.supply import Supplies

SPEC = MeterSpec(kind="told", serial_number="M1", supply=True)
LEFT = Plugged(id="left", kind="nano33ble", serial_number="0123", meter=SPEC)
BOARD = replace(load_registry()["nano33ble"], id="left")


class Opener:
    """Opens meters that are told, and remembers them; `fails` times it does not."""

    def __init__(self, fails: int = 0) -> None:
        self.opened: list[ToldMeter] = []
        self.fails = fails

    def __call__(self, spec: MeterSpec) -> Meter:
        if self.fails:
            self.fails -= 1
            raise MeterError("it is not there", hint="Plug it in.")
        self.opened.append(ToldMeter())
        return self.opened[-1]

    @property
    def on(self) -> list[bool]:
        return [not meter.closed for meter in self.opened]


class Ports:
    """A board whose port appears in the third listing after its supply was switched on."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.listings = 0
        self.now = 0.0

    def __call__(self) -> tuple[SerialPort, ...]:
        self.listings += any(self._opener.on)
        here = self.listings >= 3
        return (SerialPort(path="/dev/x", serial_number="0123"),) if here else ()

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def bench(self) -> Bench:
        return Bench(ports=self, clock=lambda: self.now, sleep=self.sleep)


def held(opener: Opener, plugged: Plugged = LEFT) -> RigOptions:
    return RigOptions(plugged=plugged, supplies=Supplies(opener))


def test_a_board_has_power_from_when_it_is_held_until_it_is_let_go() -> None:
    opener = Opener()
    ports, options = Ports(opener), held(opener)
    with options.hold(BOARD, ports.bench()):
        assert opener.on == [True] and ports.listings == 3
        with options.hold(BOARD, ports.bench()):  # For a second build, as of a profile.
            assert opener.on == [True] and ports.listings == 3
        assert opener.on == [True]
    assert opener.on == [False]


def test_power_stays_on_between_two_openings_of_a_board_that_is_kept() -> None:
    opener = Opener()
    supplies = Supplies(opener)
    with Keeper() as keeper:
        for _ in range(2):
            options = RigOptions(plugged=LEFT, supplies=supplies, keeper=keeper)
            with BoardMeter(LEFT, "left", supplies=options.supplies) as meter:
                with options.hold(BOARD, Ports(opener).bench()):
                    assert meter.get() is opener.opened[0]
            assert opener.on == [True]
    assert opener.on == [False]


def test_a_port_that_does_not_appear_is_waited_for_as_long_as_the_rig_file_says() -> None:
    opener = Opener()
    ports = Ports(opener)
    ports.listings = -(10**6)
    with held(opener).hold(BOARD, ports.bench()):
        assert ports.now == pytest.approx(LEFT.deadlines.port_s, abs=0.5)


def test_a_port_that_is_named_goes_before_the_serial_number_there_too() -> None:
    opener = Opener()
    ports = Ports(opener)
    options = replace(held(opener), port="/dev/x")
    with options.hold(BOARD, ports.bench()):
        assert opener.on == [True] and ports.now < LEFT.deadlines.port_s


@pytest.mark.parametrize("plugged", (replace(LEFT, meter=replace(SPEC, supply=False)), None))
def test_no_other_meter_is_opened_for_a_board(plugged: Plugged | None) -> None:
    opener = Opener()
    with RigOptions(plugged=plugged, supplies=Supplies(opener)).hold(BOARD):
        assert opener.opened == []


def test_a_board_whose_supply_is_not_there_says_so_at_once() -> None:
    with pytest.raises(MeterError, match="not there; it is the supply .*no power without it") as e:
        with held(Opener(fails=1)).hold(BOARD):
            pass
    assert "Plug it in." in str(e.value)


def test_energy_is_measured_with_the_meter_that_is_open_already() -> None:
    opener = Opener()
    options = held(opener)
    meter = BoardMeter(LEFT, "left", supplies=options.supplies)
    with ExitStack() as stack:
        stack.enter_context(meter)
        meter.begin()  # Before the board, as --energy does it.
        stack.enter_context(options.hold(BOARD, Ports(opener).bench()))
        assert meter.get() is opener.opened[0]
        meter.close()
        assert opener.on == [True]
    assert opener.on == [False]


def test_a_supply_that_fails_is_opened_anew_for_its_board() -> None:
    opener = Opener()
    options = held(opener)
    with options.hold(BOARD, Ports(opener).bench()):
        options.supplies.fail(SPEC, "left")
        assert opener.on == [False, True]
        opener.fails = 1
        options.supplies.fail(SPEC, "left")
        assert opener.on == [False, False]
        assert options.supplies.take(SPEC, "left") is opener.opened[-1]
        options.supplies.give_back(SPEC)
        assert opener.on == [False, False, True]
    assert opener.on == [False, False, False]


def test_mode_source_of_a_ppk2_says_that_it_is_the_supply() -> None:
    assert MeterSpec(kind="ppk2", options={"mode": "source"}).powers
    assert not MeterSpec(kind="ppk2").powers
    assert not MeterSpec(kind="other", options={"mode": "source"}).powers


def test_a_kind_that_powers_nothing_is_no_supply(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="a meter of kind csv powers no board"):
        CsvMeter(MeterSpec(kind="csv", path=str(tmp_path), supply=True))
