"""The Arduino port on the host, against a fake core of each family, under sanitizers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from fakes.host_programs import host_program

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent.parent / "firmware" / "src"
FAMILIES = {
    "stm32": ("-DARDUINO_ARCH_STM32",),
    "mbed": ("-DARDUINO_ARCH_MBED", "-DSERIAL_CDC", "-DHIL_SWAP"),
    "esp32": ("-DARDUINO_ARCH_ESP32",),
}
TESTS = re.findall(r"TEST\((\w+)\),", (HERE / "arduino_test.cpp").read_text())


@pytest.fixture(scope="module", params=FAMILIES)
def program(request: pytest.FixtureRequest) -> Path:
    words = [
        *("-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Werror"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        *(
            *FAMILIES[request.param],
            "-DHIL_MAX_PAYLOAD=256",
            "-DHIL_WINDOW_PIN=7",
            f"-I{SOURCE}",
            f"-I{HERE}",
        ),
        *map(str, [SOURCE / "port" / "arduino.cpp", *sorted(HERE.glob("*.cpp"))]),
    ]
    return host_program(words, folders=[SOURCE, HERE])


@pytest.mark.parametrize("name", TESTS)
def test_arduino_port(program: Path, name: str) -> None:
    done = subprocess.run([program, name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_test_of_the_program_is_run(program: Path) -> None:
    listed = subprocess.run([program], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == TESTS


def test_what_is_written_for_the_emulated_board_masks_every_invoke_and_counts_on() -> None:
    words = [
        *("-std=c++17", "-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Werror"),
        *("-DARDUINO_ARCH_STM32", "-DHIL_NETDUINOPLUS2", "-DHIL_MAX_PAYLOAD=256"),
        *(f"-I{SOURCE}", f"-I{HERE}", str(SOURCE / "port" / "arduino.cpp")),
        *(str(HERE / "core.cpp"), str(HERE / "emulated" / "emulated_test.cpp")),
    ]
    program = host_program(words, folders=[SOURCE, HERE])
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
