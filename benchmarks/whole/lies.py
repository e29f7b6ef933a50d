"""The lies of benchmarks.whole.liars: what comes in the place of a board's true answer."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, repeat

from harness.link.protocol import (
    REPLY,
    BoardMemory,
    Capability,
    ErrorReply,
    FrameSplitter,
    Hello,
    Message,
    Op,
    Status,
    decode_frame,
    encode_frame,
    error_body,
    hello_body,
    memory_body,
    parse_hello,
)
from harness.link.streams import StreamClosed

_PAUSE_S = 0.002
_EVIL = "\x1b[2J\r\n::error::lie\x00\u202e" + "\x07" * 20

Piece = tuple[float, bytes]
"""Bytes, and the seconds that pass before them."""


@dataclass(slots=True)
class Scene:
    """What a lie knows: chance, the request, the board's true answers to it and to the last one."""

    rng: random.Random
    request: bytes
    truth: bytes
    last: bytes = b""
    count: int = 0

    @property
    def message(self) -> Message | None:
        """The true reply, if it is a frame."""
        pieces = list(FrameSplitter().feed(self.truth)) if self.truth[:1] == b"\0" else []
        return decode_frame(pieces[0]) if pieces else None

    @property
    def hello(self) -> Hello | None:
        """The true HELLO, if that is what was asked for."""
        message = self.message
        of_hello = message is not None and message.op == Op.HELLO | REPLY
        return parse_hello(message.body) if message and of_hello else None


Lie = Callable[[Scene], Iterator[Piece]]


def once(data: bytes, after_s: float = 0.0) -> Iterator[Piece]:
    return iter(((after_s, data),))


def _for_ever(data: bytes, every_s: float = _PAUSE_S) -> Iterator[Piece]:
    return repeat((every_s, data))


def _framed(scene: Scene, change: Callable[[Message], Message]) -> Iterator[Piece]:
    """The true reply with a change, in a frame that is whole."""
    message = scene.message
    return once(scene.truth if message is None else encode_frame(change(message)))


def _body(scene: Scene, change: Callable[[bytes], bytes]) -> Iterator[Piece]:
    return _framed(scene, lambda message: replace(message, body=change(message.body)))


def _described(scene: Scene, **changes: object) -> Iterator[Piece]:
    """HELLO with changes; all other answers are true."""
    if scene.hello is None:
        return once(scene.truth)
    body = hello_body(replace(scene.hello, **changes))  # type: ignore[arg-type]
    return _body(scene, lambda _: body)


def _refusal(scene: Scene, status: int, field: str = "", op: int | None = None) -> Iterator[Piece]:
    """An ERROR about the request that is to be answered, or about another op."""
    detail = scene.rng.randrange(1 << 32)

    def refused(message: Message) -> Message:
        asked = message.op & ~REPLY if op is None else op
        about = ErrorReply(status=Status.OK, op=asked, detail=detail, field=field)
        body = bytes((status,)) + error_body(about)[1:]
        return Message(seq=message.seq, op=Op.ERROR | REPLY, body=body)

    return _framed(scene, refused)


def _not_hello(lie: Lie) -> Lie:
    """HELLO is true, so that the lie is met in what follows."""
    return lambda scene: once(scene.truth) if scene.hello is not None else lie(scene)


def _ticks(scene: Scene, least: int, width: int = 0) -> Iterator[Piece]:
    """INFER's or RUN's reply with other ticks at its end."""
    message = scene.message
    if message is None or message.op & ~REPLY not in (Op.INFER, Op.RUN):
        return once(scene.truth)
    packed = 5  # The sine's answers: one invoke, or many that took equally long.
    end = (least & 0xFFFFFFFF).to_bytes(4, "little") + bytes((width,))
    return _body(scene, lambda body: body[:-packed] + end)


