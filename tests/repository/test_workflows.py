"""The workflows: valid, pinned, free of options that nobody knows; the nightly's steps are run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from fakes.nights import emulated_board, layer_rows
from fakes.processes import alive, children_of
from ruamel.yaml import YAML

from harness.cli import main
from harness.measure.csvfile import append
from harness.measure.frames import read_rows
from harness.measure.tables import LatencyRow

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = [ROOT / "action.yml", *sorted((ROOT / ".github" / "actions").glob("*/action.yml"))]
TEMPLATES = sorted((ROOT / "docs" / "ci").glob("*.yml"))
SCRIPTS = [ROOT / ".ci" / name for name in ("run", "night", "only_nightly")]
SCRIPTS += sorted((ROOT / ".ci").glob("*.sh"))
NIGHT = ROOT / ".ci" / "night"
ONLY_NIGHTLY = ROOT / ".ci" / "only_nightly"
GUIDES = (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md")
RIG = """
[boards.left]
kind = "virtual"
deadlines = { reply_s = 0.5 }

[boards.qemu-m4]
"""


def read(workflow: Path) -> Mapping[str, Any]:
    """A workflow's content."""
    content: Mapping[str, Any] = YAML(typ="safe").load(workflow)
    return content


def steps(path: Path) -> Iterator[Mapping[str, Any]]:
    """Every step of an action, or of every job of a workflow."""
    content = read(path)
    for job in [content["runs"]] if "runs" in content else content["jobs"].values():
        yield from job["steps"]


RUNS = [
    (f"{path.parent.name}/{path.name}: {step.get('name')}", step["run"])
    for path in (*WORKFLOWS, *ACTIONS)
    for step in steps(path)
    if "run" in step
]


def scripts() -> Iterator[str]:
    """Everything a reader or a runner is told to type."""
    yield from (text for _, text in RUNS)
    yield NIGHT.read_text()
    for guide in GUIDES:
        text = guide.read_text()
        fenced = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
        yield from (block for language, block in fenced if not language)
        yield from re.findall(r"`((?:hil|pytest) [^`\n]+)`", text)


def commands(program: str) -> list[str]:
    """Calls of a program, each with its arguments, up to the end of the command."""
    found = re.compile(rf"(?:^|[\s(/]){program}(?: +[^\n|;&#)`]+| *$)", re.MULTILINE)
    texts = (re.sub(r"\\\n", " ", text) for text in scripts())
    return [match.group().strip(" (/\n") for text in texts for match in found.finditer(text)]


def options(command: str) -> list[str]:
    return re.findall(r"(?<=\s)--[a-z][a-z-]*", command)


COMMENTING = {"actions": "read", "pull-requests": "write"}
"""All that a workflow may do which writes a comment. Ours also reads its own action."""


def test_pull_requests_run_on_hosted_runners_with_nothing_but_reading() -> None:
    for workflow in WORKFLOWS:
        content = read(workflow)
        started_by = content["on"]
        assert "pull_request_target" not in started_by
        if "workflow_run" in started_by:
            assert set(started_by) == {"workflow_run"}
            assert content["permissions"] == COMMENTING | {"contents": "read"}
        else:
            assert content["permissions"] == {"contents": "read"}
        for job in content["jobs"].values():
            assert "permissions" not in job
            if "self-hosted" in job["runs-on"]:
                assert set(started_by) == {"schedule", "workflow_dispatch"}


def test_checkouts_keep_no_token() -> None:
    every = [step for path in (*WORKFLOWS, *ACTIONS, *TEMPLATES) for step in steps_of_any(path)]
    checkouts = [step for step in every if "checkout@" in step.get("uses", "")]
    assert len(checkouts) == 10
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_may_write_a_comment_runs_nothing_but_the_comment() -> None:
    """A checkout there is of the default branch: none names the pull request's commit."""
    writing = [
        path
        for path in (*WORKFLOWS, *TEMPLATES)
        if "pull-requests" in read(path).get("permissions", {})
    ]
    assert [path.name for path in writing] == ["comment.yml", "github-comment.yml"]
    for path in writing:
        (job,) = read(path)["jobs"].values()
        assert job["if"] == "github.event.workflow_run.event == 'pull_request'"
        used = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
        assert used[-1].endswith("/.github/actions/comment")
        assert used[:-1] in ([], ["actions/checkout"])
        assert all(set(step.get("with", {})) <= {"persist-credentials"} for step in job["steps"])


