"""Requests are cut by their bytes alone, and served so over a pty."""

import os
import random
import tty

import pytest

from harness.link.streams import padded
from harness.sim.pause import Pause
from harness.sim.requests import MOST_HELD, WHOLE_S, Requests
from harness.sim.serve import SETTLED_S, Server

FRAME = b"\0" + bytes(range(1, 250)) * 3 + b"\0"
"""With line ends and % in it."""
MOST_ROUNDS = 500


def whole(requests, now=0.0):
    return list(requests.whole(now))


@pytest.mark.parametrize(
    "request_", [FRAME, padded(FRAME), b"1.0,2.0\n", padded(b"1.0\n"), b"name%", b"\n", b"ab\0"]
)
def test_a_request_is_whole_with_its_last_byte_and_not_before(request_):
    for size in range(1, len(request_)):
        requests = Requests()
        requests.add(request_[:size], 0.0)
        assert whole(requests) == []
        requests.add(request_[size:], 0.0)
        assert whole(requests) == [request_]


def test_in_whatever_pieces_bytes_come_the_requests_are_the_same():
    data = padded(FRAME) + b"infer 20%" + b"1,2\n" + FRAME[:40] + padded(FRAME) * 2 + b"name%\r\n"
    once = Requests()
    once.add(data, 0.0)
    expected = whole(once)
    assert len(expected) == 8 and b"".join(expected) == data
    rng = random.Random(7)
    for _ in range(50):
        cuts = [0, *sorted(rng.sample(range(1, len(data)), 12)), len(data)]
        requests, got = Requests(), []
        for start, end in zip(cuts, cuts[1:], strict=False):
            requests.add(data[start:end], 0.0)
            got += whole(requests)
        assert got == expected


def test_what_has_no_end_is_handed_on_after_a_while_and_never_grows():
    requests = Requests()
    requests.add(FRAME[:9], 5.0)
    assert whole(requests, 5.0 + 0.99 * WHOLE_S) == []
    assert whole(requests, 5.0 + WHOLE_S) == [FRAME[:9]]
    requests.add(b"x" * (2 * MOST_HELD + 1), 6.0)
    assert [len(one) for one in whole(requests, 6.0)] == [MOST_HELD, MOST_HELD]
    assert requests.rest() == b"x" and requests.rest() == b""


class Scripted:
    """A chip that writes down what comes to it, and what the host does meanwhile: at each `yield`
    of its script the server goes round once; until something is true, if it yields that.
    """

    shown = None
    timeless = False

    def __init__(self, script):
        self.said = []
        self.now = 100.0
        self.slave = -1
        self._until = lambda: True
        self._rounds = 0
        self._script = script(self)

    def run(self):
        self._rounds += 1
        assert self._rounds < MOST_ROUNDS, f"it came to: {self.said}"
        if self._until():
            self._until = next(self._script, None) or (lambda: True)
        return Pause.IDLE

    def offer(self, data):
        self.said.append(data)

    def take(self):
        return b""

    def line(self, *, baud, open):
        self.said.append((baud, open))


def served(script):
    """What came to the chip, in order."""
    master, slave = os.openpty()
    tty.setraw(slave)
    stopped, stop = os.pipe()

    def to_the_end(chip):
        yield from script(chip, slave)
        os.close(stop)
        yield

    chip = Scripted(to_the_end)
    try:
        Server(chip, chip, master, stopped, lambda shown: None, clock=lambda: chip.now).run()
    finally:
        for descriptor in (master, slave, stopped):
            os.close(descriptor)
    return chip.said


def requests_of(said):
    return [one for one in said if isinstance(one, bytes)]


def test_a_pause_in_mid_request_is_not_seen_by_the_chip():
    frame = padded(FRAME)

    def script(chip, slave):
        os.write(slave, frame[:512])
        for _ in range(5):
            yield
        assert requests_of(chip.said) == []
        os.write(slave, frame[512:])
        yield lambda: requests_of(chip.said)

    assert requests_of(served(script)) == [frame]


def test_half_a_frame_reaches_the_chip_in_the_end():
    def script(chip, slave):
        os.write(slave, FRAME[:9])
        for _ in range(5):
            yield
        assert requests_of(chip.said) == []
        chip.now += WHOLE_S
        yield lambda: requests_of(chip.said)

    assert requests_of(served(script)) == [FRAME[:9]]


def test_pieces_pass_at_once_where_no_time_does():
    def script(chip, slave):
        chip.timeless = True
        os.write(slave, b"S00000000")
        yield lambda: requests_of(chip.said)

    assert requests_of(served(script)) == [b"S00000000"]


def test_the_line_is_told_before_the_first_byte_and_else_when_it_has_settled():
    def writes(chip, slave):
        yield
        assert chip.said == []
        os.write(slave, b"name%")
        yield lambda: len(chip.said) > 1

    def waits(chip, slave):
        yield
        assert chip.said == []
        chip.now += 1.01 * SETTLED_S
        yield lambda: chip.said

    told = served(waits)
    assert len(told) == 1 and told[0][1] is True
    assert served(writes) == [*told, b"name%"]


@pytest.mark.parametrize("seen_open", [True, False])
def test_what_a_program_writes_just_before_it_closes_the_port_arrives(seen_open):
    """As an uploader's last word, which starts the firmware."""

    def script(chip, slave):
        if seen_open:
            chip.now += 1.01 * SETTLED_S
            yield lambda: chip.said
        os.write(slave, b"K#%")
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), slave)  # Closes it.
        yield lambda: requests_of(chip.said)
        chip.now += 1.01 * SETTLED_S
        yield lambda: not seen_open or not chip.said[-1][1]

    said = served(script)
    assert requests_of(said) == [b"K#%"]
    assert not seen_open or [one[1] for one in said if one != b"K#%"] == [True, False]
    assert not seen_open or said.index(b"K#%") == 1
