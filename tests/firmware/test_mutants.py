"""Some mutants of models through all that reads them: see benchmarks/whole/mutants.py."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.whole.mutants import MODELS, Tally, numbered, run, try_mutant
from harness.model.wheels import tflm_version

ROOT = Path(__file__).parents[2]


def test_mutants_are_models_or_one_error_of_ours() -> None:
    tally = run(0, 200, seed=13, stages=("inspect", "generate tflm"))
    tally.add(run(200, 50, seed=13, stages=("inspect", "plan")))
    assert tally.count == 250 and tally.wrong_count == 0, list(tally.lines())
    found = Counter(what for (stage, what), n in tally.outcomes.items() for _ in range(n))
    # As many are refused as not, about: neither is all that was tried.
    assert found["fine"] > 50 and found["refused (ModelError)"] > 50


@pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")
def test_mutants_are_run_on_the_host_in_processes_of_their_own() -> None:
    tally = run(0, 40, seed=14, stages=("inspect", "tflm"))
    assert tally.wrong_count == 0, list(tally.lines())
    assert tally.outcomes["tflm", "ran"] > 3


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_the_models_themselves_are_fine(number: int) -> None:
    tally = Tally()
    try_mutant((ROOT / MODELS[number]).read_bytes(), tally, stages=("inspect", "generate tflm"))
    assert tally.outcomes == {("inspect", "fine"): 1, ("generate tflm", "fine"): 1}


def test_a_mutant_is_the_same_for_its_seed_and_number() -> None:
    assert numbered(3, 1) == numbered(3, 1) != numbered(3, 2)
    assert len({numbered(number, 1) for number in range(20)}) == 20
