"""A program that a build does not find, in the words of the real make, ninja, shells and Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.board.registry import load_registry
from harness.errors import ToolMissing
from harness.firmware.failure import explain_failure
from harness.firmware.lacking import lacking_tool
from harness.firmware.platformio import Job
from harness.model.resolve import resolve_model
from harness.project import find_project

JOB = Job(
    board=load_registry()["nano33ble"],
    runtime="tflm",
    artifact=resolve_model("sine", find_project().artifacts),
)
NINJA = "rule run\n  command = {command}\nbuild all: run\n"


def log_of(folder: Path, words: list[str], name: str, text: str) -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    (folder / name).write_text(text)
    done = subprocess.run(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    assert done.returncode
    return done.stdout


def told(log: str, job: Job = JOB) -> ToolMissing:
    error = explain_failure(log, job, "build.log")
    assert isinstance(error, ToolMissing), error
    return error


@pytest.mark.parametrize(
    "command, tool, package",
    [
        ("arm-none-eabi-nocopy -O binary a.elf a.bin", "arm-none-eabi-nocopy", None),
        ("PATH=/no; srec_cat a.hex -o a.bin", "srec_cat", "srecord"),
        ("PATH=/no; arm-none-eabi-size a.elf && true", "arm-none-eabi-size", "binutils-arm-"),
        ("/no/avr-objcopy a.elf; exit $?", "/no/avr-objcopy", "binutils-avr, if that"),
        ("/usr/bin/env no-python3 post.py", "no-python3", None),
    ],
)
@pytest.mark.parametrize("build", ("make", "ninja", "bash"))
def test_a_tool_after_the_link_step_is_named_with_its_package(
    tmp_path: Path, build: str, command: str, tool: str, package: str | None
) -> None:
    if build == "make":
        log = log_of(tmp_path, ["make"], "Makefile", f"all:\n\t{command.replace('$', '$$')}\n")
    elif build == "ninja":
        text = NINJA.format(command=command.replace("$", "$$"))
        log = log_of(tmp_path, ["ninja"], "build.ninja", text)
    else:
        text = f"SHELL = /bin/bash\nall:\n\t{command.replace('$', '$$')}\n"
        log = log_of(tmp_path, ["make"], "Makefile", text)
    error = told(log)
    assert error.tool == tool
    assert error.what == f"{tool} not found; firmware for nano33ble needs it"
    assert error.install.startswith(
        f"sudo apt-get install -y {package}" if package else "its package is not known here"
    )
    assert error.where.board == "nano33ble"


def test_scons_and_python_name_a_tool_that_they_start_themselves() -> None:
    scons = "*** [checkprogsize] /opt/gcc/arm-none-eabi-size: No such file or directory\n"
    assert told(scons).tool == "/opt/gcc/arm-none-eabi-size"
    started = "import subprocess; subprocess.run(['riscv64-unknown-elf-nm'], env={'PATH': '/no'})"
    done = subprocess.run([sys.executable, "-c", started], capture_output=True, text=True)
    assert told(done.stderr).install == "sudo apt-get install -y binutils-riscv64-unknown-elf"


@pytest.mark.parametrize(
    "log",
    [
        "*** [a.o] src/a.cpp: No such file or directory\n",
        "FileNotFoundError: [Errno 2] No such file or directory: 'model.json'\n",
        "/bin/sh: 1: probe: not found\na.c:1:1: error: #error\nmake: *** [all] Error 1\n",
        "make: *** [all] Error 127\n",
        "",
    ],
)
def test_what_is_no_tool_or_did_not_end_the_build_is_not_called_one(log: str) -> None:
    assert lacking_tool(log, "firmware") is None