def _absurd(scene: Scene) -> Iterator[Piece]:
    rng, hello = scene.rng, scene.hello
    if hello is None:
        return once(scene.truth)
    spec = hello.inputs[0]
    shapes = ((1 << 31, 1 << 31), (1,) * 60, (1 << 16, 1 << 12), (), (3, 5))
    numbers = (0, 1, 255, 256, 257, 0x7FFFFFFF, 0xFFFFFFFF)
    changes = {
        "max_payload": rng.choice((256, 257, 0xFFFF)),
        "tick_hz": rng.choice(numbers),
        "timer_step_ticks": rng.choice(numbers),
        "timer_read_ticks": rng.choice(numbers),
        "arena_used": rng.choice(numbers),
        "arena_capacity": rng.choice(numbers),
        "inputs": (replace(spec, shape=rng.choice(shapes)),) * rng.choice((0, 1, 2, 9)),
        "capabilities": Capability(rng.randrange(1 << 16)),
    }
    some = rng.sample(sorted(changes), rng.randrange(1, 4))
    return _described(scene, **{name: changes[name] for name in some})


def _warming(scene: Scene) -> Iterator[Piece]:
    return _ticks(scene, 1 << (scene.count % 31))


def _swapped(scene: Scene) -> Iterator[Piece]:
    return once(scene.last or scene.truth)


def _drip(scene: Scene) -> Iterator[Piece]:
    return iter([(0.5, scene.truth[at : at + 1]) for at in range(len(scene.truth))])


def _late(scene: Scene) -> Iterator[Piece]:
    return once(scene.truth, scene.rng.uniform(0.1, 4.0))


def _spoken(scene: Scene, text: bytes) -> Iterator[Piece]:
    """An answer to commands of the MLPerf dialect that is a lie; frames are true."""
    return once(scene.truth if scene.truth[:1] == b"\0" else text)


def _gone(scene: Scene) -> Iterator[Piece]:
    raise StreamClosed("gone \x1b[31m\n::error::unplugged")


def _damaged(scene: Scene) -> Iterator[Piece]:
    at = scene.rng.randrange(max(1, len(scene.truth)))
    return once(scene.truth[:at] + bytes((scene.rng.randrange(256),)) + scene.truth[at + 1 :])


def _random_body(scene: Scene) -> Iterator[Piece]:
    rng = scene.rng
    return _body(scene, lambda body: rng.randbytes(rng.choice((0, 1, len(body), 300, 4000))))


def _profiles(scene: Scene) -> Iterator[Piece]:
    """A model of so many steps that asking for one after another would never end."""
    if scene.hello is not None:
        return _described(scene, capabilities=scene.hello.capabilities | Capability.PROFILE)
    message = scene.message
    if message is None or scene.request[2:3] != bytes((Op.PROFILE,)):
        return once(scene.truth)
    head = bytes.fromhex("ffff") + bytes(12) + b"\1\0"
    body = scene.rng.choice((head + bytes(5), b"\xff\xff\xff\xff" + b"x", bytes(16), b""))
    return once(encode_frame(Message(seq=message.seq, op=Op.PROFILE | REPLY, body=body)))


def _memory(scene: Scene) -> Iterator[Piece]:
    if scene.hello is not None:
        return _described(scene, capabilities=scene.hello.capabilities | Capability.MEMORY)
    message = scene.message
    if message is None or message.op != Op.MEMORY | REPLY:
        return once(scene.truth)
    said = BoardMemory(stack_bytes=0xFFFFFFFF, stack_used_bytes=scene.rng.choice((0, 0xFFFFFFFF)))
    return _body(scene, lambda _: memory_body(said))


def _evil_names(scene: Scene) -> Iterator[Piece]:
    names = ("board", "board_uid", "runtime_version", "kernels", "note", "model")
    return _described(scene, **dict.fromkeys(names, _EVIL))


def _evil_setup(scene: Scene) -> Iterator[Piece]:
    status = scene.rng.choice([status for status in Status if status is not Status.OK])
    return _described(scene, status=status, note=_EVIL)


