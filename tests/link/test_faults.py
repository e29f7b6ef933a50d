from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.link.faults import Campaign, faults_at
from harness.errors import RigError, UnknownName
from harness.link.faults import Faults, FaultyBoard, Noise, Unplugged, parse_faults
from harness.model.resolve import resolve_model
from harness.project import find_project

DATA = bytes(range(256)) * 400


def noise(seed: int = 1, **rates: float) -> bytes:
    return Noise(Faults(seed=seed, **rates))(DATA)


def test_faults_are_read_from_a_ports_query() -> None:
    found = parse_faults("?flip=0.01&hang_after=20&wrong_model=1&slow=2.5&seed=7")
    assert found == Faults(flip=0.01, hang_after=20, wrong_model=True, slow=2.5, seed=7)
    assert parse_faults("") == Faults() and not Faults().noisy
    assert parse_faults("wrong_model=0") == Faults()


def test_unknown_fault_lists_the_known() -> None:
    with pytest.raises(
        UnknownName, match="fault of the virtual board 'flipp'; known: delay, delay_ms, .*"
    ):
        parse_faults("flipp=1")


@pytest.mark.parametrize("text", ["flip=often", "hang_after=1.5", "wrong_model=yes", "drop="])
def test_fault_that_is_not_a_number_is_refused_by_name(text: str) -> None:
    name, value = text.split("=")
    with pytest.raises(RigError, match=f"fault {name} .* is not a number: '{value}'"):
        parse_faults(text)


def test_no_noise_leaves_every_byte() -> None:
    assert noise() == DATA


def test_noise_is_the_same_for_the_same_seed_only() -> None:
    assert noise(flip=0.1) == noise(flip=0.1) != noise(seed=2, flip=0.1)


def test_flips_change_one_bit_at_about_the_rate_asked_for() -> None:
    flipped = [a ^ b for a, b in zip(noise(flip=0.01), DATA, strict=True) if a != b]
    assert all(bits.bit_count() == 1 for bits in flipped)
    assert len(set(flipped)) == 8
    # 102400 bytes: 1024 expected, and 32 is a standard deviation.
    assert 1024 - 160 < len(flipped) < 1024 + 160


def test_drops_and_duplicates_change_the_length_at_about_the_rate_asked_for() -> None:
    assert 1024 - 160 < len(DATA) - len(noise(drop=0.01)) < 1024 + 160
    doubled = noise(duplicate=0.01)
    assert 1024 - 160 < len(doubled) - len(DATA) < 1024 + 160
    assert noise(drop=1.0) == b"" and noise(duplicate=1.0)[:4] == bytes((0, 0, 1, 1))


class Echo:
    """A board that answers what it was sent, and counts its boots."""

    def __init__(self) -> None:
        self.boots = 0

    def feed(self, data: bytes) -> bytes:
        return data

    def boot(self) -> None:
        self.boots += 1


def test_board_without_faults_answers_at_once() -> None:
    board = FaultyBoard(Echo(), Faults())
    assert [board.feed(DATA), board.feed(b"")] == [(DATA, 0.0), (b"", 0.0)]


def test_hanging_board_is_silent_until_its_power_is_cycled() -> None:
    echo = Echo()
    board = FaultyBoard(echo, Faults(hang_after=2))
    assert [board.feed(b"a")[0] for _ in range(4)] == [b"a", b"", b"", b""]
    board.power_cycle()
    assert board.feed(b"a") == (b"a", 0.0) and echo.boots == 1


def test_rebooting_board_loses_one_answer() -> None:
    echo = Echo()
    board = FaultyBoard(echo, Faults(reboot_after=2))
    assert [board.feed(b"a")[0] for _ in range(4)] == [b"a", b"", b"a", b"a"] and echo.boots == 1


def test_unplugged_board_is_gone() -> None:
    board = FaultyBoard(Echo(), Faults(vanish_after=2))
    board.feed(b"a")
    with pytest.raises(Unplugged):
        board.feed(b"a")


def test_every_answer_is_late_unless_a_probability_says_otherwise() -> None:
    board = FaultyBoard(Echo(), Faults(delay_ms=5))
    assert [board.feed(b"a")[1] for _ in range(3)] == [0.005] * 3
    some = FaultyBoard(Echo(), Faults(delay=0.5, delay_ms=5))
    late = sum(some.feed(b"a")[1] > 0 for _ in range(1000))
    # 500 expected, and 16 is a standard deviation.
    assert 420 < late < 580 and some.struck["delay"] == late


SHARE = 2000


@pytest.mark.parametrize("fault", faults_at(0.01))
def test_no_fault_gives_a_wrong_tensor_or_an_uncounted_retry(fault: str) -> None:
    sine = resolve_model("sine", find_project().artifacts)
    tally = Campaign(sine, fault, 0.01, faults_at(0.01)[fault]).run(SHARE)
    assert tally.problems() == []
    assert tally.frames > SHARE * 0.8
    assert (tally.stats.retries > 0) is (fault not in ("wrong model", "slow down"))


def test_campaign_sees_a_wrong_tensor() -> None:
    sine = resolve_model("sine", find_project().artifacts)
    tally = Campaign(sine, "flip", 0.0, Faults(wrong_output=100)).run(500)
    assert tally.problems() == ["wrong tensors"]


def test_campaign_sees_a_retry_that_is_not_counted() -> None:
    sine = resolve_model("sine", find_project().artifacts)
    tally = Campaign(sine, "delay", 0.01, faults_at(0.01)["delay"]).run(SHARE)
    tally.stats = replace(tally.stats, retries=tally.stats.retries - 1)
    assert "retries without cause" in tally.problems()


@pytest.mark.parametrize("text", ["flip=nan", "delay_ms=inf", "slow=-1", "hang_after=-1"])
def test_a_number_that_no_fault_has_is_refused(text: str) -> None:
    with pytest.raises(RigError, match=f"fault {text.partition('=')[0]} must be from 0 to"):
        parse_faults(text)
