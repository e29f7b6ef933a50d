"""Boards whose text would act on a terminal or a CI runner, as `hil` and pytest show it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from fakes.hostile import EVIL, acts, hostile_board

from harness.cli import main
from harness.link.protocol import Status
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.terminal import plain_stdout, say

pytest_plugins = ["pytester"]

SINE = resolve_model("sine", find_project().artifacts)
SHOWN = r"\x1b]0;owned\x07\x1b[2J \u003a:error::lie \u0023#[error]lie\x00\u202e"


@pytest.fixture(autouse=True)
def own_locks(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))


def test_the_judge_of_this_file_sees_what_acts() -> None:
    assert all(acts(text) for text in (EVIL, "\r", "a\n  ::error::b", "\x9b", "x ##[group]y", "\b"))
    assert not acts(f"\x1b[31mred\x1b[0m\n{SHOWN}")


def test_what_is_said_and_printed_is_plain(capsys) -> None:
    say(EVIL)
    with plain_stdout():
        print(EVIL, "\ud800", end="")
    told = capsys.readouterr()
    for text in (told.err.rstrip("\n"), told.out.removesuffix(r" \ud800")):
        assert not acts(text) and text.endswith(r"\u0023#[error]lie\x00\u202e")
    print(EVIL)
    assert acts(capsys.readouterr().out)


def test_a_board_that_is_well_cannot_act_by_what_it_says_of_itself(tmp_path, capsys) -> None:
    csv = tmp_path / "latency.csv"
    with hostile_board(SINE) as port:
        measured = ["bench", "--board=virtual", f"--port={port}", f"--csv={csv}", "--samples=5"]
        assert main(measured) == 0
    told = capsys.readouterr()
    assert not acts(told.out) and not acts(told.err) and "virtual" in told.out
    assert SHOWN in csv.read_text() and not acts(csv.read_text())


def test_a_board_that_refuses_its_model_cannot_act_by_its_reasons(capsys) -> None:
    with hostile_board(SINE, status=Status.ARENA_TOO_SMALL) as port:
        assert main(["infer", "--board=virtual", f"--port={port}", "1.5"]) == 2
    told = capsys.readouterr()
    assert SHOWN in told.err and not acts(told.err) and not acts(told.out)


def test_a_board_that_is_sick_cannot_act_on_pytests_terminal_or_junit(run) -> None:
    with hostile_board(SINE, status=Status.PORT_FAILED) as port:
        result = run("--board=virtual", f"--hil-port=virtual={port}", "--junitxml=junit.xml")
    assert result.ret == 10
    text = result.stdout.str() + result.stderr.str()
    assert SHOWN in text and not acts(text)
    root = ElementTree.parse(run.path / "junit.xml").getroot()
    said = [value for node in root.iter() for value in (*node.attrib.values(), node.text or "")]
    assert any(SHOWN in value for value in said) and not any(acts(value) for value in said)