LIES: dict[str, Lie] = {
    "cut body": lambda s: _body(s, lambda body: body[: s.rng.randrange(len(body) + 1)]),
    "long body": lambda s: _body(s, lambda body: body + bytes(s.rng.choice((1, 5, 300)))),
    "huge body": _not_hello(lambda s: _body(s, lambda body: body + bytes(200_000))),
    "random body": _random_body,
    "damaged byte": _damaged,
    "wrong number": lambda s: _framed(s, lambda m: replace(m, seq=(m.seq + 1) % 256)),
    "number 0": lambda s: _framed(s, lambda m: replace(m, seq=0)),
    "wrong op": lambda s: _framed(s, lambda m: replace(m, op=s.rng.randrange(256))),
    "answers swapped": _swapped,
    "answers doubled": lambda s: once(s.truth * 50),
    "half a frame": lambda s: once(s.truth[: len(s.truth) // 2]),
    "silence": lambda s: iter(()),
    "echo": lambda s: once(s.request),
    "one byte each half second": _drip,
    "late": _late,
    "babble": lambda s: ((_PAUSE_S, s.rng.randbytes(500)) for _ in repeat(0)),
    "flood": lambda s: _for_ever(b"x" * 65536, 0.001),
    "zeros for ever": lambda s: _for_ever(bytes(100)),
    "text for ever": lambda s: _for_ever(b"temperature 21.5\r\n", 0.005),
    "text now and then": lambda s: _for_ever(b"alive \x1b[2J\n::error::\n", 0.3),
    "a byte now and then": lambda s: _for_ever(b"\0", 0.5),
    "endless frame": lambda s: chain(once(b"\0"), _for_ever(b"x" * 4096)),
    "endless frame after HELLO": _not_hello(
        lambda s: chain(once(b"\0"), _for_ever(b"x" * 65536, 0.001))
    ),
    "absurd HELLO": _absurd,
    "names of control characters": _evil_names,
    "failed setup": _evil_setup,
    "text that is no UTF-8": lambda s: _body(
        s, lambda b: b.replace(b"virtual", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9")
    ),
    "other scale": lambda s: _described(
        s,
        inputs=tuple(
            replace(spec, scale=spec.scale * 2) for spec in (s.hello.inputs if s.hello else ())
        ),
    ),
    "other zero point": lambda s: _described(
        s,
        outputs=tuple(replace(spec, zero_point=7) for spec in (s.hello.outputs if s.hello else ())),
    ),
    "other count of tensors": lambda s: _described(
        s, outputs=(s.hello.outputs * 2 if s.hello else ())
    ),
    "other build": lambda s: _described(s, build_id=s.rng.randbytes(16)),
    "other build after a reboot": lambda s: (
        _described(s, build_id=bytes(16)) if s.hello else _refusal(s, Status.NO_SESSION)
    ),
    "reboot at every answer": _not_hello(lambda s: _refusal(s, Status.NO_SESSION)),
    "refuses everything": _not_hello(
        lambda s: _refusal(s, s.rng.choice((3, 4, 5, 6, 9, 10, 11, 13)), _EVIL)
    ),
    "error about another op": _not_hello(
        lambda s: _refusal(s, Status.NO_SESSION, op=s.rng.choice((3, 0x55, 0xFF)))
    ),
    "unknown status": lambda s: _refusal(s, s.rng.randrange(16, 256)),
    "frame not understood": lambda s: _refusal(s, Status.BAD_FRAME),
    "counts that overflow": _not_hello(lambda s: _body(s, lambda body: b"\xff\xff" + body[2:])),
    "no ticks": lambda s: _ticks(s, 0),
    "negative ticks": lambda s: _ticks(s, -4),
    "ticks of unknown width": lambda s: _ticks(s, 5, 3),
    "never warm": _warming,
    "steps without end": _profiles,
    "absurd stack": _memory,
    "text without m-ready": lambda s: (
        once(s.truth) if s.truth[:1] == b"\0" else _for_ever(b"m-lap-us-1\n" * 50)
    ),
    "huge time": lambda s: _spoken(s, b"m-lap-us-" + b"9" * 5000 + b"\nm-ready\n"),
    "time of other digits": lambda s: _spoken(s, "m-lap-us-\u0663\nm-ready\n".encode()),
    "time backwards": lambda s: _spoken(s, b"m-lap-us-%d\nm-ready\n" % s.rng.randrange(1 << 40)),
    "unplugged": _gone,
}
