"""A run whose model cannot be run: one error with the reason, and skips."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from fakes.pytests import SMALL, properties
from fakes.rewritten import lsh_projection

from harness.model.artifact import load_artifact
from harness.model.wheels import tflm_version
from harness.outcome import Outcome
from harness.project import find_project

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")

SINE = load_artifact(find_project().artifacts / "sine")
JUNIT = "--junitxml=junit.xml"


@pytest.fixture(scope="module")
def unknown(tmp_path_factory):
    """A model of an operator that no TFLM library has.

    Made once: `pytester` forgets what a test imports, and TFLM's module cannot be imported twice.
    """
    path = tmp_path_factory.mktemp("models") / "unknown.tflite"
    path.write_bytes(lsh_projection(SINE.content))
    return path


def test_a_model_that_cannot_run_is_one_error_and_skips_with_that_line(run, unknown, monkeypatch):
    monkeypatch.setenv("HIL_STATE_DIR", str(run.path / "state"))
    result = run("--board", "qemu-m4", "--hil-model", str(unknown), "-rs", JUNIT)
    assert result.ret == Outcome.UNRUNNABLE.exit_status == 2
    assert result.parseoutcomes() == {"errors": 1, "skipped": 4}
    reason = "this model cannot run, because operator 0 (LSH_PROJECTION): TFLM has no kernel for it"
    text = result.stdout.str()
    assert len(text.splitlines()) < 40 and "Traceback" not in text
    assert f"\n{reason} (board qemu-m4, model unknown).\nConvert the model without" in text
    result.stdout.fnmatch_lines(["qemu-m4: 1 model cannot run, 4 skipped"])
    assert not (run.path / "state").exists() and not (run.path / "locks").exists()
    (suite,) = ElementTree.parse(run.path / "junit.xml").iter("testsuite")
    assert properties(suite)["hil_outcome"] == "model cannot run"
    (error,) = suite.iter("error")
    assert error.get("type") == "model cannot run" and reason in error.get("message")
    skips = [node.get("message") for node in suite.iter("skipped")]
    assert len(skips) == 4 and all(reason in message for message in skips)


def test_other_models_and_boards_of_the_run_are_tested(run, unknown):
    models = f"sine,{unknown}"
    result = run("--board", "virtual", "--hil-model", models, tests=SMALL)
    assert result.parseoutcomes() == {"passed": 5, "errors": 1, "skipped": 4}
    assert result.ret == Outcome.UNRUNNABLE.exit_status


def test_a_file_that_is_no_model_is_one_error_too(run):
    for name, content in (("junk.tflite", b"junk"), ("cut.tflite", SINE.content[:900])):
        (run.path / name).write_bytes(content)
        result = run("--board", "virtual", "--hil-model", name)
        assert result.parseoutcomes() == {"errors": 1, "skipped": 4}
        assert result.ret == Outcome.UNRUNNABLE.exit_status
        result.stdout.fnmatch_lines([f"*{name} is *"])


def test_what_the_board_refuses_in_mid_run_is_no_sick_rig(run, unknown):
    # Unchecked: the virtual board's process finds out.
    result = run("--board", "virtual", "--hil-model", str(unknown), "--hil-unchecked")
    assert result.ret == Outcome.UNRUNNABLE.exit_status
    assert result.parseoutcomes() == {"errors": 1, "skipped": 4}
    text = result.stdout.str()
    assert "TFLM on the host cannot load the model" in text and "cable" not in text


def test_an_error_of_another_model_in_a_test_leaves_the_board_to_the_others(run):
    tests = """
from harness import resolve_model

def test_mistaken(dut): resolve_model("absent.tflite")
def test_after(dut): pass
"""
    result = run("--board", "virtual", tests=tests)
    assert result.parseoutcomes() == {"passed": 1, "errors": 1}
    result.stdout.fnmatch_lines(["*def test_mistaken*"])


def test_a_failed_test_shows_what_is_in_a_file_of_ones_own(run):
    (run.path / "mine.tflite").write_bytes(SINE.content)
    tests = "def test_it(model): assert model.name == 'other'\n"
    result = run("--board", "virtual", "--hil-model", "mine.tflite", tests=tests)
    result.stdout.fnmatch_lines(["operators  3: 3 FULLY_CONNECTED", "*runs"])
