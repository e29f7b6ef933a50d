"""A board that a search holds for all its steps: locks are real, steps are programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.bisect.lender import Lender
from harness.board.lock import hold
from harness.board.registry import load_registry
from harness.errors import BoardBusy
from harness.lent import VARIABLE, Loan, loan_of
from harness.rig.options import RigOptions

ROOT = Path(__file__).parents[2]
NANO = load_registry()["nano33ble"]
AT = RigOptions(port="/dev/ttyNONE", lock_timeout_s=0.1)
HOLDS = "from harness.board.lock import hold\nwith hold('nano33ble', timeout_s=0.1): print('had')"


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))


def step(lent: dict[str, str]) -> str:
    """What a step says that takes the board."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **lent}
    done = subprocess.run(
        [sys.executable, "-c", HOLDS], env=environment, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


def test_a_step_has_the_board_that_the_search_holds_and_others_are_told_who_holds_it() -> None:
    with Lender(NANO, AT) as lender:
        with lender.lend(ROOT) as lent:
            assert step(lent) == "had\n"
        with pytest.raises(BoardBusy, match=f"pid {os.getpid()}"), hold("nano33ble", timeout_s=0):
            pass  # Between two steps, too.
        with lender.lend(ROOT) as lent:
            assert step(lent) == "had\n"
            busy = step({VARIABLE: Loan(board="nano33ble", pid=1).variables()[VARIABLE]})
            assert "BoardBusy" in busy
    with hold("nano33ble", timeout_s=0):
        pass


def test_a_loan_of_a_board_that_nobody_holds_is_a_plain_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loan = Loan(board="nano33ble", pid=os.getpid())
    monkeypatch.setenv(VARIABLE, loan.variables()[VARIABLE])
    with hold("nano33ble", timeout_s=0):
        monkeypatch.delenv(VARIABLE)
        with pytest.raises(BoardBusy), hold("nano33ble", timeout_s=0):
            pass


def test_a_harness_that_knows_no_loans_finds_the_board_free(tmp_path: Path) -> None:
    said: list[str] = []
    with Lender(NANO, AT, said.append) as lender:
        with lender.lend(ROOT):
            pass
        for _ in range(2):
            with lender.lend(tmp_path) as lent, hold("nano33ble", timeout_s=0):
                assert lent == {}
        assert len(said) == 1 and "queue for it by themselves" in said[0]
        with lender.lend(ROOT) as lent:
            assert step(lent) == "had\n"


def test_an_emulated_board_is_not_held() -> None:
    with (
        Lender(load_registry()["qemu-m4"], RigOptions()) as lender,
        lender.lend(ROOT) as lent,
        hold("qemu-m4", timeout_s=0),
    ):
        assert lent == {}


@pytest.mark.parametrize(
    "said", ("", "{", "[]", '{"board": "nano33ble"}', '{"board": "nano33ble", "pid": "x"}')
)
def test_a_loan_that_says_nothing_is_none(said: str) -> None:
    assert loan_of("nano33ble", {VARIABLE: said}) is None
    assert loan_of("nano33ble", {}) is None
    whole = Loan(board="nano33ble", pid=7, place={"wanted": "left"})
    assert loan_of("nano33ble", whole.variables()) == whole
    assert loan_of("uno", whole.variables()) is None
