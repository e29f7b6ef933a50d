"""Models that keep state on the virtual board: verdicts, sequences, noise and reboots."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from fakes.stateful import SEVENS, ZERO_POINT, ZEROS, summing_file, sums

from harness.board.registry import load_registry
from harness.errors import BoardRebooted, ModelError
from harness.link.link import LinkOptions
from harness.measure.compare import Verdict
from harness.measure.frames import read_rows
from harness.measure.tables import LatencyRow
from harness.model.artifact import Artifact
from harness.model.interpreters import tflm_version
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.report.summary import summary
from harness.rig.open import RigOptions, open_board
from harness.rig.sessions import Plan, measure_board

pytestmark = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")

PROJECT = find_project()
SINE = resolve_model("sine", PROJECT.artifacts)
VIRTUAL = load_registry()["virtual"]
SEQUENCE = (ZERO_POINT + np.arange(240) % 3 - 1).astype(np.int8).reshape(60, 1, 4)


@pytest.fixture(params=[ZEROS, SEVENS], ids=["from zeros", "from a start of its own"])
def initial(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return request.param


@pytest.fixture
def model(tmp_path: Path, initial: tuple[int, ...]) -> Artifact:
    return resolve_model(str(summing_file(tmp_path, initial)))


def opened(model: Artifact, port: str | None = None):
    options = RigOptions(port=port, link=LinkOptions(timeout_s=0.3))
    return open_board(VIRTUAL, model, PROJECT, options)


def each(inputs: np.ndarray, initial: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([sums(sample[None], initial) for sample in inputs])


@pytest.mark.parametrize("port", [None, "virtual:?flip=0.001&drop=0.001"])
def test_samples_and_sequences_are_right(model, initial, port) -> None:
    with opened(model, port) as board:
        compared = board.comparison()
        assert (compared.verdict, compared.mismatches) == (Verdict.PASS, 0)
        assert compared.samples == 256
        for _ in range(2):
            whole = board.dut.infer(SEQUENCE, keep_state=True).outputs
            assert np.array_equal(whole, sums(SEQUENCE, initial)[:, 0])
            apart = board.dut.infer(SEQUENCE).outputs
            assert np.array_equal(apart, each(SEQUENCE, initial)[:, 0])


def test_staged_sequences_and_lines_are_right(model, initial) -> None:
    with opened(model) as board:
        staged = board.dut.infer_staged(SEQUENCE[:5], keep_state=True).outputs
        assert np.array_equal(staged, sums(SEQUENCE[:5], initial)[:, 0])
        answers = {board.dut.link.ask_text("0.5 1 0 0").split(" us=")[0] for _ in range(3)}
        assert len(answers) == 1


@pytest.mark.parametrize("answer", [6, 12])
def test_a_reboot_in_a_sequence_is_said_and_the_sequence_comes_out_right_again(
    model, initial, answer
) -> None:
    with opened(model, f"virtual:?reboot_after={answer}") as board:
        sequence = np.tile(SEQUENCE, (150, 1, 1))
        with pytest.raises(BoardRebooted, match="A sequence of 9000 was under way") as caught:
            board.dut.infer(sequence, keep_state=True)
        board.recover_in_run(caught.value)
        again = board.dut.infer(SEQUENCE, keep_state=True).outputs
        assert np.array_equal(again, sums(SEQUENCE, initial)[:, 0])


def test_latency_says_that_state_was_reset(model, tmp_path) -> None:
    now = datetime(2026, 11, 21, 6, tzinfo=timezone.utc)
    csv = tmp_path / "latency.csv"
    with opened(model) as board:
        measure_board(board, Plan(samples=5, csv=csv, sessions=2, now=lambda: now))
    rows = read_rows(csv, LatencyRow).rows
    assert [row.state for row in rows] == ["reset"] * 3
    assert "state was reset before each invoke" in " ".join(summary(rows[-1:], csv).split())


def test_firmware_that_cannot_reset_state_is_refused() -> None:
    # As firmware of before op STATE: nothing of the model tells this one that it keeps any.
    with (
        pytest.raises(ModelError, match="cannot reset") as caught,
        opened(replace(SINE, stateful=True)),
    ):
        pass
    assert "hil flash --board virtual" in caught.value.hint


def test_the_program_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (PROJECT.root / "docs" / "state.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    summing_file(tmp_path).rename("wake_word.tflite")
    # After 60 frames of zeros the sum rises by 1 in each frame, from -3 to 100 in 103: at 3.26 s.
    features = np.full((210, 4), ZERO_POINT, dtype=np.int8)
    features[60:] += 1
    np.save("features.npy", features)
    exec(program.replace('["qemu-m4"]', '["virtual"]'), {})
    assert capsys.readouterr().out == "1 of 1 hit, 0 missed, 0 false alarms, 0 per hour\n"
