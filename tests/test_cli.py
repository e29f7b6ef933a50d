"""`hil` as a user types it, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import EXIT_USAGE
from harness.outcome import Outcome

ROOT = Path(__file__).parent.parent


@pytest.fixture
def hil(tmp_path):
    """Run `hil` in an empty folder with locks of its own; extra environment as keywords."""

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "harness.cli", *arguments],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "HIL_LOCK_DIR": str(tmp_path / "locks"),
                **environment,
            },
            capture_output=True,
            text=True,
        )

    return run


def test_boards_and_models_are_listed(hil):
    assert "qemu-m4" in hil("boards").stdout
    assert "sine " in hil("models").stdout


def test_infer_answers_with_a_sine(hil):
    for board in ("qemu-m4", "virtual"):
        done = hil("infer", "1.5708", "--board", board)
        assert float(done.stdout) == pytest.approx(1.0, abs=0.15), done.stderr


def test_bench_writes_the_csv_and_prints_the_summary_within_80_columns(hil, tmp_path):
    done = hil("bench", "--board", "qemu-m4", "virtual", "--samples", "100")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert len([line for line in lines if "0/256" in line and "pass" in line]) == 2
    assert "not time on silicon" in done.stdout
    assert len((tmp_path / "reports" / "latency.csv").read_text().splitlines()) == 3


def test_wrong_numbers_have_an_exit_status_of_their_own(hil):
    done = hil("bench", "--board", "virtual", "--port", "virtual:?wrong_output=3", "--samples", "9")
    assert done.returncode == Outcome.WRONG.exit_status
    assert "mismatch" in done.stdout and "odd one out" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("infer", "1", "--board", "nano34"), "unknown board 'nano34'; known: qemu-m3, qemu-m4"),
        (("infer", "1", "--model", "cosine"), "unknown model 'cosine'; known:"),
        (("infer", "1", "2"), "takes 1 number(s)"),
        (("infer", "nan"), "NaN"),
        (("build", "--runtime", "tflm"), "unknown runtime for board qemu-m4 'tflm'; known: aot"),
        (("build", "--model", "/nonexistent/x.tflite"), "cannot read /nonexistent/x.tflite"),
    ],
)
def test_wrong_use_is_answered_with_what_would_be_right(hil, arguments, said):
    done = hil(*arguments)
    assert done.returncode == EXIT_USAGE
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sick_rig_has_an_exit_status_of_its_own(hil):
    done = hil("infer", "1", "--board", "virtual", "--port", "/dev/does-not-exist")
    assert done.returncode == Outcome.SICK.exit_status
    assert "board virtual, port /dev/does-not-exist" in done.stderr


def test_stale_firmware_has_an_exit_status_of_its_own(hil):
    done = hil("infer", "1", "--board", "virtual", "--port", "virtual:?wrong_model=1")
    assert done.returncode == Outcome.STALE.exit_status
    assert "board runs other firmware" in done.stderr


def test_every_exit_status_is_in_the_help(hil):
    said = hil("--help").stdout
    for outcome in Outcome:
        assert f" {outcome.exit_status} " in said


def test_doctor_names_every_missing_tool_and_its_cure(hil, tmp_path):
    assert hil("doctor").returncode == 0
    bare = hil("doctor", PATH=str(tmp_path), HIL_STATE_DIR=str(tmp_path / "state"))
    assert bare.returncode == Outcome.SICK.exit_status
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        assert f"MISSING {tool}" in bare.stdout
    assert "sudo apt-get install -y gcc-arm-none-eabi" in bare.stdout


def test_build_prints_sections(hil):
    done = hil("build")
    assert done.returncode == 0, done.stderr
    assert ".text" in done.stdout and "build id" in done.stdout