def steps_of_any(path: Path) -> Iterator[Mapping[str, Any]]:
    """Also of files that have none, as GitLab's."""
    return steps(path) if {"jobs", "runs"} & set(read(path)) else iter(())


NIGHTLY = {
    "GITHUB_EVENT_NAME": "schedule",
    "GITHUB_REPOSITORY": "me/mine",
    "GITHUB_WORKFLOW_REF": "me/mine/.github/workflows/nightly.yml@refs/heads/main",
}


@pytest.mark.parametrize(
    "change, status",
    [
        ({}, 0),
        ({"GITHUB_EVENT_NAME": "workflow_dispatch"}, 0),
        ({"GITHUB_EVENT_NAME": "pull_request"}, 1),
        ({"GITHUB_EVENT_NAME": ""}, 1),
        ({"GITHUB_WORKFLOW_REF": "me/mine/.github/workflows/own.yml@refs/heads/main"}, 1),
        ({"GITHUB_WORKFLOW_REF": "me/mine/.github/workflows/nightly.yml@refs/pull/5/merge"}, 1),
        ({"GITHUB_REPOSITORY": "you/mine"}, 1),
    ],
)
def test_a_rigs_runner_can_refuse_all_but_the_nightly_of_main(
    change: Mapping[str, str], status: int
) -> None:
    done = subprocess.run(
        [ONLY_NIGHTLY], env={**os.environ, **NIGHTLY, **change}, capture_output=True
    )
    assert done.returncode == status and (b"takes nightly.yml" in done.stderr) is bool(status)


@pytest.mark.parametrize("board", ["../x", "-x", "a/b", "a b", ".x", "", "a;b"])
def test_a_night_makes_no_folder_for_what_is_no_board(board: str, tmp_path: Path) -> None:
    done = subprocess.run([NIGHT, board], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 4 and "is no board" in done.stderr
    assert list(tmp_path.iterdir()) == []


GITHUB_TEMPLATES = [path for path in TEMPLATES if path.name.startswith("github-")]


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-workflows", [*WORKFLOWS, *GITHUB_TEMPLATES]),
        ("github-actions", ACTIONS),
        ("gitlab-ci", [path for path in TEMPLATES if path not in GITHUB_TEMPLATES]),
    ],
)
def test_files_agree_with_the_schemas_of_github_and_gitlab(schema: str, paths: list[Path]) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *paths], capture_output=True, text=True)
    assert paths and done.returncode == 0, done.stdout + done.stderr


def test_an_audit_finds_nothing_unsafe_in_workflows_and_actions() -> None:
    places = (str(Path(sys.executable).parent), os.environ["PATH"])
    program = shutil.which("zizmor", path=os.pathsep.join(places))
    assert program, "zizmor is among the packages of pip install -e '.[dev]'"
    done = subprocess.run(
        [program, "--offline", "--quiet", "--no-progress", ROOT], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "script"), RUNS)
