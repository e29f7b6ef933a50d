"""The ring buffer of received bytes, as compilers for boards make it."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "firmware" / "src"
BOARD = ["arm-none-eabi-g++", "-std=c++17", "-O2", "-mcpu=cortex-m4", "-mthumb"]


def test_a_task_puts_a_byte_before_the_index_that_says_so() -> None:
    """Compilers put the index first where nothing forbids it: the reader would get an old byte."""
    flags = ["-DHIL_MAX_PAYLOAD=256", f"-I{SOURCE}", f"-I{SOURCE.parent / 'include'}"]
    command = [*BOARD, *flags, "-S", "-o", "-", str(SOURCE / "port" / "linked.cpp")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    body = done.stdout.partition("\nhil_received:")[2].partition(".size")[0]
    words = [line.split()[0] for line in body.splitlines() if line.strip()]
    stores = [word for word in words if word.startswith("str") or word == "dmb"]
    assert stores == ["strb", "dmb", "str"], body
