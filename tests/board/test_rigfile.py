from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fakes.toml_values import VALUES, written
from hypothesis import given
from hypothesis import strategies as st

from harness.board.registry import Registry, load_registry
from harness.board.rigfile import Deadlines, RigFile, load_rig, parse_rig
from harness.errors import RigError

ROOT = Path(__file__).parents[2]
REGISTRY = load_registry()

EXAMPLE = """
[boards.left]
kind = "qemu-m4"
serial_number = "0001"
power_cycle = "uhubctl -a cycle -l 1-1 -p 2"
deadlines = { port_s = 20 }
budget_us = { sine = 400 }

[boards.right]
kind = "qemu-m4"
port = "rfc2217://bench:4000"

[boards.virtual]

[[quarantine]]
board = "left"
test = "test_latency*"
reason = "loose crystal, bench ticket 12"
since = 2026-11-20
"""


@pytest.fixture
def registry() -> Registry:
    return REGISTRY


def test_rig_file_says_what_is_plugged_in(registry: Registry) -> None:
    rig = parse_rig(EXAMPLE, registry)
    left, right = rig.plugged("left"), rig.plugged("right")
    assert left is not None and right is not None
    assert (left.kind, left.serial_number, left.port) == ("qemu-m4", "0001", None)
    assert left.deadlines == Deadlines(port_s=20) and left.budget_us == {"sine": 400}
    assert right.port == "rfc2217://bench:4000" and right.deadlines == Deadlines()
    assert rig.plugged("qemu-m4") is None


def test_its_boards_join_the_registry_under_their_own_ids(registry: Registry) -> None:
    extended = parse_rig(EXAMPLE, registry).extend(registry)
    assert (extended["left"].id, extended["left"].kind) == ("left", "qemu-m4")
    assert extended["left"].emulator == registry["qemu-m4"].emulator
    assert sorted(extended.ids) == sorted([*registry.ids, "left", "right"])


def test_quarantine_covers_tests_by_pattern_and_board(registry: Registry) -> None:
    rig = parse_rig(EXAMPLE, registry)
    entry = rig.quarantined("left", "test_latency_is_measured[left-sine]")
    assert entry is not None and entry.since == date(2026, 11, 20)
    assert rig.quarantined("right", "test_latency_is_measured[right-sine]") is None
    assert rig.quarantined("left", "test_outputs[left-sine]") is None


OWN = """
[boards.mine]
description = "a board of my own"
attachment = "emulator"
mcu = "Cortex-M4F"
clock_hz = 25_000_000
ram_bytes = 65_536
runtimes = ["aot"]
env.aot = "mine-aot"
emulator = { machine = "mps2-an386", icount_shift = 7 }
budget_us = { sine = 400 }

[boards.mine-sim]
description = "its chip, simulated"
attachment = "sim"
runs = "nrf52840dk"
simulator = { chip = "nrf52840" }
"""


def test_a_board_may_be_wholly_in_the_rig_file(registry: Registry) -> None:
    rig = parse_rig(OWN, registry)
    extended = rig.extend(registry)
    mine, plugged = extended["mine"], rig.plugged("mine")
    assert (mine.id, mine.kind, mine.ram_bytes) == ("mine", "mine", 65_536)
    assert mine.emulator is not None and mine.emulator.machine == "mps2-an386"
    assert plugged is not None and plugged.budget_us == {"sine": 400}
    assert extended.ids == [*registry.ids, "mine", "mine-sim"]


def test_its_simulated_board_inherits_of_the_registry(registry: Registry) -> None:
    simulated, real = parse_rig(OWN, registry).extend(registry)["mine-sim"], registry["nrf52840dk"]
    assert (simulated.env, simulated.mcu, simulated.kind) == (real.env, real.mcu, real.id)


@pytest.mark.parametrize(
    "old, new, named",
    [
        ("25_000_000", '"fast"', 'boards.mine.clock_hz must be an integer, not the string "fast"'),
        ("ram_bytes", "ram_byte", "boards.mine.ram_byte is not a known key .did you mean ram_byt"),
        ("budget_us", "budgets_us", "mine.budgets_us is not a known key .did you mean budget_us"),
        ('mcu = "Cortex-M4F"', "", "boards.mine.mcu is missing: it must be a printable string"),
        ('"mps2-an386"', '"-kernel"', "boards.mine.emulator: machine '-kernel' must be letters"),
        ("boards.mine]", "boards.qemu-m4]", "boards.qemu-m4: the registry has a board of this id"),
        ('"nrf52840dk"', '"pico-sim"', "mine-sim.runs: it must be the id of a real board"),
        ('mcu = "', 'kind = "pico"\nmcu = "', "boards.mine.kind is not a known key"),
    ],
)
def test_what_is_wrong_in_a_board_of_its_own_is_named(
    old: str, new: str, named: str, registry: Registry
) -> None:
    assert old in OWN
    with pytest.raises(RigError, match=named) as caught:
        parse_rig(OWN.replace(old, new, 1), registry, Path("rig.toml"))
    assert str(caught.value).startswith("rig file rig.toml: ")


