from __future__ import annotations

import pytest

from harness.errors import RigError, UnknownName
from harness.faults import Faults, Noise, parse_faults

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
        UnknownName, match="fault of the virtual board 'flipp'; known: delay_ms, .*"
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
