"""Random lives of a board, told to the firmware's code and to the virtual board alike."""

import hashlib
import random
import re
import subprocess
import zlib
from pathlib import Path

from cobs import cobs
from fakes.fakeboard import Bench

WAITS_MS = (31, 173, 1301)
"""No sum of them comes near 100 ms or 1 s: the native fake counts microseconds for its readings."""
COMMANDS = ("name", "profile", "timestamp", "help", "db print", "results", "", "infer 2 1", "infer")
LINES = ("?", "0 0 0 0", "1,-2.5,3e1,.25", "1 2", "nan", "1e999 -1e999 0 x", "63.25 -64 1e-3 7")
MODELS = (b"echo", b"model", b"arena", b"unknown")
_LAP = re.compile(rb"m-lap-us-\d+")


def sealed(payload: bytes) -> bytes:
    """A frame of any payload, also too short or too long a one."""
    crc = zlib.crc32(payload).to_bytes(4, "little")
    return b"\0" + bytes(cobs.encode(payload + crc)) + b"\0"


def _profile_body(rng: random.Random) -> bytes:
    what = rng.randrange(3)
    step = rng.choice((0, 0, 1, 2, 58, 59))
    body = bytes((what,)) + step.to_bytes(2, "little") + zlib.crc32(bytes(4)).to_bytes(4, "little")
    return body + (rng.choice((0, 250, 6000)).to_bytes(4, "little") if what == 2 else b"")


def _load_body(rng: random.Random) -> bytes:
    content = rng.choice(MODELS)
    step = rng.randrange(4)
    if step == 0:
        return b"\0" + rng.randrange(5).to_bytes(2, "little")
    if step == 1:
        head = len(content).to_bytes(4, "little") + hashlib.sha256(content).digest()
        name = b"nm"[: rng.randrange(3)]
        return b"\1" + head + bytes((rng.randrange(4), 0, 0, 0, len(name))) + name
    if step == 2:
        return b"\2" + bytes(4) + content
    return b"\3"


def _loaded(rng: random.Random) -> bytes:
    """A model brought whole; or almost, where its announcement is of another one."""
    content = rng.choice(MODELS)
    announced = rng.choice((content, content, content, rng.choice(MODELS)))
    head = len(announced).to_bytes(4, "little") + hashlib.sha256(announced).digest()
    bodies = (
        b"\1" + head + bytes((rng.randrange(4), 0, 0, 0, 0)),
        b"\2" + bytes(4) + content,
        b"\3",
    )
    return b"".join(sealed(bytes((10 + at, 11)) + body) for at, body in enumerate(bodies))


def _request(rng: random.Random) -> bytes:
    op = rng.choice((1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 0x7F, rng.randrange(256)))
    count = rng.randrange(1, 5)
    body = {
        1: b"\1",
        2: count.to_bytes(2, "little") + rng.randbytes(4 * count),
        3: rng.randrange(4).to_bytes(4, "little") + rng.randbytes(rng.randrange(1, 4)),
        4: rng.randrange(2).to_bytes(4, "little") + b"\1\0",
        5: count.to_bytes(2, "little")
        + zlib.crc32(bytes(4)).to_bytes(4, "little")
        + rng.choice((b"", b"", bytes((rng.randrange(9), 0, 0, 0)), b"\0\0\0\1")),
        6: _profile_body(rng),
        9: bytes((rng.randrange(3),)),
        10: rng.choice((115200, 460800, 1000000, 9600)).to_bytes(4, "little"),
        11: _load_body(rng),
    }.get(op, b"")
    if rng.random() < 0.1:
        body = rng.randbytes(rng.choice((0, 1, 5, 40, 260)))
    return bytes((rng.randrange(1, 4), op)) + body


def _piece(rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.1:
        return _loaded(rng)
    if kind < 0.4:
        return sealed(_request(rng))
    if kind < 0.55:
        loaded = rng.choice(
            (b"db load 4", b"db " + rng.randbytes(rng.randrange(1, 6)).hex().encode())
        )
        return rng.choice((rng.choice(COMMANDS).encode(), loaded)) + b"%"
    if kind < 0.65:
        return rng.choice(LINES).encode() + b"\n"
    if kind < 0.75:
        return rng.randbytes(rng.randrange(1, 30))
    printable = bytes(
        rng.choices(b"0123456789.-+eE, naif%\r\n", k=rng.choice((3, 9, 20, 130, 300)))
    )
    return printable


def _spoilt(rng: random.Random, piece: bytes) -> bytes:
    place = rng.randrange(len(piece))
    return rng.choice(
        (
            piece[:place],
            piece[place:],
            piece[:place] + bytes((piece[place] ^ 1 << rng.randrange(8),)) + piece[place + 1 :],
            piece[:place] + piece[place : place + 1] + piece[place:],
        )
    )


def random_streams(rng: random.Random, count: int) -> list[str]:
    """Lives of about 15 steps: hex to send, wN to wait N ms, sN for a model of N steps, m for one
    that keeps state, f for faster rates, rN for room for a model of N bytes.
    """
    streams = []
    for _ in range(count):
        steps = [f"s{rng.choice((1, 3, 60))}"] if rng.random() < 0.5 else []
        steps += ["m"] if rng.random() < 0.5 else []
        steps += ["f"] if rng.random() < 0.5 else []
        steps += [f"r{rng.choice((5, 1000))}"] if rng.random() < 0.7 else []
        steps += [sealed(b"\1\1\1").hex()] if rng.random() < 0.7 else []
        for _ in range(rng.randrange(1, 30)):
            piece = _piece(rng)
            sent = _spoilt(rng, piece) if rng.random() < 0.2 else piece
            steps.append(f"w{rng.choice(WAITS_MS)}" if rng.random() < 0.2 else sent.hex() or "w31")
        streams.append(" ".join(steps))
    return streams


def native_answers(program: Path, streams: list[str]) -> list[bytes]:
    """What the firmware's code sends in each life, times left out."""
    done = subprocess.run(
        [program, "streams"], input="\n".join(streams), capture_output=True, text=True, check=True
    )
    return [_LAP.sub(b"m-lap-us-", bytes.fromhex(line)) for line in done.stdout.splitlines()]


def fake_answers(stream: str) -> bytes:
    """What the virtual board sends in such a life, times left out."""
    bench = Bench()
    for step in stream.split():
        if step.startswith("w"):
            bench.now_s += int(step[1:]) / 1000
        elif step.startswith("s"):
            bench.set("steps", step[1:])
        elif step == "m":
            bench.set("stateful", "1")
        elif step == "f":
            bench.set("rates", "1")
        elif step.startswith("r"):
            bench.set("room", step[1:])
        else:
            bench.sent += bench.board.feed(bytes.fromhex(step))
    return _LAP.sub(b"m-lap-us-", bench.sent)
