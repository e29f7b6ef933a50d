"""`hil evaluate` as a process: resumed after kill -9, faults of the board, exit statuses."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.forks import Forks
from fakes.rewritten import rewritten

from harness.cli import main
from harness.model.resolve import resolve_model
from harness.project import find_project

ROOT = Path(__file__).parents[2]
MODEL = resolve_model("fashion_dnn", find_project().artifacts)
COUNT = 600
Done = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Golden images with a little noise, as bytes, and their labels."""
    goldens = MODEL.goldens
    assert goldens is not None and goldens.labels is not None
    which = np.arange(COUNT) % len(goldens.inputs)
    noise = np.random.default_rng(5).integers(-9, 10, (COUNT, *goldens.inputs.shape[1:]))
    pixels = np.clip(goldens.inputs[which].astype(int) + noise, -128, 127) + 128
    path = tmp_path / "set.npz"
    np.savez_compressed(path, x=pixels.astype(np.uint8), y=goldens.labels[which])
    return path


def environment(state: Path) -> dict[str, str]:
    build = find_project().state
    # Firmware is built once for all tests; journals are this module's.
    state.mkdir(exist_ok=True)
    for folder in ("firmware", "build", "platformio"):
        if (build / folder).is_dir() and not (state / folder).exists():
            (state / folder).symlink_to(build / folder)
    return {**os.environ, "PYTHONPATH": str(ROOT), "HIL_STATE_DIR": str(state)}


def started(folder: Path, state: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "evaluate", "fashion_dnn", *arguments],
        cwd=folder,
        env=environment(state),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def done(commands: Forks) -> Done:
    """Runs `hil evaluate` to its end: exit status, output and errors."""

    def run(folder: Path, state: Path, *arguments: str) -> tuple[int, str, str]:
        command = ("harness.cli", "evaluate", "fashion_dnn", *arguments)
        ended = commands.run(command, cwd=folder, env=environment(state))
        return ended.returncode, ended.stdout, ended.stderr

    return run


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "reports" / "evaluation.csv").open() as file:
        return list(csv.DictReader(file))


SAME = ("samples", "value", "low", "high", "host_value", "disagreements", "confusion", "verdict")


def judged(row: dict[str, str]) -> list[str]:
    return [row[name] for name in SAME]


def grown(folder: Path, size: int) -> bool:
    return any(path.stat().st_size > size for path in folder.glob("evaluations/*.journal"))


@pytest.mark.parametrize("board", ("virtual", "qemu-m4"))
def test_a_killed_run_goes_on_where_it_stopped_with_the_same_result(
    board: str, data: Path, tmp_path: Path, done: Done
) -> None:
    state = tmp_path / "state"
    options = ("--board", board, "--data", str(data))
    killed = started(tmp_path, state, *options)
    try:
        deadline = time.monotonic() + 200
        while not grown(state, 2000) and killed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    status, out, err = done(tmp_path, state, *options)
    assert status == 0, err
    assert "samples were done before" in err and "none was counted twice" in out
    again = done(tmp_path, state, *options, "--restart")
    assert again[0] == 0 and "resumed" not in again[1]
    resumed, whole = rows(tmp_path)
    assert 0 < int(resumed["resumed_at"]) <= COUNT and whole["resumed_at"] == "0"
    assert judged(resumed) == judged(whole) and resumed["samples"] == str(COUNT)
    assert resumed["run"] != whole["run"]
    assert max(map(len, out.splitlines())) <= 80


def test_a_board_that_reboots_or_damages_bytes_is_brought_back_in_mid_run(
    data: Path, tmp_path: Path, done: Done, state: Path
) -> None:
    common = ("--board", "virtual", "--data", str(data), "--limit", "300")
    faults = "virtual:?reboot=0.02&flip=0.00002&seed=3"
    assert done(tmp_path, state, *common)[0] == 0
    status, out, err = done(tmp_path, state, *common, "--port", faults)
    assert status == 0, err
    assert "board rebooted during INFER" in err and "in mid-run" in out
    healthy, faulty = rows(tmp_path)
    assert judged(healthy) == judged(faulty) and int(faulty["recoveries"]) > 0


@pytest.mark.parametrize("fault", ("hang_after=40", "vanish_after=40"))
def test_a_board_that_goes_is_a_sick_rig_and_the_next_run_goes_on(
    fault: str, data: Path, tmp_path: Path, done: Done, state: Path
) -> None:
    common = ("--board", "virtual", "--data", str(data), "--limit", "200", "--restart")
    status, out, err = done(tmp_path, state, *common, "--port", f"virtual:?{fault}")
    assert (status, out) == (10, "")
    assert "of 200 samples are kept: the same command goes on from there" in err
    status, out, err = done(tmp_path, state, *common[:-1])
    assert status == 0 and "resumed at sample" in out
    assert rows(tmp_path)[0]["samples"] == "200"


def test_disagreements_are_wrong_numbers_and_their_samples_can_be_sent_again(
    data: Path, tmp_path: Path, done: Done, state: Path
) -> None:
    common = ("--board", "virtual", "--limit", "120")
    wrong = ("--port", "virtual:?wrong_output=50", "--output", "bad.npz")
    status, out, err = done(tmp_path, state, *common, "--data", str(data), *wrong)
    assert status == 1, err
    assert "outputs differ from tflm" in out and "saved, ready for --data: bad.npz" in out
    with np.load(tmp_path / "bad.npz") as saved:
        assert len(saved["x"]) == len(saved["y"]) == int(rows(tmp_path)[0]["disagreements"]) > 0
        assert (saved["board"] != saved["host"]).any(axis=1).all()
        assert saved["x"].dtype == np.int8 and saved["index"].max() < 120
    status, out, err = done(tmp_path, state, *common, "--data", "bad.npz")
    assert status == 0 and "all" in out, err


def test_the_reference_alone_needs_no_board(
    data: Path, tmp_path: Path, done: Done, state: Path
) -> None:
    status, out, err = done(tmp_path, state, "--board", "host", "--data", str(data))
    assert status == 0 and "accuracy" in out and "true class" in out, err
    (row,) = rows(tmp_path)
    assert row["board"] == "host" and row["disagreements"] == "" and row["float_value"] != ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    (
        ((), "takes a data set: --data PATH"),
        (("--data", "absent.npz"), "there is no data set absent.npz"),
        (("--data", "bad.npz"), "bad.npz is no archive"),
        (("--data", "set.npz", "--output", "bad.txt"), "--output takes an .npz file"),
        (("--data", "set.npz", "--float", "absent.tflite"), "there is no float model"),
    ),
)
def test_wrong_use_is_one_error_and_status_2(
    arguments: tuple[str, ...], said: str, data: Path, tmp_path: Path, done: Done, state: Path
) -> None:
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    status, out, err = done(tmp_path, state, "--board", "virtual", *arguments)
    assert (status, out) == (2, "")
    assert said in err and "Traceback" not in err


def test_a_model_that_aborts_tflm_is_refused_before_it_runs_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(schema: Any, model: Any) -> None:
        logits = model.subgraphs[0].tensors[model.subgraphs[0].operators[0].inputs[0]]
        logits.quantization.scale = [1e-9]

    monkeypatch.chdir(tmp_path)
    Path("bad.tflite").write_bytes(
        rewritten((ROOT / "tests" / "zoo" / "softmax-int8.tflite").read_bytes(), change)
    )
    np.save("x.npy", np.zeros((2, 4), np.float32))
    assert main(["evaluate", "bad.tflite", "--board", "host", "--data", "x.npy"]) == 2
    assert "TFLM aborts" in capsys.readouterr().err
