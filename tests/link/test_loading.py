"""Bringing models to a board: the host's end against the board of the dialogues."""

from __future__ import annotations

import pytest
from fakes.fakeboard import OPERATORS, Bench

from harness.errors import BoardStatus, ModelRefused, ProtocolError, SwapRefused, Where
from harness.link.dut import Dut
from harness.link.link import Link
from harness.link.loading import (
    Brought,
    Errand,
    begin_body,
    bring,
    commit_body,
    parse_committed,
    parse_operators,
    piece_body,
    read_operators,
    shown_name,
)
from harness.link.protocol import Op, Place, Status

WHERE = Where(board="fake", model="brought")
BUILD = bytes(range(0xA0, 0xB0)).hex()
MODEL = Brought(content=bytes(range(7, 250)) * 4, name="a model")


class Wire:
    """A stream to the bench's board, over which no time passes."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.dies_after: int | None = None

    def read(self, timeout_s: float) -> bytes:
        self.bench.now_s += 0.001 if self.bench.sent else timeout_s
        data, self.bench.sent = self.bench.sent, b""
        return data

    def write(self, data: bytes) -> None:
        if self.dies_after is not None:
            data, self.dies_after = data[: self.dies_after], 0
        self.bench.send(data)

    def close(self) -> None:
        pass


def linked(room: int = 1000) -> tuple[Bench, Wire, Link]:
    bench = Bench()
    bench.set("room", str(room))
    wire = Wire(bench)
    return bench, wire, Link(wire, where=WHERE, clock=lambda: bench.now_s)


def test_a_model_is_brought_in_as_many_pieces_as_it_takes() -> None:
    _, _, link = linked()
    dut = Dut(link)
    before = dut.greet()
    requests = link.stats.requests
    said = bring(link, before, MODEL)
    # 972 bytes at 249 in a frame of 256, beside begin and commit.
    assert link.stats.requests - requests == 6
    assert (said.status, said.arena_used, said.arena_capacity) == (Status.OK, 972, 200)
    hello = dut.greet()
    assert hello.model_sha256 == MODEL.sha256 and hello.model == "a model"
    assert hello.room is not None and hello.room.place is Place.RAM


def test_what_is_too_large_is_not_sent() -> None:
    _, _, link = linked(room=500)
    hello = Dut(link).greet()
    requests = link.stats.requests
    with pytest.raises(SwapRefused, match="972 bytes, and the board has room for 500"):
        bring(link, hello, MODEL)
    assert link.stats.requests == requests


def test_a_board_that_takes_no_model_is_not_asked() -> None:
    _, _, link = linked(room=0)
    hello = Dut(link).greet()
    with pytest.raises(SwapRefused, match="takes no model over the link"):
        bring(link, hello, MODEL)
    with pytest.raises(BoardStatus, match="unknown_op"):
        read_operators(link, hello)


def test_subgraphs_beyond_what_a_board_keeps_are_not_sent() -> None:
    _, _, link = linked()
    hello = Dut(link).greet()
    with pytest.raises(SwapRefused, match="9 subgraphs"):
        bring(link, hello, Brought(content=b"m", name="m", initializers=tuple(range(1, 10))))


def test_what_the_runtime_says_of_a_model_is_the_models_error() -> None:
    _, _, link = linked()
    dut = Dut(link)
    with pytest.raises(ModelRefused, match="at least 300 are needed") as caught:
        bring(link, dut.greet(), Brought(content=b"arena", name="a"))
    assert (caught.value.op, caught.value.status) == ("LOAD", "arena_too_small")
    assert dut.greet().model == "fake"


def test_an_operator_that_the_firmware_lacks_is_no_fault_of_the_model() -> None:
    _, _, link = linked()
    dut = Dut(link)
    with pytest.raises(SwapRefused, match="unknown_operator: operator MUL") as caught:
        bring(link, dut.greet(), Brought(content=b"unknown", name="u"))
    assert "--hil-swap=never" in caught.value.hint
    assert dut.greet().model == "fake"


def test_operators_are_listed_over_several_frames() -> None:
    _, _, link = linked()
    hello = Dut(link).greet()
    assert hello.room is not None and hello.room.operators == len(OPERATORS)
    assert read_operators(link, hello) == OPERATORS


def test_a_board_that_lists_no_operators_is_not_asked_for_ever() -> None:
    with pytest.raises(ProtocolError, match="no operators"):
        parse_operators(b"\0")


def test_a_status_that_is_none_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="unknown status 99"):
        parse_committed(b"\x63" + bytes(9))


@pytest.mark.parametrize(
    ("name", "shown"),
    [("sine_int8", "sine_int8"), ("über\x1b[0m", "?ber\\x1b[0m"), ("n" * 99, "n" * 61 + "..")],
)
def test_a_name_is_plain_on_the_board(name: str, shown: str) -> None:
    assert shown_name(name) == shown
    assert begin_body(Brought(content=b"m", name=name)).endswith(shown.encode())


def test_whoever_greets_the_board_of_an_errand_finds_the_model_there() -> None:
    bench, _, link = linked()
    dut = Dut(link, errand=Errand(model=MODEL, build_id=BUILD))
    assert dut.greet().model_sha256 == MODEL.sha256
    requests = link.stats.requests
    dut.greet()
    assert link.stats.requests - requests == 1  # It is there already.
    bench.boot()
    assert dut.greet().model_sha256 == MODEL.sha256
    assert dut.reset().model_sha256 == MODEL.sha256


def test_nothing_is_brought_to_firmware_of_another_build() -> None:
    _, _, link = linked()
    dut = Dut(link, errand=Errand(model=MODEL, build_id="00" * 16))
    assert dut.greet().model == "fake"


@pytest.mark.parametrize("sent", range(0, 300, 37))
def test_a_host_that_dies_in_mid_load_leaves_a_board_that_answers(sent: int) -> None:
    bench, wire, link = linked()
    Dut(link).greet()
    link.request(Op.LOAD, begin_body(MODEL))
    wire.dies_after = sent
    wire.write(b"\0" + bytes((9, Op.LOAD)) + piece_body(0, MODEL.content[:240]))
    bench.now_s += 0.2
    second = Dut(Link(Wire(bench), where=WHERE, clock=lambda: bench.now_s))
    assert second.greet().model == "fake"
    said = parse_committed(second.link.request(Op.LOAD, commit_body()))
    assert said.status is Status.BAD_MODEL and said.note == "0 of 972 bytes have come"
    bring(second.link, second.hello, MODEL)
    assert second.greet().model_sha256 == MODEL.sha256
