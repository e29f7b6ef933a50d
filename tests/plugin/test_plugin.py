"""The plugin as its users meet it: whole pytest runs, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from fakes.processes import alive, children_of
from fakes.pytests import rows

from harness.board.registry import QEMU
from harness.measure.csvfile import columns
from harness.measure.tables import LatencyRow

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
BOARD_TESTS = ROOT / "harness" / "suite" / "test_on_board.py"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--board", "nano34"), "*unknown board 'nano34'; known: *qemu-m3, *virtual*"),
        (("--board", "virtual", "--hil-model", "cosine"), "*unknown model 'cosine'; known: *sine*"),
        (("--board", "virtual", "--runtime", "aot"), "*unknown runtime for board virtual*tflm*"),
        (("--hil-samples", "none",), "*--hil-samples takes a positive number*"),
        (("--hil-sessions", "0",), "*--hil-sessions takes a positive number*"),
        (("--board", "virtual,qemu-m4", "--hil-port", "/dev/x"), "*say which board*"),
        (("--board", "virtual", "--hil-port", "virtual:?flop=1"), "*unknown fault*flip*"),
        (("--board", "qemu-m4", "--hil-port", "virtual:?flip=1"), "*only the virtual board can *"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_answered_with_the_right_ones(run, options, said):
    result = run(*options)
    (result.stderr if result.ret == pytest.ExitCode.USAGE_ERROR else result.stdout).fnmatch_lines(
        [said]
    )
    assert result.ret != 0


def test_runtimes_are_told_apart_where_a_run_has_several(run):
    test = "def test_it(board): pass"
    several = run("--board", "qemu-m4", "--runtime", "aot,tflm", "--collect-only", "-v", tests=test)
    ids = ["*test_it[[]qemu-m4-sine-aot[]]*", "*test_it[[]qemu-m4-sine-tflm[]]*"]
    several.stdout.fnmatch_lines(["hil: boards qemu-m4 (aot, tflm)*", *ids])
    one = run("--board", "qemu-m4", "--runtime", "tflm", "--collect-only", "-v", tests=test)
    one.stdout.fnmatch_lines(["hil: boards qemu-m4 (tflm)*", "*test_it[[]qemu-m4-sine[]]*"])


def test_board_tests_pass_on_the_virtual_board_and_write_the_csv(run):
    result = run("--board", "virtual", "--hil-samples", "100", tests=BOARD_TESTS.read_text())
    counts = result.parseoutcomes()
    assert counts["passed"] >= 11 and set(counts) <= {"passed", "skipped"}
    (row,) = rows(run.path / "reports" / "latency.csv")
    assert tuple(row) == columns(LatencyRow)
    assert (row["board"], row["emulated"], row["n"]) == ("virtual", "true", "100")
    assert (row["mismatches"], row["verdict"], row["retries"]) == ("0", "pass", "0")
    result.stdout.fnmatch_lines(["*hil latency*", "virtual, tflm", "  sine *0/256 *"])


def test_wrong_numbers_are_a_failure_with_the_odd_one_out_and_the_link_log(run):
    result = run(
        *("--board", "virtual", "--hil-port", "virtual:?wrong_output=7", "--junitxml=junit.xml"),
        tests="def test_golden(dut, board):\n"
        "    assert board.comparison().mismatches == 0, str(board.comparison())",
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*36 of 256 samples differ*", "*odd one out: board*"])
    (case,) = ElementTree.parse(run.path / "junit.xml").iter("testcase")
    assert case.find("failure") is not None and case.find("error") is None
    properties = {item.get("name"): item.get("value") for item in case.iter("property")}
    assert properties["hil_board"] == "virtual"
    assert properties["hil_runtime"].startswith("tflm 0.dev")
    assert "> INFER" in case.find("system-out").text


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("hang_after=200", "*no reply to INFER*in 3 attempts (board virtual, *model sine_int8)*"),
        ("vanish_after=200", "*link lost*during INFER (board virtual*"),
    ],
)  # fmt: skip
def test_a_board_that_breaks_is_one_error_and_the_rest_is_skipped(run, fault, said):
    options = ("--hil-port", f"virtual:?{fault}", "--hil-rig", "impatient.toml", "-rs")
    result = run("--board", "virtual", *options)
    counts = result.parseoutcomes()
    assert (counts["errors"], counts["skipped"]) == (1, 2)
    result.stdout.fnmatch_lines([said])
    result.stdout.fnmatch_lines(["SKIPPED*board virtual broke earlier*"])
    assert len(rows(run.path / "reports" / "latency.csv")) == 1
    assert not any(lock.stat().st_size for lock in (run.path / "locks").glob("*.lock"))


def test_firmware_of_another_model_is_refused(run):
    result = run("--board", "virtual", "--hil-port", "virtual:?wrong_model=1")
    result.assert_outcomes(errors=1, skipped=4)
    result.stdout.fnmatch_lines(
        ["*board runs different firmware than the one just built: model SHA-256 is*"]
    )


def test_retries_are_counted_and_shown(run):
    result = run("--board", "virtual", "--hil-port", "virtual:?duplicate=0.001&seed=3")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["virtual: * requests were sent again"])


def test_a_slower_board_shows_in_the_csv(run):
    for port in ("virtual:", "virtual:?slow=50"):
        assert run("--board", "virtual", "--hil-port", port).ret == 0
    plain, slow = (float(row["p50_us"]) for row in rows(run.path / "reports" / "latency.csv"))
    assert slow > 10 * plain


def test_sessions_are_starts_of_the_board_and_each_has_its_row(run):
    test = "def test_it(latency): assert latency(n=10).sessions == 3"
    result = run("--board", "virtual", "--hil-sessions", "3", tests=test)
    assert result.ret == 0
    csv = run.path / "reports" / "latency.csv"
    assert [row["began"] for row in rows(csv, "session")] == ["start", "reset", "reset"]
    (whole,) = rows(csv)
    assert (whole["sessions"], whole["n"]) == ("3", "30")


def test_tensorflow_and_pandas_are_never_imported(run):
    check = """
