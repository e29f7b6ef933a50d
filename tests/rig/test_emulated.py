"""`all-emulated`: which boards it stands for, and what it says of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.board.registry import Board, load_registry
from harness.errors import ToolMissing, UnknownName, WrongUse
from harness.firmware.toolchain import gcc_version
from harness.project import find_project
from harness.rig.emulated import check_tools, expand

REGISTRY = load_registry()
EMULATED = [board.id for board in REGISTRY.boards if board.attachment == "emulator"]


def all_there(_: Board) -> None:
    """Every board has its tools."""


def missing_for(*ids: str):
    def check(board: Board) -> None:
        if board.id in ids:
            raise ToolMissing("qemu-x", needed_for="a board", install="apt-get install qemu-x")

    return check


def test_all_emulated_is_every_board_of_qemu_in_the_order_of_the_registry() -> None:
    found = expand(["all-emulated"], REGISTRY, (), all_there)
    assert list(found.boards) == EMULATED
    assert {"qemu-m4", "qemu-netduinoplus2"} <= set(EMULATED)
    assert not {"virtual", "nrf52840dk-sim", "nano33ble"} & set(EMULATED)
    assert found.left_out == ()


def test_boards_named_beside_it_run_once_and_need_no_tools_to_be_taken() -> None:
    found = expand(["virtual", "all-emulated", "qemu-m3"], REGISTRY, (), missing_for("qemu-m3"))
    others = [name for name in EMULATED if name != "qemu-m3"]
    assert list(found.boards) == ["virtual", *others, "qemu-m3"]
    assert found.left_out == ()


def test_a_board_without_its_tools_is_named_with_what_to_install() -> None:
    found = expand(["all-emulated"], REGISTRY, (), missing_for("qemu-m7"))
    assert "qemu-m7" not in found.boards
    (said,) = found.left_out
    assert said.startswith("all-emulated leaves out qemu-m7: qemu-x not found")
    assert "apt-get install qemu-x" in said


def test_a_board_without_the_runtime_asked_for_is_named() -> None:
    board = replace(REGISTRY["qemu-m4"], id="qemu-small", runtimes=("aot",))
    registry = type(REGISTRY)((REGISTRY["qemu-m4"], board))
    found = expand(["all-emulated"], registry, ["tflm"], all_there)
    assert found.boards == ("qemu-m4",)
    assert "qemu-small: unknown runtime" in found.left_out[0]


def test_none_left_is_wrong_use_that_says_why_of_each() -> None:
    with pytest.raises(WrongUse, match="no emulated board can run here") as raised:
        expand(["all-emulated"], REGISTRY, (), missing_for(*EMULATED))
    assert all(name in str(raised.value) for name in EMULATED)


def test_names_are_not_looked_at() -> None:
    assert expand(["typo"], REGISTRY, (), all_there).boards == ("typo",)
    with pytest.raises(UnknownName):
        REGISTRY["typo"]


def test_an_emulator_that_is_not_installed_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="qemu-system") as raised:
        check_tools(REGISTRY["qemu-m4"], find_project())
    assert "apt-get install" in raised.value.install


def test_a_compiler_that_is_not_installed_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_ARM_GCC_DIR", str(tmp_path))
    gcc_version.cache_clear()
    try:
        with pytest.raises(ToolMissing, match="arm-none-eabi-gcc"):
            check_tools(REGISTRY["qemu-m4"], find_project())
    finally:
        gcc_version.cache_clear()


def test_a_platform_that_nobody_fetched_is_missing_until_it_is_there(tmp_path: Path) -> None:
    project = replace(find_project(), state=tmp_path)
    with pytest.raises(ToolMissing, match="ststm32") as raised:
        check_tools(REGISTRY["qemu-netduinoplus2"], project)
    assert "hil build --board qemu-netduinoplus2" in raised.value.install
    folder = tmp_path / "platformio" / "platforms" / "ststm32@19.6.0"
    folder.mkdir(parents=True)
    (folder / "platform.json").write_text("{}")
    check_tools(REGISTRY["qemu-netduinoplus2"], project)
