"""Boards that lie, in small; benchmarks/whole/liars.py has them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.whole.liars import Bench
from benchmarks.whole.lies import LIES


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("liars"))


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_ends_in_time_in_an_error_of_ours_or_in_none(bench: Bench, lie: str) -> None:
    told = bench.hear(lie, seed=1)
    assert not told.bad, told


@pytest.mark.parametrize(
    ("lie", "ended"),
    [
        ("other scale", "StaleFirmware"),
        ("other zero point", "StaleFirmware"),
        ("other build", "StaleFirmware"),
        ("flood", "BoardTalks"),
        ("endless frame", "BoardTalks"),
        ("refuses everything", "BoardStatus"),
    ],
)
def test_a_lie_that_is_seen_through_has_its_name(bench: Bench, lie: str, ended: str) -> None:
    assert bench.hear(lie, seed=2).ended == ended


def test_a_harness_that_waits_for_ever_would_be_seen(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr("harness.link.link.DRAIN_S", 1e9)
    monkeypatch.setattr("benchmarks.whole.liars.DEADLINE_S", 5.0)
    assert bench.hear("text for ever", seed=1).hang


def test_a_board_is_brought_back_in_mid_run_and_measured(bench: Bench) -> None:
    told = bench.hear("reboot at every answer", seed=2)
    assert told.ended == "passed"
    assert told.text.startswith("board rebooted during INFER\nresync and HELLO: it answers\n")


def test_what_boards_say_of_themselves_is_plain_in_the_files(bench: Bench, tmp_path: Path) -> None:
    own = Bench(tmp_path)
    assert own.hear("names of control characters", seed=1).ended == "passed"
    said = Path(tmp_path, "latency.csv").read_text()
    assert r"\x1b[2J \u003a:error::lie\x00\u202e\x07" in said
    assert said.replace("\n", "").isprintable()
