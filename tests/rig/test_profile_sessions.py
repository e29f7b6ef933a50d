"""A profile in several sessions, of boards that are scripted: no emulator is a real board."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fakes.measured import rows
from fakes.profiled import CNN, counted

from harness.board.registry import load_registry
from harness.errors import BoardRebooted, SlowerOperators, Where
from harness.measure.latency import Timer
from harness.measure.operator_gate import judge_profile
from harness.measure.operators import compare_operators
from harness.measure.profile import StepTicks
from harness.measure.runs import Baselines, Run
from harness.model.graph import Step
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.profiling import (
    Profiled,
    layer_rows,
    profile_sessions,
    refuse_slower_operators,
)

REGISTRY = load_registry()
TIMER = Timer(hz=64_000_000, read_ticks=2, step_ticks=1)
STEPS = tuple(Step(operators=(index,), output=index) for index in range(3))


class ScriptedBoard:
    """An open board whose steps take `base` ticks and in each session a little more.

    In the sessions of `reboots`, counted from 0, it reboots.
    """

    def __init__(self, *, emulated: bool = False, reboots: tuple[int, ...] = (), base=1000):
        self.declared = REGISTRY["qemu-m4" if emulated else "nano33ble"]
        self.artifact = resolve_model("sine", find_project().artifacts)
        self.firmware = SimpleNamespace(steps=STEPS)
        self.checks = SimpleNamespace(inputs=np.zeros((1, 1), dtype=np.int8))
        self.dut = self
        self.timer = TIMER
        self.hello = SimpleNamespace(runtime="tflm", runtime_version="1", build_id=bytes(16))
        self._base, self._reboots = base, reboots
        self.resets = self.greetings = self._session = 0

    def reset(self) -> None:
        self.resets += 1

    def greet(self) -> None:
        self.greetings += 1

    def profile(self, sample, n: int) -> StepTicks:
        session, self._session = self._session, self._session + 1
        if session in self._reboots:
            raise BoardRebooted(where=Where(board="nano33ble"), in_flight="PROFILE")
        step = self._base + session
        return StepTicks(
            steps=np.full((n, 3), step, dtype=np.uint32),
            whole=np.full(n, 3 * step + 60, dtype=np.uint32),
            empty=np.full(n, 4, dtype=np.uint32),
            pitch=np.full(n, 10, dtype=np.uint32),
            timer=TIMER,
        )


def test_a_real_board_is_profiled_in_each_session_with_a_reset_between() -> None:
    board = ScriptedBoard()
    profiles = profile_sessions(board, 5)  # type: ignore[arg-type]
    assert (len(profiles), board.resets) == (5, 4)
    row = layer_rows(board, profiles, run="r1")[0]  # type: ignore[arg-type]
    ticks = [1000 - 4 + session for session in range(5)]
    assert row.session_p50_us == " ".join(f"{tick / 64:.6g}" for tick in ticks)
    assert (row.sessions, row.n, row.p50_us) == (5, 50, ticks[2] / 64)
    assert row.timer_step_us == 1 / 64
    assert len((row.session_between_us or "").split()) == 5


def test_exact_counts_need_one_session() -> None:
    board = ScriptedBoard(emulated=True)
    assert len(profile_sessions(board, 5)) == 1 and board.resets == 0  # type: ignore[arg-type]


def test_a_session_in_which_the_board_rebooted_is_left_out() -> None:
    board = ScriptedBoard(reboots=(1,))
    assert len(profile_sessions(board, 4)) == 3 and board.greetings == 1  # type: ignore[arg-type]
    with pytest.raises(BoardRebooted):
        profile_sessions(ScriptedBoard(reboots=(0, 1, 2)), 3)  # type: ignore[arg-type]


def test_sessions_of_a_slower_board_are_judged_slower() -> None:
    a, b = (
        layer_rows(board, profile_sessions(board, 5), run=run)  # type: ignore[arg-type]
        for run, board in (("a", ScriptedBoard()), ("b", ScriptedBoard(base=1100)))
    )
    verdicts = [change.verdict for change in compare_operators(a, b)]
    assert verdicts == ["slower", "slower", "slower", "same"]


def test_slower_operators_are_refused_by_name_and_rule() -> None:

    base = Run(row=rows("r1")[-1], sessions=tuple(rows("r1")[:-1]), layers=tuple(counted("r1")))
    row, baselines = rows("r2")[-1], Baselines(source="b.csv", runs=(base,))
    now = tuple(counted("r2", [*CNN[:3], (*CNN[3][:3], 3061)]))
    found = Profiled(layers=now, operators=judge_profile(row, now, baselines, track=False))
    with pytest.raises(SlowerOperators, match="run r1: 3 FULLY_CONNECTED") as caught:
        refuse_slower_operators(found, row)
    assert "3061 instructions against 3060" in str(caught.value) and found.slower
    refuse_slower_operators(Profiled(layers=now), row)
