"""The rate of a line, on simulated UARTs whose bytes take their time."""

import os
import termios

import numpy as np
import pytest
from fakes.lines import BITS, Uart, UsbEndpoint, classifier, greeted

from harness.errors import BoardRebooted, LinkTimeout, ProtocolError, Where
from harness.link.protocol import (
    BASE_BAUD,
    FALL_BACK_S,
    Capability,
    Op,
    hello_body,
    parse_hello,
)
from harness.link.speed import MOST_MISSES, Line, SlowLines
from harness.link.streams import Rated, open_serial, padded

M = 1_000_000
RATES = (M, 460_800)
IMAGES = np.random.default_rng(7).integers(-128, 128, (100, 784)).astype(np.int8)


def seconds_for(images: np.ndarray, rates: tuple[int, ...]) -> float:
    wire = Uart(classifier(rates))
    dut = greeted(wire)
    start = wire.now
    assert np.array_equal(dut.infer(images).samples.reshape(-1, 10), images[:, :10])
    return wire.now - start


def test_images_take_less_than_an_eighth_of_the_time_at_a_megabaud() -> None:
    slow, fast = seconds_for(IMAGES, ()), seconds_for(IMAGES, RATES)
    assert slow >= IMAGES.size * BITS / BASE_BAUD
    assert fast >= IMAGES.size * BITS / M
    assert slow / fast == pytest.approx(M / BASE_BAUD, rel=0.01)


def test_both_ends_go_to_the_fastest_rate_that_is_offered() -> None:
    wire = Uart(classifier((460_800, M)))
    dut = greeted(wire)
    assert (dut.link.speed.baud, wire.baud, wire.board.baud) == (M, M, M)
    assert wire.now < 0.1


@pytest.mark.parametrize("most, expected", [(M, M), (500_000, 460_800), (BASE_BAUD, BASE_BAUD)])
def test_no_rate_above_the_most_that_was_allowed_is_asked_for(most: int, expected: int) -> None:
    wire = Uart(classifier(RATES))
    assert greeted(wire, Line(most_baud=most)).link.speed.baud == expected == wire.board.baud


def test_a_board_that_offers_nothing_is_not_asked() -> None:
    wire = Uart(classifier())
    dut = greeted(wire)
    assert (dut.link.stats.requests, dut.link.speed.baud) == (1, BASE_BAUD)


@pytest.mark.parametrize("breaks", [True, False])
@pytest.mark.parametrize(
    "bridge, expected",
    [({"most_baud": 500_000}, 460_800), ({"most_baud": BASE_BAUD}, BASE_BAUD)]
    + [({"rates_here": (BASE_BAUD, 460_800)}, 460_800), ({"rates_here": (BASE_BAUD,)}, BASE_BAUD)],
)
def test_a_bridge_that_cannot_is_found_out_and_remembered(bridge, expected, breaks) -> None:
    line = Line(slow=SlowLines())
    wire = Uart(classifier(RATES), **bridge, breaks=breaks)
    dut = greeted(wire, line)
    assert (dut.link.speed.baud, wire.board.baud) == (expected, expected)
    dut.infer(IMAGES[:3])
    assert dut.link.stats.retries == 0
    assert line.slow.refused("nano", M) and not line.slow.refused("other", M)
    assert line.slow.refused("nano", 460_800) == (expected == BASE_BAUD)
    assert all(note.startswith("nano: ") and "baud" in note for note in line.slow.notes())
    # Opened again in the same run it costs no time.
    again = Uart(classifier(RATES), **bridge, breaks=breaks)
    assert greeted(again, line).link.speed.baud == expected
    assert again.now < 0.1


def test_the_host_agrees_anew_after_an_idle_time_of_any_length() -> None:
    for idle_s in (0.1, 0.69, 0.71, 0.99, 1.01, 1.29, 1.31, 60.0):
        wire = Uart(classifier(RATES))
        dut = greeted(wire)
        wire.now += idle_s
        assert dut.infer(IMAGES[:1]).retries == 0, idle_s
        assert dut.link.speed.baud == wire.board.baud == M
        assert dut.link.stats.timeouts == 0


@pytest.mark.parametrize("breaks", [True, False])
def test_a_reboot_at_the_faster_rate_is_noticed_as_one(breaks: bool) -> None:
    wire = Uart(classifier(RATES), breaks=breaks)
    dut = greeted(wire)
    wire.board.boot()
    with pytest.raises(BoardRebooted):
        dut.infer(IMAGES[:1])
    dut.greet()
    assert dut.infer(IMAGES[:1]).retries == 0
    assert dut.link.speed.baud == M


def test_reset_ends_the_faster_rate_on_both_sides() -> None:
    wire = Uart(classifier(RATES))
    dut = greeted(wire)
    before = dut.link.stats.timeouts
    dut.reset()
    assert dut.link.stats.timeouts == before
    assert wire.board.baud == M


def test_a_host_that_comes_after_one_that_died_is_answered() -> None:
    wire = Uart(classifier(RATES), breaks=False)
    greeted(wire)
    wire.baud = BASE_BAUD  # The next one opens the port anew.
    assert greeted(wire).link.speed.baud == M
    wire.baud = BASE_BAUD


