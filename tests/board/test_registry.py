from __future__ import annotations

from pathlib import Path

import pytest

from harness.board.registry import Emulator, load_registry, parse_board
from harness.errors import RigError, UnknownName

TABLE = {
    "description": "d",
    "attachment": "serial",
    "mcu": "m",
    "clock_hz": 64_000_000,
    "runtimes": ["tflm", "aot"],
}


def test_shipped_registry_holds_the_boards_that_need_no_hardware() -> None:
    registry = load_registry()
    assert registry.ids[:2] == ["virtual", "qemu-m4"]
    qemu = registry["qemu-m4"]
    assert qemu.emulator == Emulator(machine="mps2-an386", icount_shift=7)
    assert qemu.emulated and registry["virtual"].emulated
    assert set(qemu.env) <= set(qemu.runtimes)


def test_board_comes_from_its_table() -> None:
    board = parse_board("nano33ble", TABLE)
    assert (board.id, board.clock_hz, board.runtimes) == ("nano33ble", 64_000_000, ("tflm", "aot"))
    assert (board.emulated, board.flash_bytes, board.emulator) == (False, None, None)


def test_unknown_board_lists_the_known() -> None:
    with pytest.raises(UnknownName, match="unknown board 'qemu'; known: .*qemu-m4.*virtual"):
        load_registry()["qemu"]


def test_runtime_is_the_first_or_the_one_asked_for() -> None:
    board = parse_board("b", TABLE)
    assert (board.runtime(None), board.runtime("aot")) == ("tflm", "aot")


def test_unknown_runtime_lists_the_boards_own() -> None:
    with pytest.raises(UnknownName, match="runtime for board b 'onnx'; known: aot, tflm"):
        parse_board("b", TABLE).runtime("onnx")


QEMU = {"machine": "m", "icount_shift": 7}


@pytest.mark.parametrize(
    "change, named",
    [
        ({"clok_hz": 1, "a": 2}, "board b: unknown keys a, clok_hz"),
        ({"id": "c"}, "unknown keys id"),
        ({"attachment": "jtag"}, "attachment 'jtag'"),
        ({"runtimes": []}, r"runtimes \(\)"),
        ({"runtimes": ["onnx"]}, "onnx"),
        ({"attachment": "emulator"}, "exactly the emulated boards"),
        ({"emulator": QEMU}, "exactly the emulated boards"),
        ({"attachment": "emulator", "emulator": {"machine": "m"}}, "board b: .*icount_shift"),
        ({"attachment": "emulator", "emulator": {**QEMU, "cpu": 1}}, "board b: .*cpu"),
    ],
)
def test_wrong_table_is_refused_and_names_the_board(change, named: str) -> None:
    with pytest.raises(RigError, match=named):
        parse_board("b", {**TABLE, **change})


@pytest.mark.parametrize("key", ["description", "attachment", "mcu", "clock_hz", "runtimes"])
def test_missing_key_is_refused_and_named(key: str) -> None:
    with pytest.raises(RigError, match=f"board b: .*{key}"):
        parse_board("b", {name: value for name, value in TABLE.items() if name != key})


def test_file_that_is_not_toml_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"
    path.write_text("[virtual\n")
    with pytest.raises(RigError, match="boards.toml is not TOML"):
        load_registry(path)
