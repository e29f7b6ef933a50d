"""Firmware that is not ours: built by make for a board of a rig file, and what can go wrong."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import Verdict
from harness.board.own import OwnBuild
from harness.board.registry import Board, load_registry
from harness.board.rigfile import load_rig
from harness.errors import BuildFailed, RigError
from harness.firmware.build import Builder
from harness.firmware.model_list import FOR_MAKE
from harness.firmware.outside import OutsideBuild
from harness.firmware.platformio import Job
from harness.firmware.toolchain import seed_scons
from harness.model.resolve import resolve_model
from harness.progress import no_progress
from harness.project import find_project
from harness.rig.open import open_board

PROJECT = find_project()
SINE = resolve_model("sine", PROJECT.artifacts)
RIG = Path(__file__).parents[1] / "outside" / "rig.toml"

COMPILER = """
import pathlib, re, sys
text = pathlib.Path(sys.argv[1], "model_aot.cpp").read_text()
rows = [re.findall(r"0x[0-9a-f]{2}|\\b\\d+\\b", row) for row in re.findall("{([^{}]*)}", text)]
(new,) = [bytes(int(n, 0) for n in row) for row in rows if len(row) == 16]
elf = pathlib.Path("template").read_bytes().replace(bytes.fromhex(sys.argv[2]), new)
pathlib.Path("e").write_bytes(elf + pathlib.Path("source").read_bytes())
"""
"""Stands for a compiler: puts the new build id, and the project's source, into an ELF file."""


def node(board_id: str = "node") -> Board:
    registry = load_registry()
    return load_rig(RIG, registry).extend(registry)[board_id]


def with_command(home: Path, *command: str, **build: Any) -> Board:
    return replace(node(), home=str(home), build=OwnBuild(command=command, elf="e", **build))


def outside(home: Path, *command: str, **build: Any) -> OutsideBuild:
    board = with_command(home, *command, **build)
    work = home / "work"
    work.mkdir(exist_ok=True)
    return OutsideBuild(PROJECT, Job(board=board, runtime="aot", artifact=SINE), work)


def ran(made: OutsideBuild) -> bytes:
    with (made.model.parent / "lock").open("wb") as lock:
        return made.run(progress=no_progress, lock=lock.fileno())


@pytest.mark.parametrize(
    "board_id, tool", [("node", "make"), ("node-cmake", "cmake"), ("node-pio", "sh")]
)
def test_firmware_that_is_not_ours_answers_with_the_goldens(
    board_id: str, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = PROJECT.state / "platformio"  # With SCons in it: PlatformIO would fetch it elsewhere.
    seed_scons(core)
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(core))
    monkeypatch.setenv("PLATFORMIO_SETTING_ENABLE_TELEMETRY", "no")
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    with open_board(node(board_id), SINE) as board:
        compared = board.comparison()
        assert (compared.samples, compared.verdict) == (256, Verdict.PASS), str(compared)
        assert board.dut.hello.board == board_id
        assert board.firmware is not None and board.firmware.compiler.startswith("GCC: (")


def test_a_project_that_changed_unseen_gets_another_build_id(tmp_path: Path) -> None:
    first = Builder(PROJECT).build(node(), "aot", SINE)
    again = Builder(PROJECT).build(node(), "aot", SINE)
    assert again.build_id == first.build_id
    (tmp_path / "template").write_bytes(first.elf.read_bytes())
    (tmp_path / "source").write_text("one")
    command = (sys.executable, "-c", COMPILER, "{model}", first.build_id)
    board = with_command(tmp_path, *command)
    one = Builder(PROJECT).build(board, "aot", SINE).build_id
    assert Builder(PROJECT).build(board, "aot", SINE).build_id == one
    (tmp_path / "source").write_text("two")
    two = Builder(PROJECT).build(board, "aot", SINE)
    assert two.build_id != one and two.elf.read_bytes().endswith(b"two")
    assert Builder(PROJECT).build(board, "aot", SINE).build_id == two.build_id


def test_equal_rig_files_in_two_folders_are_built_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        monkeypatch.chdir(folder)
        for home in (".", str(folder)):
            board = replace(with_command(folder, "make"), home=home)
            names.add(Job(board=board, runtime="aot", artifact=SINE).work_name)
    assert len(names) == 2


def test_the_log_of_a_command_that_fails_is_read(tmp_path: Path) -> None:
    script = "print('node.c:3:1: error: expected ; before }'); raise SystemExit(2)"
    with pytest.raises(BuildFailed, match="node.c:3:1: error: expected") as caught:
        ran(outside(tmp_path, sys.executable, "-c", script))
    assert "board node, model sine" in str(caught.value)


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="cannot run no-such-make; reboot: No such file"):
        ran(outside(tmp_path, "no-such-make; reboot"))


@pytest.mark.parametrize(
    "script, named",
    [
        ("", "left no "),
        ("open('e', 'w').write('text')", "is no ELF file"),
    ],
)
def test_a_command_must_leave_an_elf_file(script: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(RigError, match=named):
        ran(outside(tmp_path, sys.executable, "-c", script))


def test_an_elf_file_without_the_model_is_refused(tmp_path: Path) -> None:
    script = "open('e', 'wb').write(b'\\x7fELF, of yesterday')"
    board = with_command(tmp_path, sys.executable, "-c", script)
    with pytest.raises(RigError, match="does not hold the model that it was built for") as caught:
        Builder(PROJECT).build(board, "aot", SINE)
    assert "Does the project compile the sources in " in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    made = outside(tmp_path, "make", project="gone")
    with pytest.raises(RigError, match="build.project: no folder "):
        ran(made)


def test_a_hostile_folders_name_is_one_word_of_the_command(tmp_path: Path) -> None:
    home = tmp_path / "a b; touch $(id) `x`"
    home.mkdir()
    script = "import sys; open('e', 'wb').write(b'\\x7fELF' + sys.argv[1].encode())"
    assert ran(outside(home, sys.executable, "-c", script, "{project}")).endswith(
        str(home).encode()
    )


def test_declared_inputs_are_hashed_by_content(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.c").write_text("1")
    made = outside(tmp_path, "make", inputs=("src/**/*.c",))
    assert made.cached
    before = made.known()
    (tmp_path / "src" / "other.txt").write_text("no input")
    assert made.known() == before
    (tmp_path / "src" / "a.c").write_text("2")
    changed = made.known()
    (tmp_path / "src" / "b.c").write_text("")
    assert len({before, changed, made.known()}) == 3


def test_a_pattern_of_inputs_that_is_like_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"build.inputs: no file more is like 'scr/\*.c'"):
        outside(tmp_path, "make", inputs=("scr/*.c",)).known()
    with pytest.raises(RigError, match=r"build.inputs: '' is no pattern: "):
        outside(tmp_path, "make", inputs=("",)).known()


def test_the_model_is_listed_for_make() -> None:
    Builder(PROJECT).build(node(), "aot", SINE)
    work = Job(board=node(), runtime="aot", artifact=SINE).work_name
    text = (PROJECT.state / "build" / work / "model" / FOR_MAKE).read_text()
    assert (
        "HIL_MODEL_SOURCES := $(HIL_MODEL_DIR)/model_aot.cpp $(HIL_MODEL_DIR)/bknn_model.c" in text
    )