def test_an_unknown_board_says_how_to_describe_one(registry: Registry) -> None:
    with pytest.raises(RigError, match="A board of your own needs `attachment`"):
        parse_rig("[boards.left]", registry)


@pytest.mark.parametrize(
    "text, named",
    [
        ("[boards", "not TOML"),
        ("[ports]", "ports is not a known key .known: boards, quarantine"),
        ("[boards]\nleft = 1", "boards.left must be a table, not the integer 1"),
        ("[boards.left]", "boards.left.kind: unknown board 'left'; known: .*qemu-m4"),
        ('[boards.left]\nkind = "qemu"', "unknown board 'qemu'"),
        (
            "[boards.qemu-m4]\nserial = 1",
            "boards.qemu-m4.serial is not a known key .did you mean serial_number",
        ),
        ('[boards.qemu-m4]\nport = "a"\nserial_number = "b"', "serial_number or port, not both"),
        (
            "[boards.qemu-m4.deadlines]\nport_s = 0",
            "boards.qemu-m4.deadlines: port_s must be above 0, not 0",
        ),
        (
            "[boards.qemu-m4.deadlines]\nport = 1",
            "boards.qemu-m4.deadlines.port is not a known key .did you mean port_s",
        ),
        (
            '[boards.virtual]\nport = "p"\n[boards.qemu-m4]\nport = "p"',
            "boards virtual and qemu-m4 have the same port p",
        ),
        ('[[quarantine]]\nboard = "qemu-m4"', "quarantine entry 1: .*reason"),
        (
            "[boards.qemu-m4]\nserial_number = 12345",
            "boards.qemu-m4.serial_number must be a printable string, not the integer 12345",
        ),
        (
            "[boards.qemu-m4]\nbudget_us = 5",
            "boards.qemu-m4.budget_us must be a table, not the integer 5",
        ),
        (
            "[boards.qemu-m4.budget_us]\nsine = true",
            "boards.qemu-m4.budget_us.sine must be a number, not the boolean true",
        ),
        (
            '[boards.qemu-m4.tolerance]\nsine = "1 mile"',
            "tolerance.sine is '1 mile': it takes 1lsb, 4ulp, 1e-6 or exact",
        ),
        ("[boards.qemu-m4.budget_us]\nsine = -1", "budget_us.sine must be above 0, not -1"),
        ("[boards.qemu-m4.budget_us]\nsine = nan", "budget_us.sine must be a number"),
        ('[boards.qemu-m4]\nport = ""', "boards.qemu-m4: .*port .*must not be empty"),
        ('[boards.qemu-m4]\npower_cycle = " "', "power_cycle must not be empty"),
        ('[boards.qemu-m4]\nport = "socket://[::1"', "is no URL: Invalid IPv6 URL"),
        ('[boards.qemu-m4]\nport = "rfc2217://h:70000"', "is no URL: Port out of range"),
        ('[boards."../x"]\nkind = "qemu-m4"', "a board's name must be letters"),
        ("[boards.-left]\nkind = 'qemu-m4'", "a board's name must be letters"),
        ("[boards.virtual]\nserial_number = '0A1B; reboot'", "'0A1B; reboot' must be letters"),
        ("[boards.virtual]\nserial_number = '-f'", "serial_number '-f' must be letters"),
        (
            '[[quarantine]]\nboard = "virtual"\nreason = "r"\nsince = 2026-01-01T10:00:00',
            "quarantine entry 1: since must be a date, not the date-time 2026-01-01 10:00:00",
        ),
        (
            '[[quarantine]]\nboard = "x"\nreason = "r"\nsince = 2026-01-01',
            "unknown board 'x'",
        ),
    ],
)
def test_wrong_rig_file_is_refused_with_its_name_and_reason(
    text: str, named: str, registry: Registry
) -> None:
    with pytest.raises(RigError, match=f"(?s)rig file rig.toml: .*{named}"):
        parse_rig(text, registry, Path("rig.toml"))


def test_the_example_in_the_docs_is_a_rig_of_four_boards(registry: Registry) -> None:
    kinds = ("nano33ble", "esp32", "nucleo-f446re", "pico")
    rig = load_rig(ROOT / "docs" / "rig.example.toml", registry)
    assert sorted(board.kind for board in rig.boards) == sorted(kinds)
    nano, far = rig.plugged("nano33ble"), rig.plugged("nucleo-f446re")
    assert nano is not None and nano.budget_us["sine"] > 0 and nano.power is not None
    assert far is not None and far.port is not None and far.port.startswith("rfc2217://")
    assert [board.id for board in rig.neighbours("pico")] == [
        *("nano33ble", "bench-esp32", "nucleo-f446re")
    ]
    assert rig.quarantined("pico", "test_latency_is_measured[pico-sine]") is not None


