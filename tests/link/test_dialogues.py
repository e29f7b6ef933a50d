"""The virtual board against the dialogues that the firmware's own code passes too."""

import zlib
from pathlib import Path

import pytest
from cobs import cobs
from fakes.fakeboard import Bench

DIALOGUES = Path(__file__).parents[1] / "vectors" / "dialogues.txt"


def sealed(text: str) -> bytes:
    """As `encode_frame`, but of any payload, also too short a one."""
    payload = bytes.fromhex(text)
    crc = zlib.crc32(payload).to_bytes(4, "little")
    return b"\0" + cobs.encode(payload + crc) + b"\0"


def step(bench: Bench, line: str) -> None:
    verb, _, rest = line.partition(" ")
    quoted = rest.partition('"')[2][:-1] if rest.startswith(("text", "command")) else None
    if not verb.startswith("<"):
        assert bench.sent.hex() == "", "not expected"
    if verb == ">":
        end = b"\n" if rest.startswith("text") else b"%"
        bench.send(sealed(rest) if quoted is None else quoted.encode() + end)
    elif verb == ">>":
        bench.send(bytes.fromhex(rest))
    elif verb == "<" and rest == "-":
        assert bench.sent == b""
    elif verb == "<" and quoted is not None:
        bench.expect_line(quoted)
    elif verb in ("<", "<<"):
        bench.expect(sealed(rest) if verb == "<" else bytes.fromhex(rest))
    elif verb == "wait":
        bench.now_s += int(rest) / 1000
    elif verb == "baud":
        assert bench.board.baud == int(rest)
    elif verb == "windows":
        bench.expect_windows(rest)
    elif verb == "boot":
        bench.boot()
    else:
        assert verb == "set"
        bench.set(*rest.split(" ", 1))


def dialogues() -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    steps: list[tuple[int, str]] = []
    for number, line in enumerate(DIALOGUES.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("== "):
            steps = found.setdefault(line[3:], [])
        elif line and not line.startswith("#"):
            steps.append((number, line))
    return found


@pytest.mark.parametrize("name", dialogues())
def test_virtual_board_answers_as_the_firmware_does(name: str) -> None:
    bench = Bench()
    for number, line in dialogues()[name]:
        try:
            step(bench, line)
        except AssertionError as error:
            raise AssertionError(f"line {number}: {line}\n{error}") from error
    assert bench.sent == b""
