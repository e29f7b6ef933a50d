"""The action's own steps, run in order in a real repository with a base and a head."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakes.github_actions import Runner, action

from harness.project import find_project
from harness.report.document import document_from
from harness.report.markdown import as_markdown

ROOT = Path(__file__).parents[2]
INVOKE = "Status Invoke() {\n"
WASTE = f'{INVOKE}  for (int i = 0; i < 50; ++i) asm volatile("nop");\n'
COMMITTER = {
    f"GIT_{who}_{what}": text
    for who in ("AUTHOR", "COMMITTER")
    for what, text in (("NAME", "me"), ("EMAIL", "me@x"), ("DATE", "2026-01-01T00:00:00Z"))
}


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "init.defaultBranch=main", *words]
    done = subprocess.run(command, env=os.environ | COMMITTER, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a step")
    return git(folder, "rev-parse", "HEAD")


def copy_of_sources(folder: Path) -> None:
    """What git has or would add of this checkout, but for tests and docs."""
    parts = (
        ".gitignore",
        "harness",
        "firmware",
        "models/artifacts",
        "platformio.ini",
        "pyproject.toml",
    )
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z", *parts)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def with_bytecode(folder: Path) -> None:
    """Give a copy of the harness the byte code that this one has, which Python knows by times."""
    for cache in (ROOT / "harness").rglob("__pycache__"):
        shutil.copytree(cache, folder / cache.relative_to(ROOT), dirs_exist_ok=True)
    for copy in (folder / "harness").rglob("*.py"):
        source = ROOT / copy.relative_to(folder)
        if copy.read_bytes() == source.read_bytes():
            shutil.copystat(source, copy)


def merged(workspace: Path) -> tuple[str, str]:
    """GitHub's merge of a branch whose base went on, checked out; base and head of it."""
    git(workspace, "checkout", "--quiet", "-b", "topic")
    firmware = workspace / "firmware" / "src" / "runtime" / "aot.cpp"
    firmware.write_text(firmware.read_text().replace(INVOKE, WASTE))
    head = commit(workspace)
    git(workspace, "checkout", "--quiet", "main")
    (workspace / "later").write_text("")
    base = commit(workspace)
    git(workspace, "merge", "--quiet", "--no-edit", "topic")
    return base, head


def runner(workspace: Path, tmp_path: Path, inputs: Mapping[str, str], **event: object) -> Runner:
    """GitHub's runner on a pull request; packages are installed already."""

    def checkout(given: Mapping[str, str]) -> None:
        git(workspace, "worktree", "add", "--quiet", "--detach", given["path"], given["ref"])
        for folder in (workspace, workspace / given["path"]):
            if (folder / "harness" / "cli").is_dir():
                with_bytecode(folder)

    temp = tmp_path / "temp"
    programs = temp / f"hil-{inputs.get('name', 'hil')}" / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "python").chmod(0o755)
    # What is built is found by content: the base's firmware other tests have built.
    state = find_project().state
    state.mkdir(parents=True, exist_ok=True)  # in a fresh checkout nothing is built yet
    (programs.parents[1] / "state").symlink_to(state)
    return Runner(
        action=ROOT,
        workspace=workspace,
        temp=temp,
        github={"event_name": "pull_request", "sha": git(workspace, "rev-parse", "HEAD"), **event},
        inputs=inputs,
        checkout=checkout,
        environment={"PYTHONPATH": str(ROOT), "HIL_LOCK_DIR": str(tmp_path / "locks")},
        skipped=("Install", "Page"),
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder


SLOWER = """\
### Emulated boards

**All outputs right; 1 slower; operators: 1 slower, 3 same; 1 function changed; no size changed.**

- `{base}`: the base, A
- `{head}`: the head, B
- emulated boards count instructions, not time on silicon

#### Time: 1 slower

| board | runtime | model | A | B | ratio | 95 % interval | verdict |
| --- | --- | --- | ---: | ---: | ---: | ---: | --- |
| `qemu-m4` | `aot` | `sine_int8` |"""


def test_a_slower_head_fails_and_is_said_in_the_summary_and_the_record(
    workspace: Path, tmp_path: Path
) -> None:
    copy_of_sources(workspace)
    commit(workspace)
    base, head = merged(workspace)
    # The event's own base is older than that of the merge.
    event = {"pull_request": {"number": 7, "head": {"sha": head}, "base": {"sha": "0" * 40}}}
    done = runner(workspace, tmp_path, {"models": "sine"}, event=event)
    assert done.run() == 12, done.log
    assert done.summary.startswith(SLOWER.format(base=base, head=head))
    a, b, *_ = re.findall(r"(\d+) instr \|", done.summary)
    # 50 rounds of a loop of three instructions.
    assert 150 <= int(b) - int(a) < 160
    # The very function, and nothing else, in the firmware that is measured.
    (function,) = re.findall(r"\| `([^`]+)` \| \d+ \| \d+ \| \+1\d\d \|", done.summary)
    assert function == "runtime::Invoke"
    assert "\n::error title=hil::All outputs right; 1 slower; operators: 1 slower" in done.log
    names = [name for name, _ in done.used]
    assert names == ["actions/checkout", "actions/cache", *["actions/upload-artifact"] * 2]
    _, comment = done.used[2]
    record = json.loads(Path(comment["path"]).read_text())
    assert (record["format"], record["name"], record["pull_request"]) == (1, "hil", 7)
    assert as_markdown(document_from(record["document"])) + "\n" == done.summary
    assert git(workspace, "status", "--porcelain") == ""


def other(workspace: Path) -> str:
    """A repository that is no checkout of the harness; its first commit."""
    (workspace / "model").mkdir()
    (workspace / "model" / "a.tflite").write_text("no model")
    # Neither is to be taken for the harness that measures.
    (workspace / "harness").mkdir()
    (workspace / "harness" / "__init__.py").write_text("raise SystemExit('imported')")
    return commit(workspace)


def test_a_model_that_cannot_be_run_ends_the_job_and_is_quoted(
    workspace: Path, tmp_path: Path
) -> None:
    first = other(workspace)
    (workspace / "model" / "b.tflite").write_text("`@octocat` <b>")
    commit(workspace)
    event = {"before": first}
    inputs = {"models": "model/*.tflite", "name": "mine"}
    done = runner(workspace, tmp_path, inputs, event=event, event_name="push")
    assert done.run() == 2, done.log
    assert "imported" not in done.log
    assert "**The base could not be measured; the head could not be measured.**" in done.summary
    assert "a.tflite" in done.summary
    assert "hil-mine" in done.outputs["base"]["folder"]
    # Of a push there is nothing to comment.
    assert [given["name"] for name, given in done.used if "upload" in name] == ["mine-report"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"models": "sine", "name": "../x"}, "the name ../x is none"),
        ({"models": "sine"}, "nothing to compare with"),
    ],
)
def test_what_cannot_begin_says_why(
    workspace: Path, tmp_path: Path, inputs: Mapping[str, str], said: str
) -> None:
    other(workspace)
    event = {"before": "0" * 40}
    done = runner(workspace, tmp_path, inputs, event=event, event_name="push")
    assert done.run() == 2 and said in done.log


def test_names_in_a_workflow_never_reach_its_shell() -> None:
    for path in (ROOT / "action.yml", ROOT / ".github" / "actions" / "comment" / "action.yml"):
        for step in action(path)["runs"]["steps"]:
            assert "${{" not in step.get("run", "")
