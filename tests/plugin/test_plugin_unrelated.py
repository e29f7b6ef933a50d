"""Test runs that have nothing to do with boards, in an environment with the plugin."""

import xml.etree.ElementTree as ElementTree

import pytest

pytest_plugins = ["pytester"]

UNRELATED = """
import signal, sys
import pytest

ALLOWED = {"harness", "harness.version", "harness.errors", "harness.text", "harness.settings"}
ALLOWED |= {f"harness.plugin{name}" for name in ("", ".options", ".start", ".fixtures")}

def test_modules():
    assert {name for name in sys.modules if name.split(".")[0] == "harness"} <= ALLOWED
    assert not {"numpy", "serial", "filelock"} & set(sys.modules)

def test_sigterm():
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

@pytest.mark.parametrize("board", ["virtual"])
def test_of_their_own(board): pass
"""
BOARD_TEST = "def test_it(board): pass"


def spoken(result):
    """Lines of a run that speak of the plugin, but for pytest's list of what is installed."""
    lines = [*result.outlines, *result.errlines]
    return [line for line in lines if "hil" in line.lower() and not line.startswith("plugins:")]


@pytest.mark.parametrize(
    "said",
    [{}, {"HIL_BOARD": "nosuch"}, {"HIL_RIG": "nosuch.toml"}, {"HIL_SAMPLES": "none"}],
    ids=str,
)
def test_an_unrelated_run_is_not_touched(run, monkeypatch, said):
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    result = run("--junitxml=junit.xml", tests=UNRELATED, fresh=True)
    result.assert_outcomes(passed=3)
    assert result.ret == 0 and spoken(result) == []
    assert not list(ElementTree.parse(run.path / "junit.xml").iter("property"))


def test_an_unrelated_run_keeps_its_workers_and_their_scheduling(run, monkeypatch):
    monkeypatch.setenv("HIL_BOARD", "virtual,nosuch")
    result = run("-n", "2", "-v", tests=UNRELATED.replace("def test_modules", "def _modules"))
    assert result.ret == 0 and result.parseoutcomes()["passed"] == 2
    result.stdout.fnmatch_lines(["*scheduling tests via LoadScheduling*"])
    on_boards = run("-n", "2", "-v", "--board", "virtual", tests=BOARD_TEST)
    on_boards.stdout.fnmatch_lines(["hil: boards virtual*", "*scheduling tests via BoardSched*"])


def test_a_board_named_on_the_command_line_is_checked_whatever_is_collected(run):
    assert run("--board", "virtual", tests=UNRELATED.replace("test_modules", "no")).ret == 0
    result = run("--board", "nosuch", tests=UNRELATED)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown board 'nosuch'*"])


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["alone", "workers"])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HIL_BOARD", "nosuch", "*unknown board 'nosuch'*"),
        ("HIL_SAMPLES", "none", "*takes a positive number*"),
    ],
)
def test_what_is_said_of_boards_is_checked_when_a_board_test_is_to_run(
    run, monkeypatch, processes, name, value, said
):
    monkeypatch.setenv(name, value)
    result = run(*processes, tests=BOARD_TEST)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_a_run_with_a_board_test_says_which_boards(run):
    for quiet in ((), ("-q",)):
        result = run("--board", "virtual", *quiet, tests=BOARD_TEST)
        assert result.ret == 0
        assert bool(quiet) != any(
            line.startswith("hil: boards virtual") for line in result.outlines
        )