def test_shell_of_every_step_can_be_parsed(name: str, script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def checked_shell(name: str, script: str) -> str:
    """What shellcheck says of a script."""
    if shutil.which("shellcheck") is None:
        assert not os.environ.get("CI"), "no shellcheck, and CI is set: apt-get install shellcheck"
        pytest.skip("no shellcheck: apt-get install shellcheck")
    done = subprocess.run(["shellcheck", "-"], input=script, capture_output=True, text=True)
    return f"{name}: {done.stdout}" if done.returncode else ""


def test_shell_of_every_step_is_sound() -> None:
    # As GitHub starts it: bash --noprofile --norc -eo pipefail
    said = [checked_shell(name, f"#!/bin/bash\nset -eo pipefail\n{text}") for name, text in RUNS]
    said += [checked_shell(path.name, path.read_text()) for path in SCRIPTS]
    assert "".join(said) == ""


@pytest.mark.parametrize("workflow", [*WORKFLOWS, *ACTIONS, *TEMPLATES], ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit_with_its_version_beside_it(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text())
    ours = re.compile(r"\./[\w./-]*|OWNER/REPO(?:/[\w./-]+)?@v1")
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+")
    assert [use for use in used if not (ours.fullmatch(use) or pinned.fullmatch(use))] == []


def test_every_hil_command_in_workflows_and_guides_exists() -> None:
    used = [command for command in commands("hil") if re.match(r"hil [a-z]", command)]
    assert {command.split()[1] for command in used} >= {"boards", "doctor", "udev"}
    for command in used:
        # `hil baseline save`: a command's own command has options of its own.
        names = takewhile(re.compile("[a-z]+$").match, command.split()[1:3])
        own, _, measured = command.partition(" -- ")
        assert set(options(own)) <= known_to_hil(*names), command
        # What `hil bisect` is to measure each commit with.
        assert set(options(f" {measured}")) <= known_to_hil("bench"), command


@cache
def known_to_hil(*names: str) -> set[str]:
    """The options of a command."""
    shown = io.StringIO()
    with pytest.raises(SystemExit) as end, contextlib.redirect_stdout(shown):
        main([*names, "--help"])
    assert end.value.code == 0, names
    return set(options(shown.getvalue().replace("[", " ")))


def test_every_pytest_option_in_workflows_and_guides_exists() -> None:
    used = commands("pytest")
    given = {option for command in used for option in options(command)}
    assert {"--board", "--hil-csv", "--junitxml", "--runtime"} <= given
    help_text = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert given <= set(re.findall(r"--[a-z][a-z-]*", help_text)) | {"--junitxml"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what git has or would add, as actions/checkout leaves it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    folder = tmp_path / "checkout"
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What GitHub's runner sets, and what docs/rig.md puts into the runner's .env file."""
    (tmp_path / "rig.toml").write_text(RIG)
    programs = tmp_path / "bin"
    programs.mkdir()
    # Other plugins of this environment take half of the time of a short run.
    alone = "pytest -p harness.plugin"
    for name, module in (("hil", "harness.cli"), ("pytest", alone)):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path / "checkout"),
        "HIL_RIG": str(tmp_path / "rig.toml"),
        "HIL_LOCK_DIR": str(tmp_path / "locks"),
        "HIL_STATE_DIR": str(ROOT / ".hil"),
        "CI": "true",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }


def step(name: str) -> list[str]:
    """A nightly's step as the command that GitHub's runner makes of it."""
    (script,) = {
        s["run"] for s in steps(ROOT / ".github/workflows/nightly.yml") if s.get("name") == name
    }
    return ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]


def summary(environment: Mapping[str, str]) -> str:
    return Path(environment["GITHUB_STEP_SUMMARY"]).read_text()


def test_nightly_plans_a_job_for_each_board_of_the_rig_and_runs_it(
    checkout: Path, environment: dict[str, str]
) -> None:
    subprocess.run(step("Plan"), cwd=checkout, env=environment, check=True)
    matrix = Path(environment["GITHUB_OUTPUT"]).read_text().removeprefix("matrix=")
    boards = json.loads(matrix)["board"]
    assert boards == ["left", "qemu-m4"]
    for board in boards:
        job = {**environment, "BOARD": board, "MODEL": "sine"}
        done = subprocess.run(step("Test"), cwd=checkout, env=job, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        reports = checkout / "reports" / board
        assert {path.name for path in reports.iterdir()} >= {
            "latency.csv",
            "junit.xml",
            "pytest.log",
        }
        assert f",{board}," in (reports / "latency.csv").read_text()
        assert int(ElementTree.parse(reports / "junit.xml").getroot()[0].get("tests", "0")) > 5
        assert "passed" in (reports / "pytest.log").read_text()
    assert summary(environment) == "- `left`: well\n- `qemu-m4`: well\n"


def test_nightly_shows_what_doctor_says_and_goes_on(
    checkout: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(step("Doctor"), cwd=checkout, env=environment, capture_output=True)
    assert done.returncode == 0
    assert "rig file: " in summary(environment)


def test_a_rig_without_boards_fails_the_plan_and_says_so(
    checkout: Path, environment: dict[str, str]
) -> None:
    Path(environment["HIL_RIG"]).write_text("")
    done = subprocess.run(
        step("Plan"), cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0 and "no boards in rig file" in done.stderr
    assert not Path(environment["GITHUB_OUTPUT"]).exists()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "well"),
        (1, "wrong numbers"),
        (2, "did not run to their end"),
        (10, "sick rig"),
        (11, "stale firmware"),
        (12, "too slow"),
    ],
)
def test_every_exit_status_has_its_word_in_the_summary(
    tmp_path: Path, environment: dict[str, str], status: int, said: str
) -> None:
    """The words alone: what makes pytest end so is tested in tests/plugin/test_plugin.py."""
    (tmp_path / "bin" / "pytest").write_text(f"#!/bin/sh\nexit {status}\n")
    done = subprocess.run([NIGHT, "left"], cwd=tmp_path, env=environment)
    assert done.returncode == status
    assert said in summary(environment)


def test_a_board_that_hangs_leaves_its_link_log_in_the_reports(
    checkout: Path, environment: dict[str, str]
) -> None:
    job = {**environment, "BOARD": "left", "MODEL": "sine", "HIL_PORT": "virtual:?hang_after=20"}
    done = subprocess.run(step("Test"), cwd=checkout, env=job, capture_output=True, text=True)
    assert done.returncode == 10
    assert "::error title=left::sick rig" in done.stdout
    cases = (
        ElementTree.parse(checkout / "reports" / "left" / "junit.xml").getroot().iter("testcase")
    )
    (broken,) = (case for case in cases if case.find("error") is not None)
    assert re.search(r"\d > INFER [0-9a-f]+", broken.findtext("system-out", ""))


MEASURED = "def test_latency(latency): latency(n=20)\n"


def test_nights_are_kept_and_shown_together_where_a_history_is_named(
    checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (checkout / "harness" / "suite" / "test_on_board.py").write_text(MEASURED)
    history = tmp_path / "history"
    job = {**environment, "BOARD": "left", "MODEL": "sine", "HIL_HISTORY": str(history)}
    reports = checkout / "reports" / "left"
    for _ in range(2):
        done = subprocess.run(step("Test"), cwd=checkout, env=job, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (reports / "report.html").is_file()
        shutil.move(reports / "latency.csv", tmp_path / "gone.csv")
        append(reports / "layers.csv", layer_rows(emulated_board(0)[-1]))
    nights = [read_rows(path, LatencyRow).rows for path in history.glob("left/*/latency.csv")]
    assert [len(rows) for rows in nights] == [6, 6], "five sessions and the run"
    assert len({rows[-1].run for rows in nights}) == 2
    assert "Trend of sine int8" in (reports / "trend.html").read_text()
    assert len(list(history.glob("left/*/layers.csv"))) == 1, "of the second night"


SLOW = """
import pathlib, time

def test_slow(dut):
    pathlib.Path("reports", "greeted").touch()
    while True:
        time.sleep(0.01)
"""


@pytest.fixture
def cancelled(checkout: Path, environment: dict[str, str], heard_interrupts: None) -> Any:
    """Start the step `Test` on a test without end, and signal its shell as GitHub does."""
    (checkout / "harness" / "suite" / "test_on_board.py").write_text(SLOW)

    def cancel(number: signal.Signals) -> tuple[int, set[int]]:
        job = {**environment, "BOARD": "left", "MODEL": "sine"}
        shell = subprocess.Popen(step("Test"), cwd=checkout, env=job)
        greeted = checkout / "reports" / "greeted"
        deadline = time.monotonic() + 30
        while not greeted.exists():
            assert time.monotonic() < deadline, "no test reached the board"
            time.sleep(0.05)
        started = children_of(shell.pid)
        shell.send_signal(number)
        # GitHub kills it 10 s after the first signal.
        status = shell.wait(timeout=10)
        # The virtual board ends when it sees its parent gone.
        deadline = time.monotonic() + 3
        while (left := {pid for pid in started if alive(pid)}) and time.monotonic() < deadline:
            time.sleep(0.05)
        return status, left

    return cancel


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_night_ends_in_time_and_leaves_no_process(
    cancelled: Any, checkout: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    status, left = cancelled(number)
    assert status != 0
    assert left == set()
    assert summary(environment) == "- `left`: cancelled\n"
    if number == signal.SIGINT:
        assert (checkout / "reports" / "left" / "junit.xml").is_file()