import sys
def test_it(latency): latency(n=10)
def test_modules(board):
    assert board.comparison().mismatches == 0
    assert not {"tensorflow", "keras", "pandas"} & set(sys.modules)
"""
    run("--board", "virtual", tests=check, fresh=True).assert_outcomes(passed=2)


def test_missing_tools_are_an_error_for_a_board_asked_for_and_a_skip_otherwise(run, monkeypatch):
    monkeypatch.setenv("HIL_STATE_DIR", str(run.path / "state"))
    monkeypatch.setenv("PATH", str(run.path))
    asked = run("--board", "qemu-m4")
    asked.assert_outcomes(errors=1, skipped=4)
    asked.stdout.fnmatch_lines(["*sudo apt-get install*arm-none-eabi*"])
    default = run("-rs")
    assert default.parseoutcomes() == {"passed": 5, "skipped": 5}
    monkeypatch.setenv("CI", "true")
    in_ci = run()
    in_ci.assert_outcomes(errors=1, skipped=4, passed=5)


def test_without_options_both_default_boards_run(run):
    result = run("--collect-only", "-q")
    result.stdout.fnmatch_lines(["*test_first?qemu-m4*sine*"])
    result.stdout.fnmatch_lines(["*test_first?virtual*sine*"])


def test_ini_and_environment_and_command_line_take_precedence_in_that_order(run, monkeypatch):
    monkeypatch.setenv("HIL_BOARD", "qemu-m4")
    run("--collect-only", "-q").stdout.no_fnmatch_line("*virtual*")
    (run.path / "tox.ini").write_text("[pytest]\nhil_board = virtual\n")
    run("--collect-only", "-q").stdout.no_fnmatch_line("*qemu-m4*")
    run("--collect-only", "-q", "--board", "qemu-m4").stdout.no_fnmatch_line("*virtual*")


def test_other_projects_fixtures_and_parameters_of_these_names_are_left_alone(run):
    tests = """
import pytest
@pytest.fixture
def model(): return "mine"
def test_fixture(model): assert model == "mine"
@pytest.mark.parametrize("board", ["kitchen"])
def test_parameter(board): assert board == "kitchen"
"""
    run("--board", "virtual", tests=tests).assert_outcomes(passed=2)


def test_hil_requires_skips_with_the_reason(run):
    tests = """
import pytest
@pytest.mark.hil_requires("real")
def test_it(dut): pass
@pytest.mark.hil_requires("virtual", "reset")
def test_other(dut): pass
"""
    result = run("--board", "virtual", "-rs", tests=tests)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*board virtual with tflm has no real"])


def test_a_second_run_waits_for_the_board_and_then_names_its_holder(run, served):
    once = ("--board", "virtual", f"--hil-port={served}", "--hil-lock-timeout", "0.2")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path / "locks")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        busy = run(*once)
        busy.assert_outcomes(errors=1, skipped=4)
        busy.stdout.fnmatch_lines([f"*in use by *pid {holder.pid}*since 20*"])
        # Of a board that each run starts anew there is one for everybody.
        assert run("--board", "virtual", "--hil-lock-timeout", "0.2").ret == 0
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert run(*once).ret == 0


HOLD = """
import sys, time
from pathlib import Path
from harness.board.lock import hold
with hold("virtual", timeout_s=1, folder=Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("on", ["virtual", "qemu-m4"])
def test_nothing_is_left_when_pytest_is_ended(run, heard_interrupts, on, ending):
    (run.path / "test_it.py").write_text(
        "import time\ndef test_it(dut, latency):\n"
        "    latency(n=10)\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "pytest", "-s", "-p", "harness.plugin", "--board", on]
    process = subprocess.Popen(command, cwd=run.path, stdout=subprocess.PIPE, text=True)
    try:
        while "ready" not in (line := process.stdout.readline()):
            assert line, "pytest ended early"
        children = children_of(process.pid)
        names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
        assert (QEMU in names) == (on == "qemu-m4") and children
        os.kill(process.pid, ending)
        process.wait(30)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in children if alive(pid)]
    assert len(rows(run.path / "reports" / "latency.csv")) == 1
    result = run("--board", on, "--hil-lock-timeout", "1")
    assert result.ret == 0
