"""What a folder is taken for, what a step's command looks like, and what its exit status means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes import described

from harness.bisect.figures import Figure, Step, Unjudged
from harness.bisect.question import Broken, Larger, Slower, Wrong
from harness.bisect.status import status_of_error, status_of_row, worst_of
from harness.bisect.subject import Kind, Subject, kind_of, refuse_nothing
from harness.errors import (
    NOWHERE,
    BuildFailed,
    HilError,
    ModelError,
    NotKept,
    RigError,
    SlowerThanBaseline,
    StaleFirmware,
    UnknownName,
    WrongUse,
)

TFLM = "tensorflow/lite/micro/micro_interpreter.h"


@pytest.mark.parametrize(
    "files, asked, kind",
    (
        (("platformio.ini", "harness/cli/__init__.py", TFLM), ("{tree}/a",), Kind.OWN),
        (("platformio.ini", "firmware/src/main.cpp"), (), Kind.PROJECT),
        ((TFLM,), (), Kind.TFLM),
        ((f"src/{TFLM}",), (), Kind.TFLM),
        (("Include/arm_nnfunctions.h",), (), Kind.KERNELS),
        (("model.tflite",), ("sine", "{tree}/model.tflite"), Kind.NAMED),
        (("model.tflite",), ("sine",), None),
    ),
)
def test_a_folder_is_known_by_its_files(
    files: tuple[str, ...], asked: tuple[str, ...], kind: Kind | None
) -> None:
    assert kind_of(files, asked) is kind


def test_a_folder_of_which_nothing_is_measured_is_refused() -> None:
    with pytest.raises(WrongUse, match="nothing of this folder would be measured") as caught:
        refuse_nothing(None, Path("notes"), None)
    assert "{tree}" in caught.value.hint
    with pytest.raises(WrongUse, match="CMSIS-NN: it is measured within TFLite Micro"):
        refuse_nothing(Kind.KERNELS, Path("nn"), None)


def subject(kind: Kind, **changes: object) -> Subject:
    made = Subject(
        kind=kind,
        harness=Path("/own"),
        state=Path("/state"),
        given=(("--board", "qemu-m4"), ("--tflm", "/t"), ("--model", "{tree}/m.tflite")),
    )
    return replace(made, **changes)


def test_each_kind_has_its_own_harness_and_place() -> None:
    takes = ("--board", "--model", "--tflm")
    words = {
        kind: subject(kind).command("bench", Path("/tree"), "--csv", "x", takes=takes)[3:]
        for kind in (Kind.OWN, Kind.TFLM)
    }
    same = ["bench", "--board", "qemu-m4"]
    model = ["--model", "/tree/m.tflite"]
    assert words[Kind.OWN] == ["/tree", *same, "--tflm", "/t", *model, "--csv", "x"]
    assert words[Kind.TFLM] == ["/own", *same, *model, "--tflm", "/tree", "--csv", "x"]
    within = subject(Kind.KERNELS, library=Path("/copy")).command("build", Path("/t"), takes=takes)
    assert within[-2:] == ["--tflm", "/copy"]
    assert subject(Kind.OWN).command("profile", Path("/tree"), takes=())[4:] == ["profile"]


def test_settings_and_git_of_the_environment_do_not_reach_a_step() -> None:
    outside = {
        "HIL_BOARD": "nano33ble",
        "HIL_REPORT": "x.html",
        "GIT_DIR": "/user/.git",
        "HIL_PROJECT_DIR": "/else",
        "HIL_LOCK_DIR": "/locks",
        "PYTHONPATH": "/before",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    made = subject(Kind.OWN).environment(Path("/tree"), outside)
    assert made == {
        "HIL_LOCK_DIR": "/locks",
        "PYTHONPATH": "/tree:/before",
        "HIL_STATE_DIR": "/state",
        "PYTHONPYCACHEPREFIX": "/state/bytecode",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    fixed = subject(Kind.PROJECT).environment(Path("/tree"), outside)
    assert (fixed["PYTHONPATH"], fixed["HIL_PROJECT_DIR"]) == ("/own:/before", "/tree")


@pytest.mark.parametrize(
    "error, status",
    (
        (SlowerThanBaseline(where=NOWHERE, ratio=2, low=1, high=3, rule="", baseline=""), 1),
        (BuildFailed(where=NOWHERE, first_errors=[], log=""), 125),
        (StaleFirmware(where=NOWHERE, field="build", expected="a", actual="b"), 125),
        (RigError("no board"), 125),
        (ModelError("no such operator"), 125),
        (UnknownName("model", "late", []), 125),
        (WrongUse("no such option"), 255),
        (NotKept("disk full"), 255),
    ),
)
def test_errors_mean_to_git_bisect_what_they_say_of_the_commit(
    error: HilError, status: int
) -> None:
    assert status_of_error(error) == status


def test_rows_are_bad_that_are_wrong_or_slower_and_skipped_where_the_gate_cannot_tell() -> None:
    row = replace(described.row(), verdict="pass", baseline_verdict=None)
    rows = (
        row,
        replace(row, verdict="fail"),
        replace(row, baseline_verdict="slower"),
        replace(row, baseline_verdict="cannot tell"),
        replace(row, baseline_verdict="faster"),
    )
    assert [status_of_row(one) for one in rows] == [0, 1, 1, 125, 0]
    assert [worst_of(found) for found in ((), (0, 125), (125, 1), (1, 255))] == [0, 125, 1, 255]


def step(folder: Path, status: int, said: str) -> Step:
    (folder / "log.txt").write_text(said)
    return Step(folder=folder, status=status)


@pytest.mark.parametrize(
    "said, reason",
    (
        ("/a/b/x.cpp:12:3: error: no \x1b[1mtype\nmore", r"does not build: x.cpp: no \x1b[1mtype"),
        ("hil: firmware build failed\n ld: x.o(.text+0x1f): undefined reference to `y'", "to `y'"),
        ("building\nhil: no reply to INVOKE (board qemu-m4).\nhint", "no reply to INVOKE"),
        ("Traceback\nNameError: x", "ended with status 1: NameError: x"),
        ("", "ended with status 1: said nothing"),
    ),
)
def test_the_reason_of_a_step_is_one_line_without_paths(
    tmp_path: Path, said: str, reason: str
) -> None:
    made = step(tmp_path, 1, said)
    assert reason in made.reason
    assert "\n" not in made.reason
    for question in (Slower(), Slower(operator="ADD"), Wrong(), Larger(what="ram")):
        with pytest.raises(Unjudged):
            question.read(made)
    assert Broken().read(made) == Figure(value=1, unit="builds", note=made.reason)
    with pytest.raises(Unjudged):
        Broken().read(step(tmp_path, 10, said))
