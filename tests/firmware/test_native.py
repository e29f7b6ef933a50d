"""The firmware's protocol code on the host, under address and undefined-behaviour sanitizers."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from fakes.host_programs import host_program
from fakes.streams import fake_answers, native_answers, random_streams

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests" / "native"
SOURCE = ROOT / "firmware" / "src"
VECTORS = ROOT / "tests" / "vectors"


def firmware_sources() -> list[Path]:
    """What runs on the host as on a board: all but port, runtime and the `main` that joins them."""
    rooms = [SOURCE / name for name in ("wire", "measure", "answer")]
    base = [path for path in SOURCE.glob("*.cpp") if path.name != "main.cpp"]
    return sorted([*base, *(path for room in rooms for path in room.glob("*.cpp"))])


def compile_command(compiler: str, program: Path) -> list[str]:
    """Command that builds the test program from the firmware's own sources and the fakes."""
    sources = [*firmware_sources(), *sorted(HERE.glob("*.cpp"))]
    return [
        compiler,
        *("-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Wshadow", "-Wvla"),
        *("-Wdouble-promotion", "-Werror"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        "-DHIL_PROFILE",
        "-DHIL_SWAP",
        f"-I{SOURCE}",
        f"-I{HERE}",
        *map(str, sources),
        *("-o", str(program)),
    ]


@pytest.fixture(scope="module")
def program() -> Path:
    _, *words, _, _ = compile_command("g++", Path("program"))
    return host_program(words, folders=[SOURCE, HERE])


@pytest.mark.parametrize(
    "arguments",
    [
        ("frames", str(VECTORS / "frames.txt")),
        ("dialogues", str(VECTORS / "dialogues.txt")),
        ("garbage",),
        ("clock",),
        ("text",),
        ("replay", str(HERE / "corpus.txt")),
    ],
    ids=lambda arguments: arguments[0],
)
def test_firmware_protocol_code_passes(program: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stderr


def test_firmware_and_virtual_board_answer_random_streams_alike(program: Path) -> None:
    streams = random_streams(random.Random(3), 300)
    for stream, firmware in zip(streams, native_answers(program, streams), strict=True):
        assert fake_answers(stream) == firmware, stream


@pytest.mark.skipif(shutil.which("clang++-14") is None, reason="clang-14 is not installed")
def test_guided_fuzzing_finds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.link.fuzz import guided  # which takes the compiler's command from this module

    guided(10_000, keep=False, folder=tmp_path)
    assert capsys.readouterr().out.count("stat::number_of_executed_units") >= 1
