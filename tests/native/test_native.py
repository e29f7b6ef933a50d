"""The firmware's protocol code on the host, under address and undefined-behaviour sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SOURCE = ROOT / "firmware" / "src"
VECTORS = ROOT / "tests" / "vectors"


def compile_command(compiler: str, program: Path) -> list[str]:
    """Command that builds the test program from the firmware's own sources and the fakes."""
    sources = sorted([*SOURCE.glob("protocol/*.cpp"), *HERE.glob("*.cpp")])
    sources += [SOURCE / "status.cpp", SOURCE / "tensor.cpp"]
    return [
        compiler,
        *("-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Werror"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        f"-I{SOURCE}",
        f"-I{HERE}",
        *map(str, sources),
        *("-o", str(program)),
    ]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++")
    if compiler is None:
        raise RuntimeError("g++ not found. Install it: sudo apt-get install -y g++")
    built = tmp_path_factory.mktemp("native") / "native_test"
    done = subprocess.run(compile_command(compiler, built), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return built


@pytest.mark.parametrize(
    "arguments",
    [
        ("frames", str(VECTORS / "frames.txt")),
        ("dialogues", str(VECTORS / "dialogues.txt")),
        ("garbage",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_firmware_protocol_code_passes(program: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stderr
