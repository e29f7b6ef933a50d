"""`hil bisect` over commits whose own harness is a script: processes and git are real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.history import run_git, state_of
from fakes.told_harness import commit, history

from harness.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the commits; the state folder is this test's own."""
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "made"


def places(folder: Path) -> set[str]:
    """What searches left in the state folder, but for their steps."""
    found = (folder / "state" / "bisect").glob("*/*")
    return {path.name for path in found} - {"steps", "state", "lock"}


def test_the_commit_is_found_named_and_shown_and_found_again_without_a_run(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = history(made, [1000, 1000, 1000, 1030, 1030, 1030])
    before = state_of(made)
    assert main(["bisect", ids[0], ids[-1], "--in", str(made), "--", "--board", "qemu-m4"]) == 0
    out, err = capsys.readouterr()
    assert "5 commits, about 3 steps: the first that is slower" in err
    assert f"{ids[3][:12]} count 1030 (Ada, " in out
    assert "before  1,000 instr" in out and "after   1,030 instr" in out
    assert f"hil bisect {ids[2][:12]} {ids[3][:12]} --in {made} -- --board qemu-m4" in out
    assert all(len(line) <= 80 for line in out.split("see it again")[0].splitlines())
    assert state_of(made) == before
    assert places(made.parent) == set()
    assert main(["bisect", ids[0], ids[-1], "--in", str(made), "--json", "--"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["changes"][0]["found"] == ids[3]
    assert (
        answer["changes"][0]["after"] | {"figure": 1030, "unit": "instr"}
        == (answer["changes"][0]["after"])
    )


def test_steps_that_cannot_be_judged_are_skipped_and_said_and_hostile_names_are_harmless(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[31mred; touch /tmp/no\u202e"
    ids = [
        commit(made, evil),
        commit(made, evil, status=1, measured=False, said="  a.h:3:2: error: #error never"),
        commit(made, evil, status=10, measured=False, said="hil: no reply\x1b[2J to INVOKE"),
        commit(made, evil, count=1200),
        commit(made, evil, count=1200),
    ]
    assert main(["bisect", ids[0], ids[-1], "--in", "made"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out
    assert "does not build: a.h: #error never" in out
    assert r"no reply\x1b[2J to INVOKE" in out
    assert "the first commit that is slower is one of these 3:" in out
    assert f"\n  git -C made log {ids[0][:12]}..{ids[3][:12]}\n" in out
    assert "1 step judged, 2 skipped" in out


def test_a_step_in_which_the_harness_is_too_old_is_skipped_with_what_it_says(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = "usage: hil bench\nhil bench: error: unrecognized arguments: --samples 20"
    ids = [
        commit(made, "one"),
        commit(made, "two", status=2, measured=False, said=old),
        commit(made, "three", count=2000),
    ]
    assert main(["bisect", ids[0], ids[-1], "--in", "made"]) == 1
    assert "its harness says: unrecognized arguments: --samples 20" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    (
        (("HEAD", "HEAD~2"), "is older than GOOD"),
        (("HEAD", "HEAD"), "are the same commit"),
        (("stranger", "HEAD"), "have no commit in common"),
        (("nowhere", "HEAD"), "GOOD: nowhere is no commit of"),
        (("HEAD~2", "HEAD", "--", "--board", "qemu-m9"), "unknown board 'qemu-m9'"),
        (("HEAD~2", "HEAD", "--", "--model", "a,b"), "takes one model"),
        (("HEAD~2", "HEAD", "--", "--report", "x"), "--report behind `--` means nothing here"),
        (("HEAD~2", "HEAD", "--broken", "--", "--board", "virtual"), "has no firmware"),
        (("HEAD~2", "HEAD", "--operator", "CONV_2D", "--", "--board", "virtual"), "no profile"),
        (("HEAD~2", "HEAD", "--wrong", "--larger", "ram"), "ask one at a time"),
        (
            (
                "HEAD~2",
                "HEAD",
                "--operator",
                "NOPE",
                "--",
                "--model",
                "tests/zoo/dense-int8.tflite",
            ),
            "the model has no such operator, but FULLY_CONNECTED",
        ),
    ),
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(
    made: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    history(made, [1000, 1000, 1001])
    run_git(made, "checkout", "-q", "--orphan", "stranger")
    run_git(made, "commit", "-q", "-m", "stranger")
    run_git(made, "checkout", "-q", "main")
    words = tuple(str(ROOT / word) if word.startswith("tests/") else word for word in words)
    assert main(["bisect", "--in", "made", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (made.parent / "state" / "bisect").exists()


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGKILL))
def test_a_search_that_is_ended_leaves_no_process_and_no_trace_in_the_checkout(
    made: Path, number: int, heard_interrupts: None
) -> None:
    ids = [
        commit(made, "one"),
        commit(made, "two", said="begun", sleep_s=600),
        commit(made, "three", count=2000),
    ]
    before = state_of(made)
    words = [sys.executable, "-m", "harness.cli", "bisect", ids[0], ids[2], "--in", "made"]
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        tree = wait_for(made.parent / "state" / "bisect", "*/tree/left-by-a-step", ids[1])
        process.send_signal(number)
        process.wait(30)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    deadline = time.monotonic() + 30
    while (running := in_folder(made.parent)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running
    assert state_of(made) == before
    assert tree.exists() == (number == signal.SIGKILL)
    if number == signal.SIGKILL:
        assert main(["bisect", ids[0], ids[2], "--in", "made", "--timeout", "0.2"]) == 1
    assert places(made.parent) == set()


def wait_for(state: Path, pattern: str, commit_id: str) -> Path:
    """The work tree, as soon as the step of a commit has begun in it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for left in state.glob(pattern):
            tree = left.parent
            if run_git(tree, "rev-parse", "HEAD") == commit_id:
                return tree
        time.sleep(0.02)
    raise AssertionError("the step never began")


def in_folder(folder: Path) -> list[str]:
    """Processes whose current folder is somewhere below."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if Path(os.readlink(link)).is_relative_to(folder) and link.parent.name != str(
                os.getpid()
            ):
                found.append(link.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    "words, status",
    (
        (("--bord", "qemu-m4"), 255),
        (("--samples", "many"), 255),
        (("--board", "qemu-m4", "--model", "not-there-yet"), 125),
    ),
)
def test_git_bisect_run_stops_for_wrong_use_and_skips_what_a_commit_lacks(
    words: tuple[str, ...], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--bisect", *words]) == status
    assert capsys.readouterr().err


def test_git_bisect_run_finds_the_commit_by_the_statuses_of_a_real_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [
        "hil_samples = 5",
        "hil_samples = 5",
        "hil_model = not-there-yet",  # Skipped.
        "hil_samples = 6",
        "hil_port = virtual:?wrong_output=2",
        "hil_port = virtual:?wrong_output=3",
    ]
    run_git(tmp_path, "init", "-q", "-b", "main")
    ids = []
    for text in settings:
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{text}\n")
        run_git(tmp_path, "add", "pytest.ini")
        run_git(tmp_path, "commit", "-q", "--allow-empty", "-m", text)
        ids.append(run_git(tmp_path, "rev-parse", "HEAD"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    bench = [sys.executable, "-m", "harness.cli", "bench", "--bisect", "--board", "virtual"]
    run_git(tmp_path, "bisect", "start", ids[-1], ids[0])
    said = run_git(tmp_path, "bisect", "run", *bench, "--samples", "5", "--csv", ".git/a.csv")
    assert f"{ids[4]} is the first bad commit" in said
    log = run_git(tmp_path, "bisect", "log")
    assert f"git bisect skip {ids[2]}" in log


def test_a_state_folder_that_cannot_be_written_is_named(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history(made, [1000, 1001])
    (made.parent / "file").write_text("")
    monkeypatch.setenv("HIL_STATE_DIR", str(made.parent / "file"))
    assert main(["bisect", "HEAD~1", "HEAD", "--in", "made"]) == 10
    assert "cannot keep steps in" in capsys.readouterr().err
