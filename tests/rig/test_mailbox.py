"""The memory by which bytes reach an emulated board, with the firmware's end played here."""

from __future__ import annotations

import mmap
import os
import random
import struct
from collections.abc import Iterator

import pytest

from harness.rig.mailbox import Mailbox

RING_AT, RING_BYTES = 4096, 65536


class Firmware:
    """Takes bytes out as `ReadMailbox` of firmware/src/port/mps2.cpp does, whenever time passes."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.memory = mmap.mmap(os.dup(mailbox.fd), RING_AT + RING_BYTES)
        self.taken = b""
        self.takes = True

    def take(self) -> None:
        head, tail = struct.unpack_from("<II", self.memory)
        assert (head - tail) % 2**32 <= RING_BYTES
        ring = self.memory[RING_AT:]
        begin, size = tail % RING_BYTES, (head - tail) % 2**32
        self.taken += (ring + ring)[begin : begin + size]
        struct.pack_into("<I", self.memory, 4, head)


class Time:
    """Passes only while the mailbox waits; the firmware runs then."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.firmware: Firmware | None = None

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.firmware is not None and self.firmware.takes:
            self.firmware.take()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def mailbox(time: Time) -> Iterator[Mailbox]:
    mailbox = Mailbox(lambda: time.now_s, time.sleep)
    time.firmware = Firmware(mailbox)
    yield mailbox
    mailbox.close()


def test_bytes_come_out_as_they_went_in_over_many_turns_of_the_ring(
    mailbox: Mailbox, time: Time
) -> None:
    assert time.firmware is not None
    sizes = (1, RING_BYTES - 3, 7, RING_BYTES, 3 * RING_BYTES + 5, 0, 100)
    sent = [random.Random(size).randbytes(size) for size in sizes]
    for data in sent:
        mailbox.put(data)
    time.firmware.take()
    assert time.firmware.taken == b"".join(sent)


def test_firmware_that_takes_nothing_ends_the_wait(mailbox: Mailbox, time: Time) -> None:
    assert time.firmware is not None
    time.firmware.takes = False
    mailbox.put(bytes(RING_BYTES))
    with pytest.raises(TimeoutError, match="took none of its bytes for 2 s"):
        mailbox.put(b"1")


@pytest.mark.parametrize("tail", [1, RING_BYTES + 1, 2**31, 2**32 - 2 * RING_BYTES])
def test_index_that_cannot_be_is_no_room(mailbox: Mailbox, time: Time, tail: int) -> None:
    assert time.firmware is not None
    time.firmware.takes = False
    struct.pack_into("<I", time.firmware.memory, 4, tail)
    with pytest.raises(TimeoutError):
        mailbox.put(b"1")
