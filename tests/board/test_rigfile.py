from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from harness.board.registry import Registry, load_registry
from harness.board.rigfile import Deadlines, RigFile, load_rig, parse_rig
from harness.errors import RigError

ROOT = Path(__file__).parents[2]

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
    return load_registry()


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


@pytest.mark.parametrize(
    "text, named",
    [
        ("[boards", "not TOML"),
        ("[ports]", "unknown tables ports"),
        ("[boards]\nleft = 1", "board left: not a table"),
        ("[boards.left]", "unknown board 'left'; known: .*qemu-m4"),
        ('[boards.left]\nkind = "qemu"', "unknown board 'qemu'"),
        ("[boards.qemu-m4]\nserial = 1", "board qemu-m4: unknown keys serial"),
        ('[boards.qemu-m4]\nport = "a"\nserial_number = "b"', "serial_number or port, not both"),
        ("[boards.qemu-m4.deadlines]\nport_s = 0", "deadline port_s must be a positive"),
        ("[boards.qemu-m4.deadlines]\nport = 1", "board qemu-m4: unknown keys port"),
        (
            '[boards.virtual]\nport = "p"\n[boards.qemu-m4]\nport = "p"',
            "boards virtual and qemu-m4 have the same port p",
        ),
        ('[[quarantine]]\nboard = "qemu-m4"', "quarantine entry 1: .*reason"),
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
    assert nano is not None and nano.budget_us["sine"] > 0 and nano.power_cycle is not None
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
