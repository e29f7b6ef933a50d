"""Boards that lie in any of their answers: one clear error or none, within its deadline."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from fakes.liar import LIES, Liar

from harness.errors import HilError, ProtocolError
from harness.link.dut import Dut
from harness.link.loading import COMMIT_S, Brought, Errand, read_operators
from harness.link.protocol import Op, decode_frame

PATIENCE_S = 3 * (COMMIT_S + 2.0) + 5 * 2.0 + 5.0
"""The longest that any request may take, the board's computing included, and a resync."""
ERRAND = Errand(
    model=Brought(content=b"model" * 60, name="m"), build_id=bytes(range(0xA0, 0xB0)).hex()
)


def _samples(dut: Dut, count: int) -> object:
    arrays = [np.zeros((count, *spec.shape), spec.dtype) for spec in dut.takes.specs]
    return arrays[0] if len(arrays) == 1 else dict(zip(dut.takes.names, arrays, strict=True))


def _observe(dut: Dut) -> None:
    one = _samples(dut, 1)
    checksums = dut.step_checksums(one)
    dut.step_output(one, 2, checksum=int(checksums[2]))


def _ask(dut: Dut) -> None:
    dut.memory()
    dut.read_clock()
    dut.resync()
    read_operators(dut.link, dut.hello)


TALKS: dict[str, Callable[[Dut], object]] = {
    "infer": lambda dut: dut.infer(_samples(dut, 3)),
    "sequence": lambda dut: dut.infer(_samples(dut, 3), keep_state=True),
    "staged": lambda dut: dut.infer_staged(_samples(dut, 2)),
    "measure": lambda dut: dut.measure(
        _samples(dut, 1), lambda ticks: max(1, min(500, 10**6 // (ticks + 1))), cold=True
    ),
    "window": lambda dut: dut.run_window(_samples(dut, 1), 1000).invokes_share,
    "profile": lambda dut: dut.profile(_samples(dut, 1), 3),
    "observe": _observe,
    "ask": _ask,
    "reset": lambda dut: dut.reset(),
}


@pytest.mark.parametrize("talk", TALKS)
def test_a_lie_is_one_clear_error_within_its_deadline(talk: str) -> None:
    rng = random.Random(talk)
    refused = 0
    for lie in LIES:
        for _ in range(2):
            first = rng.choice((1, 2, 3, 4, 5, 6, 8))
            board = Liar(lie, first, rng)
            try:
                dut = board.dut(ERRAND if rng.random() < 0.4 else None)
                dut.greet()
                TALKS[talk](dut)
            except HilError as error:
                refused += 1
                assert error.where and error.where.board == "nano", (lie, first)
                text = str(error)
                assert len(text) < 3000 and text.replace("\n", "").isprintable(), (lie, first)
            assert board.now_s < 2 * PATIENCE_S, (lie, first)
    assert refused >= len(LIES) // 2


def test_a_model_whose_steps_change_from_one_profile_to_the_next_is_refused() -> None:
    board = Liar("none", 1 << 30, random.Random(1))
    profiles = 0
    write = board.write

    def count(data: bytes) -> None:
        nonlocal profiles
        pieces = [piece for piece in data.split(b"\0") if piece]
        if pieces and decode_frame(pieces[0]).op == Op.PROFILE:
            profiles += 1
            if profiles == 2:
                board.bench.set("steps", "6")
        write(data)

    board.write = count  # type: ignore[method-assign]
    dut = board.dut()
    dut.greet()
    with pytest.raises(ProtocolError, match="PROFILE says 8 steps, then 6") as raised:
        dut.profile(_samples(dut, 1), 3)
    assert raised.value.where is not None and raised.value.where.board == "nano"
