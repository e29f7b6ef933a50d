from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from fakes.toml_values import VALUES
from hypothesis import given
from hypothesis import strategies as st

from harness.board.registry import Board, Emulator, load_registry, parse_board
from harness.errors import RigError, UnknownName, WrongUse

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


def test_a_runtime_that_a_board_cannot_have_is_refused_with_the_reason() -> None:
    table = {**TABLE, "runtimes": ["aot"], "env": {"aot": "x"}}
    board = parse_board("small", {**table, "without": {"tflm": "it has no C++ library"}})
    with pytest.raises(WrongUse, match=r"small has no runtime tflm: it has no C\+\+ library"):
        board.runtime("tflm")
    assert board.runtime(None) == "aot"
    for without in ({"aot": "it has that"}, {"onnx": "no such runtime"}):
        with pytest.raises(RigError, match="`without` says of"):
            parse_board("b", {**TABLE, "without": without})


@pytest.mark.parametrize("wrong", [{"program": "sh"}, {"program": "../q"}, {"package": "a; b"}])
def test_a_qemu_is_a_qemu_and_a_package_a_package(wrong: dict[str, str]) -> None:
    with pytest.raises(RigError, match="is not one of qemu-system|is no name of a Debian package"):
        parse_board("b", {**TABLE, "attachment": "emulator", "emulator": {**QEMU, **wrong}})


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
        ({"clok_hz": 1, "a": 2}, "b.a is not a known key.*(?s:.)*b.clok_hz is not .* clock_hz"),
        ({"id": "c"}, "b.id is not a known key"),
        ({"attachment": "jtag"}, "attachment 'jtag'"),
        ({"runtimes": []}, r"runtimes \(\)"),
        ({"runtimes": ["onnx"]}, "onnx"),
        ({"attachment": "emulator"}, "exactly the emulated boards"),
        ({"emulator": QEMU}, "exactly the emulated boards"),
        (
            {"attachment": "emulator", "emulator": {"machine": "m"}},
            "b.emulator.icount_shift is missing",
        ),
        ({"attachment": "emulator", "emulator": {**QEMU, "cpu": 1}}, "b.emulator.cpu is not a"),
        ({"emulator": {**QEMU, "icount_shift": 11}}, "b.emulator: icount_shift must be 0 to 10"),
        ({"clock_hz": 64e6}, "b.clock_hz must be an integer, not the float 64000000.0"),
        ({"clock_hz": True}, "b.clock_hz must be an integer, not the boolean true"),
        ({"baud": 0}, "b: baud must be above 0, not 0"),
        ({"runtimes": "tflm"}, 'b.runtimes must be an array, not the string "tflm"'),
        (
            {"runtimes": ["tflm", 1]},
            "b.runtimes entry 2 must be a printable string, not the integer 1",
        ),
        ({"usb": ["2341:805A"]}, "USB id '2341:805A' is not VID:PID in lower-case hex"),
        ({"env": {"tflm": "x -t upload"}}, "env 'x -t upload' must be letters"),
        (
            {"attachment": "emulator", "emulator": {**QEMU, "machine": "m,usb=on"}},
            "machine 'm,usb=on' must be letters",
        ),
        ({"env": {"tflm": []}}, "b.env.tflm must be a printable string, not an array of 0"),
    ],
)
def test_wrong_table_is_refused_and_names_the_board(change, named: str) -> None:
    with pytest.raises(RigError, match=named):
        parse_board("b", {**TABLE, **change})


@pytest.mark.parametrize("name", ["../b", "-b", ".b", "a/b", "a b", "b;", "", "b" * 101])
def test_board_id_that_is_a_path_or_an_option_is_refused(name: str) -> None:
    with pytest.raises(RigError, match="id .* must be letters") as refused:
        parse_board(name, TABLE)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("key", ["description", "attachment", "mcu", "clock_hz", "runtimes"])
def test_missing_key_is_refused_and_named(key: str) -> None:
    with pytest.raises(RigError, match=f"b.{key} is missing"):
        parse_board("b", {name: value for name, value in TABLE.items() if name != key})


def test_file_that_is_not_toml_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"
    path.write_text("[virtual\n")
    with pytest.raises(RigError, match="boards.toml: not TOML"):
        load_registry(path)


KEYS = st.sampled_from([item.name for item in fields(Board)]) | st.text(max_size=5)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_table_is_a_board_or_an_error_that_names_the_file(change: dict[str, Any]) -> None:
    try:
        board = parse_board("b", {**TABLE, **change}, "boards.toml")
        assert isinstance(board, Board)
    except RigError as error:
        assert str(error).startswith("boards.toml: b")
        assert str(error).replace("\n", "").isprintable()


def test_wrong_boards_file_is_refused_by_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"
    path.write_text("[left]\ndescription = 5\n")
    with pytest.raises(RigError, match=f"boards file {path}: left.* must be a printable string"):
        load_registry(path)