def test_absent_rig_file_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RigError, match="cannot read rig file .*none.toml"):
        load_rig(tmp_path / "none.toml", registry)


def test_no_rig_file_is_an_empty_rig(registry: Registry) -> None:
    assert load_rig(None, registry) == RigFile()


@pytest.mark.parametrize(
    "content, named",
    [
        (b"a = '\0'", "not TOML"),
        (b"a = '\xff'", "utf-8"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = 0" + b".a" * 50_000, "line 1 has more than 200 dots"),
        (b"#" * 50_000_000, "larger than 200000 bytes"),
        (b"[boards.'\x1b[2J']", "not TOML: .*x1b"),
        (b'[boards."\\u001b[2J"]', r"boards.*u001b\[2J"),
    ],
)
def test_hostile_rig_file_is_refused_by_name_and_nothing_of_it_is_printed_raw(
    content: bytes, named: str, registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "rig.toml"
    path.write_bytes(content)
    with pytest.raises(RigError, match=f"rig file {path}.*{named}") as refused:
        load_rig(path, registry)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 1200


@pytest.mark.parametrize("place", ["/dev/zero", "folder"])
def test_what_is_no_file_is_refused_by_name(place: str, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(RigError, match=f"rig file .*{place}"):
        load_rig(tmp_path / place, registry)


PLACES = (
    *("boards", "quarantine", "boards.virtual", "other"),
    *(f"boards.virtual.{name}" for name in ("id", "kind", "serial_number", "port", "x")),
    *(f"boards.virtual.{name}" for name in ("power_cycle", "deadlines", "budget_us", "tolerance")),
    *("boards.virtual.deadlines.port_s", "boards.virtual.budget_us.sine"),
)
ENTRY = {"board": "virtual", "reason": "r", "since": date(2026, 1, 1)}


def refused_or_read(text: str) -> None:
    try:
        assert isinstance(parse_rig(text, REGISTRY, Path("rig.toml")), RigFile)
    except RigError as error:
        assert str(error).startswith("rig file rig.toml: ")
        assert str(error).replace("\n", "").isprintable()


@given(st.sampled_from(PLACES), VALUES)
def test_any_value_at_any_key_is_a_rig_or_an_error_that_names_the_file(
    place: str, value: Any
) -> None:
    refused_or_read(f"{place} = {written(value)}")


@given(st.sampled_from([*ENTRY, "test", "x"]), VALUES)
def test_any_value_in_a_quarantine_is_read_or_refused_by_name(key: str, value: Any) -> None:
    refused_or_read(f"quarantine = [{written({**ENTRY, key: value})}]")


def test_the_error_that_the_docs_show_is_the_one_given(registry: Registry) -> None:
    text = "[boards.nano33ble]\nserial_number = 12345"
    with pytest.raises(RigError) as refused:
        parse_rig(text, registry, Path("rig.toml"))
    shown = refused.value.what.removeprefix("rig file rig.toml: ")
    assert f"`{shown}`" in (ROOT / "docs" / "rig.md").read_text()


def with_pin(board: str, pin: object) -> str:
    return f"[boards.{board}]\nwindow_pin = {pin}\n"


@pytest.mark.parametrize(
    ("board", "pin"),
    [("nano33ble", 7), ("nrf52840dk-sim", 33), ("qemu-m55", 9), ("esp32", 4), ("pico", 15)],
)
def test_a_pin_that_is_free_marks_windows(registry: Registry, board: str, pin: int) -> None:
    plugged = parse_rig(with_pin(board, pin), registry).plugged(board)
    assert plugged is not None and plugged.window_pin == pin


@pytest.mark.parametrize(
    ("board", "pin", "said"),
    [
        ("nrf52840dk", 6, "pin 6 is TXD of the UART; free are 3, 4, 26 to 31, 33 to 40, 42 to 47"),
        ("nrf52840dk-sim", 13, "pin 13 is LED 1, which would draw current of its own; free"),
        ("nucleo-f446re", 0, "pin 0 is RX of the ST-Link's UART; free are 2 to 12, 14, 15"),
        ("pico", 30, "there is no pin 30, or none that is led out; free are 0 to 22, 26 to 28"),
        ("qemu-m4", -1, "there is no pin -1, or none that is led out; free are 0, 1 (the FPGA's"),
        ("virtual", 1, "board virtual cannot: its port drives no pin"),
        ("qemu-rv32", 1, "board qemu-rv32 cannot: its port drives no pin"),
        ("nano33ble", '"D7"', 'must be an integer, not the string "D7"'),
    ],
)
def test_a_pin_that_is_not_free_is_refused_with_those_that_are(
    registry: Registry, board: str, pin: object, said: str
) -> None:
    with pytest.raises(RigError) as caught:
        parse_rig(with_pin(board, pin), registry)
    assert f"boards.{board}.window_pin" in str(caught.value) and said in str(caught.value)


def test_a_board_under_a_name_of_its_own_has_the_pins_of_its_kind(registry: Registry) -> None:
    text = '[boards.left]\nkind = "nrf52840dk"\nwindow_pin = 8\n'
    with pytest.raises(RigError, match="pin 8 is RXD of the UART"):
        parse_rig(text, registry)


def test_firmware_that_is_not_ours_marks_windows_by_its_own_port(registry: Registry) -> None:
    text = """[boards.own]
description = "mine"
attachment = "serial"
mcu = "x"
clock_hz = 1
runtimes = ["aot"]
window_pin = 3
port = "/dev/null"
build = { project = "/tmp", command = ["make"], elf = "a.elf" }
"""
    with pytest.raises(RigError, match="by `window` of its hil_port"):
        parse_rig(text, registry)


METERED = """
[boards.left]
kind = "nano33ble"
window_pin = 7
budget_uj = { sine = 12.5 }

[boards.left.meter]
kind = "ppk2"
serial_number = "D1A2B3"
volts = 3.0
pin = 0
options = { gain_error = 0.01, range = "auto" }
"""


def test_a_board_has_its_meter(registry: Registry) -> None:
    left = parse_rig(METERED, registry).plugged("left")
    assert left is not None and left.meter is not None
    assert (left.meter.kind, left.meter.serial_number, left.meter.volts) == ("ppk2", "D1A2B3", 3.0)
    assert left.meter.pin == 0 and left.budget_uj == {"sine": 12.5}
    assert left.meter.options == {"gain_error": 0.01, "range": "auto"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("volts = 3.0", 'volts = "3 V"', 'left.meter.volts must be a number, not the string "3 V"'),
        ("volts = 3.0", "volts = -1.0", "boards.left.meter: volts must be above 0"),
        ("volts = 3.0", "volt = 3.0", "left.meter.volt is not a known key (did you mean volts?)"),
        ('kind = "ppk2"\n', "", "boards.left.meter.kind is missing: it must be a printable string"),
        ('"ppk2"', '"a b"', "boards.left.meter: a meter's kind must be"),
        ("pin = 0", "pin = 99", "boards.left.meter: pin must be a channel from 0 to 31"),
        ("12.5", "0", "budget_uj.sine must be above 0"),
    ],
)
def test_a_wrong_meter_is_refused_with_its_key(
    registry: Registry, old: str, new: str, said: str
) -> None:
    with pytest.raises(RigError) as caught:
        parse_rig(METERED.replace(old, new, 1), registry)
    assert said in str(caught.value)


def test_a_limit_of_energy_needs_a_meter(registry: Registry) -> None:
    text = METERED.partition("[boards.left.meter]")[0]
    with pytest.raises(RigError, match="budget_uj needs a meter"):
        parse_rig(text, registry)


def test_two_boards_do_not_share_a_meter(registry: Registry) -> None:
    other = METERED.replace("boards.left", "boards.right")
    with pytest.raises(RigError, match="boards left and right have the same meter ppk2 D1A2B3"):
        parse_rig(METERED + other, registry)
    parse_rig(METERED + other.replace("D1A2B3", "D1A2B4"), registry)
    simulated = (METERED + other).replace('"ppk2"', '"simulated"').replace("D1A2B3", "X")
    parse_rig(simulated, registry)


def test_mlperfs_energy_mode_needs_a_pin_of_a_real_board_and_has_its_own_rate(
    registry: Registry,
) -> None:
    text = '[boards.left]\nkind = "nucleo-f446re"\nmlperf_energy = true\nwindow_pin = 7\n'
    rig = parse_rig(text, registry)
    left = rig.plugged("left")
    assert left is not None and left.marking is not None and left.marking.mlperf_energy
    assert "-D HIL_BASE_BAUD=9600" in left.marking.flags
    assert rig.extend(registry)["left"].baud == 9600
    with pytest.raises(RigError, match="mlperf_energy needs window_pin"):
        parse_rig(text.replace("window_pin = 7\n", ""), registry)
    with pytest.raises(RigError, match="left.mlperf_energy: .* is for real boards"):
        parse_rig(text.replace("nucleo-f446re", "qemu-m4").replace("= 7", "= 1"), registry)
