"""`all-emulated`: which boards it stands for, and what it says of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board.registry import Board, load_registry
from harness.errors import ToolMissing, UnknownName, WrongUse
from harness.firmware.toolchain import ARM, RISCV, TOOLCHAINS, Toolchain, gcc_version, require
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


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A machine with both of QEMU's programs, and the compilers and libraries that are named."""

    def put(name: str, script: str = "") -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    def install(*compilers: Toolchain, libraries: Iterable[str]) -> None:
        found = " ".join(f"-print-file-name={name}) echo /lib/{name};;" for name in libraries)
        answers = f'case "$1" in -dump*) echo 12.2.0;; {found} *) echo "${{1#*=}}";; esac'
        for compiler in compilers:
            put(compiler.gcc, answers)

    put("qemu-system-arm")
    put("qemu-system-riscv32")
    monkeypatch.setenv("PATH", str(tmp_path))
    for compiler in TOOLCHAINS.values():
        monkeypatch.delenv(compiler.folder, raising=False)
    gcc_version.cache_clear()
    require.cache_clear()
    yield install
    gcc_version.cache_clear()
    require.cache_clear()


ALL_LIBRARIES = (*ARM.libraries, *RISCV.libraries)
CORTEX_M, RV32 = "qemu-m4", "qemu-rv32"


@pytest.mark.parametrize(
    "compilers, libraries, runtime, left_out",
    [
        ((ARM, RISCV), ALL_LIBRARIES, "tflm", {}),
        ((RISCV,), ALL_LIBRARIES, "aot", {CORTEX_M: (ARM.gcc, ARM.install)}),
        (
            *((RISCV,), ALL_LIBRARIES, "tflm"),
            {CORTEX_M: (ARM.gcc, ARM.install), RV32: (ARM.gcc, ARM.install)},
        ),
        ((ARM,), ALL_LIBRARIES, "aot", {RV32: (RISCV.gcc, RISCV.install)}),
        ((ARM,), ALL_LIBRARIES, "tflm", {RV32: (RISCV.gcc, RISCV.install)}),
        (
            *((ARM, RISCV), RISCV.libraries, "tflm"),
            {CORTEX_M: ("libc.a", ARM.install), RV32: ("libc.a", ARM.install)},
        ),
        ((ARM, RISCV), ARM.libraries, "aot", {RV32: ("picolibc.specs", RISCV.install)}),
    ],
)
def test_a_board_is_left_out_without_what_its_runtime_is_compiled_with(
    compilers: tuple[Toolchain, ...],
    libraries: tuple[str, ...],
    runtime: str,
    left_out: dict[str, tuple[str, str]],
    installed: Callable[..., None],
) -> None:
    installed(*compilers, libraries=libraries)
    registry = type(REGISTRY)((REGISTRY["virtual"], REGISTRY[CORTEX_M], REGISTRY[RV32]))
    project = find_project()
    found = expand(
        ["virtual", "all-emulated"],
        *(registry, [runtime], lambda board: check_tools(board, project, [runtime])),
    )
    assert found.boards == (
        "virtual",
        *(name for name in (CORTEX_M, RV32) if name not in left_out),
    )
    assert len(found.left_out) == len(left_out)
    for said, (name, (tool, install)) in zip(found.left_out, left_out.items(), strict=True):
        assert said.startswith(f"all-emulated leaves out {name}: {tool}")
        assert said.endswith(f"Install it: {install}")


def test_a_platform_that_nobody_fetched_is_missing_until_it_is_there(tmp_path: Path) -> None:
    project = replace(find_project(), state=tmp_path)
    with pytest.raises(ToolMissing, match="ststm32") as raised:
        check_tools(REGISTRY["qemu-netduinoplus2"], project)
    assert "hil build --board qemu-netduinoplus2" in raised.value.install
    folder = tmp_path / "platformio" / "platforms" / "ststm32@19.6.0"
    folder.mkdir(parents=True)
    (folder / "platform.json").write_text("{}")
    check_tools(REGISTRY["qemu-netduinoplus2"], project)