def test_a_break_brings_the_board_back_at_once() -> None:
    wire = Uart(classifier(RATES))
    greeted(wire)
    wire.baud = BASE_BAUD
    before = wire.now
    dut = greeted(wire)
    assert dut.link.stats.timeouts == 0
    assert wire.now - before < FALL_BACK_S


def test_closing_leaves_the_board_at_the_base_rate() -> None:
    wire = Uart(classifier(RATES))
    dut = greeted(wire)
    dut.link.close()
    dut.link.close()
    assert wire.board.baud == BASE_BAUD


def test_a_line_that_loses_replies_at_the_faster_rate_stays_at_the_base_rate() -> None:
    wire = Uart(classifier(RATES))
    line = Line()
    dut = greeted(wire, line)

    def lossy(data: bytes) -> bytes:
        return b"" if wire.baud != BASE_BAUD and len(data) > 22 else data

    wire.damages = lossy
    for count in range(6):
        assert len(dut.infer(IMAGES[: count + 1]).samples) == count + 1
    assert dut.link.stats.timeouts == MOST_MISSES
    assert (dut.link.speed.baud, wire.board.baud) == (BASE_BAUD, BASE_BAUD)
    assert f"lost {MOST_MISSES} replies at {M} baud" in line.slow.notes()[0]


def test_damage_at_the_faster_rate_alone_is_left_behind() -> None:
    wire = Uart(classifier(RATES))
    dut = greeted(wire)
    wire.damages = lambda data: data[:-2] + b"x\0" if wire.baud == M and len(data) > 22 else data
    assert len(dut.infer(IMAGES[:4]).samples) == 4


def test_a_reply_that_is_lost_in_the_trial_leaves_both_ends_alike() -> None:
    wire = Uart(classifier(RATES))
    wire.damages = lambda data: b"" if wire.baud == M and len(data) > 1 else data
    dut = greeted(wire)
    assert (dut.link.speed.baud, wire.board.baud) == (460_800, 460_800)


def test_text_is_answered_after_an_idle_time_too() -> None:
    wire = Uart(classifier(RATES))
    dut = greeted(wire)
    for _ in range(3):
        assert dut.link.ask_command("name", timeout_s=0.5) == ["m-name-dut-[memory]"]
        wire.now += 2.0


@pytest.mark.parametrize("rates", [(), (BASE_BAUD,), (0,), (30_000_000,), (M,) * 17])
def test_impossible_rates_are_refused(rates: tuple[int, ...]) -> None:
    odd = hello_body(classifier(RATES)).replace(
        bytes((2,)) + M.to_bytes(4, "little") + (460_800).to_bytes(4, "little"),
        bytes((len(rates),)) + b"".join(rate.to_bytes(4, "little") for rate in rates),
    )
    with pytest.raises(ProtocolError, match="rates"):
        parse_hello(odd)


def test_hello_carries_rates_only_where_it_announces_them() -> None:
    assert parse_hello(hello_body(classifier(RATES))).rates == RATES
    plain = classifier()
    assert len(hello_body(classifier(RATES))) == len(hello_body(plain)) + 9
    assert not plain.capabilities & Capability.SPEED


def test_full_packets_get_through_where_usb_cuts_the_one_before_a_short_one() -> None:
    wire = UsbEndpoint(classifier())
    dut = greeted(wire, Line(native_usb=True))
    assert dut.infer(IMAGES[:20]).retries == 0
    dut.measure(IMAGES[:1], n=5)
    assert dut.link.ask_command("name") == ["m-name-dut-[memory]"]
    assert dut.link.ask_text("?").startswith("help")
    dut.resync()
    assert (dut.link.stats.retries, wire.cut) == (0, 0)


def test_without_them_such_a_frame_never_gets_through() -> None:
    wire = UsbEndpoint(classifier())
    dut = greeted(wire)
    with pytest.raises(LinkTimeout):
        dut.link.request(Op.INFER, b"\1\0" + bytes(range(1, 255)) * 3 + bytes(22))
    assert wire.cut >= 3


def test_a_serial_port_is_set_to_the_rate_and_says_if_it_cannot() -> None:
    master, slave = os.openpty()
    stream = open_serial(os.ttyname(slave), where=Where(board="nano"))
    assert isinstance(stream, Rated) and stream.set_baud(M)
    assert termios.tcgetattr(slave)[5] == termios.B1000000
    assert not stream.set_baud(-1)
    assert stream.set_baud(BASE_BAUD)
    stream.close()
    for end in (master, slave):
        os.close(end)


def test_news_of_slow_lines_are_told_once_and_in_words() -> None:
    line = Line()
    greeted(Uart(classifier(RATES), most_baud=500_000), line)
    (note,) = line.slow.news()
    assert note == (
        f"nano: no reply at {M} baud, which its line does not carry; its link went on at a slower "
        "rate"
    )
    assert line.slow.news() == []


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 128, 1035])
def test_packets_are_filled_in_front_by_what_a_board_ignores(size: int) -> None:
    frame, text = b"\0" + b"x" * (size - 1), b"y" * size
    for data, ignored in ((frame, b"\0"), (text, b"\r")):
        sent = padded(data)
        assert len(sent) % 64 == 0 and sent.endswith(data)
        assert len(sent) - size < 64 and set(sent[:-size]) <= set(ignored)
