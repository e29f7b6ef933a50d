"""Outcomes as CI meets them: exit status, JUnit, terminal, of whole pytest runs."""

import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from fakes.pytests import SMALL, cases, properties, rows

from harness.measure.csvfile import append
from harness.measure.frames import read_rows
from harness.measure.tables import FunctionRow, LayerRow
from harness.outcome import Outcome
from harness.text import WIDTH

pytest_plugins = ["pytester"]

GOLDEN = """
def test_golden(dut, board): assert board.comparison().mismatches == 0, str(board.comparison())
"""
FAST = "def test_fast(latency): latency(n=20, at_most_us={most})\n"
JUNIT = "--junitxml=junit.xml"


def on_virtual(faults=""):
    rig = ("--hil-rig", "impatient.toml") if "hang" in faults else ()
    return ("--board", "virtual", "--hil-port", f"virtual:?{faults}", *rig, JUNIT)


@pytest.mark.parametrize(
    ("faults", "tests", "outcome", "element"),
    [
        ("", SMALL, Outcome.PASSED, None),
        ("wrong_output=7", GOLDEN, Outcome.WRONG, "failure"),
        ("slow=1000", FAST.format(most=1000), Outcome.SLOW, "failure"),
        ("wrong_model=1", GOLDEN, Outcome.STALE, "error"),
        ("hang_after=100", SMALL, Outcome.SICK, "error"),
        ("", "def test_bug(dut): raise ValueError('not the board')", Outcome.FAILED, "failure"),
    ],
)
def test_each_outcome_has_its_exit_status_its_junit_element_and_its_word(
    run, faults, tests, outcome, element
):
    result = run(*on_virtual(faults), tests=tests)
    assert result.ret == outcome.exit_status
    (suite,) = ElementTree.parse(run.path / "junit.xml").iter("testsuite")
    assert properties(suite)["hil_outcome"] == outcome.value
    assert properties(suite)["hil_exit_status"] == str(outcome.exit_status)
    found = [node for node in suite.iter() if node.tag in ("failure", "error")]
    assert [node.tag for node in found] == [element] * bool(element)
    for node in found:
        assert node.get("type") == outcome.value
        assert node.get("message").startswith(f"{outcome.value}: ")
    said = [properties(case).get("hil_outcome") for case in suite.iter("testcase")]
    assert outcome.value in said
    if outcome.gates:
        result.stdout.fnmatch_lines([f"{outcome.value.upper()} test_it.py::test_*"])
        result.stdout.fnmatch_lines([f"{outcome.value}: exit status {outcome.exit_status}"])


def test_the_product_comes_before_the_rig_in_one_run(run):
    tests = FAST.format(most=0.001) + SMALL
    result = run(*on_virtual("hang_after=200"), tests=tests)
    assert result.ret == Outcome.SLOW.exit_status
    counts = result.parseoutcomes()
    assert (counts["failed"], counts["errors"]) == (1, 1)
    unrelated = run(*on_virtual("hang_after=200"), tests=tests + "def test_unit(): assert 0\n")
    assert unrelated.ret == 1


def test_a_run_that_pytest_ends_keeps_pytests_status(run):
    result = run(*on_virtual("hang_after=100"), tests=SMALL + "import nothing_of_that_name\n")
    assert result.ret == pytest.ExitCode.INTERRUPTED


def test_the_link_log_is_in_junit_however_logging_is_set(run):
    for setting in ("no", "log"):
        run(*on_virtual("wrong_output=7"), "-o", f"junit_logging={setting}", tests=GOLDEN)
        (case,) = cases(run.path / "junit.xml").values()
        (output,) = case.iter("system-out")
        assert output.text.count("> INFER") == case.find("system-out").text.count("> INFER") > 0
        assert "hil_link_log" not in properties(case)


def test_a_board_that_could_not_be_opened_shows_its_link_log(run):
    result = run(*on_virtual("wrong_model=1"), tests=GOLDEN)
    result.stdout.fnmatch_lines(["*log of the link*", "*> HELLO*"])
    (case,) = cases(run.path / "junit.xml").values()
    assert "> HELLO" in case.findtext("system-out")


def test_junit_says_what_ran_on_which_board(run):
    run("--board", "qemu-m4", JUNIT)
    (suite,) = ElementTree.parse(run.path / "junit.xml").iter("testsuite")
    assert properties(suite)["hil_board_qemu-m4"] == "5 passed"
    for case in suite.iter("testcase"):
        said = properties(case)
        assert said["hil_board"] == "qemu-m4" and said["hil_port"] == "qemu:mps2-an386"
        assert said["hil_runtime"].startswith("aot ") and "CMSIS" in said["hil_kernels"]
        assert said["hil_model"] == "sine_int8" and len(said["hil_build"]) == 32
        assert said["hil_retries"] == "0" and said["hil_outcome"] == "passed"
        assert (said["hil_flash"], said["hil_escalations"]) == ("not uploaded", "")


def test_retries_are_counted_for_each_test(run):
    run(*on_virtual("duplicate=0.001&seed=3"))
    counted = [
        int(properties(case)["hil_retries"]) for case in cases(run.path / "junit.xml").values()
    ]
    assert max(counted) > 0
    assert len(set(counted)) > 1, "they are not all the total"


def test_the_closing_section_fits_80_columns(run):
    result = run(*on_virtual("hang_after=100"))
    lines = result.stdout.lines
    at = next(index for index, line in enumerate(lines) if "hil boards" in line)
    section = lines[at : at + 6]
    assert section[1].startswith("virtual: 1 sick rig, ")
    assert section[2] == "virtual: 2 requests were sent again"
    assert section[3].startswith("  sick rig: no reply to INFER within ")
    assert all(len(line) <= WIDTH for line in section)


def test_a_limit_in_instructions_is_held_exactly_on_an_emulator(run):
    tests = """
import pytest
from harness.errors import TooSlow

def test_it(latency):
    count = latency(n=5).instructions_p50
    assert latency(n=5, at_most_instructions=count).instructions_p50 == count
    with pytest.raises(TooSlow) as caught:
        latency(n=5, at_most_instructions=count - 1)
    assert (caught.value.measured, caught.value.limit) == (count, count - 1)
    with pytest.raises(ValueError, match="us are not measured on board qemu-m4"):
        latency(n=5, at_most_us=1e6)
"""
    run("--board", "qemu-m4", tests=tests).assert_outcomes(passed=1)
    assert len(rows(run.path / "reports" / "latency.csv")) == 3


RIG = """
[boards.bench]
kind = "virtual"
deadlines = {{ reply_s = 0.5 }}
budget_us = {{ sine = {budget} }}

[[quarantine]]
board = "bench"
test = "{test}*"
reason = "loose crystal, ticket 12"
since = 2026-11-20
"""


def rig_file(run, *, test="none", budget=1e6):
    (run.path / "rig.toml").write_text(RIG.format(test=test, budget=budget))
    return ("--hil-rig", "rig.toml", "--board", "bench", JUNIT)


def test_the_rig_files_budget_is_applied_by_itself(run):
    assert run(*rig_file(run, budget=1e6)).ret == 0
    result = run(*rig_file(run, budget=0.001))
    assert result.ret == Outcome.SLOW.exit_status
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*0.001 us (budget_us.sine of the rig file)*"])
    assert len(rows(run.path / "reports" / "latency.csv")) == 2


def test_a_quarantined_failure_is_reported_and_does_not_gate(run):
    result = run(*rig_file(run, test="test_measured", budget=0.001))
    assert result.ret == 0
    result.assert_outcomes(passed=4, xfailed=1)
    said = "since 2026-11-20, loose crystal, ticket 12; too slow: "
    result.stdout.fnmatch_lines(["bench: 1 quarantined, 4 passed", f"  quarantined: {said}*"])
    case = cases(run.path / "junit.xml")["test_measured[bench-sine]"]
    assert properties(case)["hil_outcome"] == "quarantined"
    assert properties(case)["hil_quarantine"].startswith(said)
    assert case.find("skipped") is not None and case.find("failure") is None


def test_a_quarantined_test_that_passes_is_shown_as_one(run):
    result = run(*rig_file(run, test="test_measured"), "-v")
    assert result.ret == 0
    result.assert_outcomes(passed=4, xpassed=1)
    result.stdout.fnmatch_lines(["*test_measured?bench-sine? QUARANTINED*"])


def test_a_board_wholly_in_quarantine_may_be_sick(run):
    options = (*rig_file(run, test=""), "--hil-port", "virtual:?hang_after=100")
    result = run(*options)
    assert result.ret == 0
    counts = result.parseoutcomes()
    assert counts["xfailed"] == 1 and not {"errors", "failed"} & set(counts)


def test_a_board_that_a_quarantined_test_broke_gates_with_the_next(run):
    options = (*rig_file(run, test="test_long"), "--hil-port", "virtual:?hang_after=250")
    result = run(*options)
    assert result.ret == Outcome.SICK.exit_status
    result.assert_outcomes(passed=2, xfailed=1, errors=1, skipped=1)


MEASURED = "def test_latency(latency): latency(n=30)\n"


def kept(run, *options: str):
    """Measure, and make that the baseline."""
    result = run("--board", "qemu-m4", *options, tests=MEASURED)
    assert result.ret == 0
    (run.path / "reports" / "latency.csv").rename(run.path / "base.csv")
    return run.path / "base.csv"


def test_the_same_firmware_is_as_fast_as_its_baseline(run):
    kept(run)
    result = run("--board", "qemu-m4", "--hil-baseline", "base.csv", tests=MEASURED)
    assert result.ret == 0
    (row,) = rows(run.path / "reports" / "latency.csv")
    (base,) = rows(run.path / "base.csv")
    assert (row["baseline_verdict"], row["baseline_run"]) == ("same", base["run"])
    assert row["baseline_rule"].endswith("instructions, as before: exact")
    result.stdout.fnmatch_lines(["hil: baseline *base.csv, 1 runs", "* sine * same *"])


def test_one_instruction_more_than_the_baseline_is_too_slow_and_not_wrong(run):
    base = kept(run)
    count = rows(base)[0]["instructions_p50"]
    base.write_text(base.read_text().replace(f",{count},", f",{int(count) - 1},"))
    options = ("--hil-baseline", "base.csv", "--junitxml=junit.xml")
    result = run("--board", "qemu-m4", *options, tests=MEASURED)
    assert result.ret == 12
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*times its baseline, run *", "*1 too slow*", "too slow: exit status 12"]
    )
    said = properties(cases(run.path / "junit.xml")["test_latency[qemu-m4-sine]"])
    assert said["hil_baseline_verdict"] == "slower"
    assert f"{count} instructions against {int(count) - 1}" in said["hil_baseline_rule"]
    assert len(rows(run.path / "reports" / "latency.csv")) == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace("qemu-m4,", "nano33ble,"), "no baseline for board qemu-m4"),
        (lambda text: text.replace(",sine,", ",cosine,"), "no baseline for model sine_int8"),
        (lambda text: text.replace(",true,", ",false,"), "one is emulated and the other is not"),
        (lambda text: text.replace(",25000000,true", ",64000000,true"), "other clock"),
    ],
)
def test_a_baseline_of_something_else_is_named_and_decides_nothing(run, spoil, said):
    base = kept(run)
    base.write_text(spoil(base.read_text()))
    before = base.read_text()
    result = run("--board", "qemu-m4", "--hil-baseline", "base.csv", tests=MEASURED)
    assert result.ret == 0 and base.read_text() == before
    (row,) = rows(run.path / "reports" / "latency.csv")
    assert row["baseline_verdict"] == "cannot tell" and said in row["baseline_rule"]
    shown = " ".join(result.stdout.str().split())
    assert f"qemu-m4, aot, sine: cannot tell: {row['baseline_rule']}" in shown


def test_a_retrained_model_is_held_to_the_baseline_of_its_name_where_asked(run):
    base = kept(run)
    sha = rows(base)[0]["model_sha256"]
    base.write_text(base.read_text().replace(sha, "0" * 64))
    tests = {(): "cannot tell", ("--hil-track",): "same"}
    for options, verdict in tests.items():
        run("--board", "qemu-m4", "--hil-baseline", "base.csv", *options, tests=MEASURED)
        assert rows(run.path / "reports" / "latency.csv")[-1]["baseline_verdict"] == verdict


def test_an_absent_or_torn_baseline_is_named(run):
    base = kept(run)
    absent = run("--board", "qemu-m4", "--hil-baseline", "none.csv", tests=MEASURED)
    assert absent.ret == 0 and "no baseline file" in absent.stdout.str()
    base.write_text(base.read_text()[:-40])
    torn = run("--board", "qemu-m4", "--hil-baseline", "base.csv", tests=MEASURED)
    assert torn.ret == 0 and "the last line is torn" in torn.stdout.str()
    base.write_text("x,y\n1,2\n")
    foreign = run("--board", "qemu-m4", "--hil-baseline", "base.csv", tests=MEASURED)
    assert foreign.ret == 4 and "base.csv has no rows of LatencyRow" in foreign.stderr.str()


def test_a_report_is_of_this_run_and_profiles_are_of_another_build(run):
    kept(run)
    asked = ("--hil-profile", "--hil-functions", "--hil-sessions", "2")
    options = (*asked, "--hil-report", "out/report.html")
    result = run("--board", "qemu-m4", *options, tests=MEASURED)
    assert result.ret == 0
    (row,) = rows(run.path / "reports" / "latency.csv")
    page = (run.path / "out" / "report.html").read_text()
    assert row["run"] in page or row["firmware_build"][:8] in page
    layers = read_rows(run.path / "reports" / "layers.csv", LayerRow).rows
    assert {layer.run for layer in layers} == {row["run"]}
    assert {layer.firmware_build for layer in layers} != {row["firmware_build"]}
    assert sum(layer.instructions_p50 for layer in layers) <= layers[0].whole_instructions
    functions = read_rows(run.path / "reports" / "functions.csv", FunctionRow).rows
    assert {function.run for function in functions} == {row["run"]}
    assert {function.firmware_build for function in functions} == {row["firmware_build"]}
    result.stdout.fnmatch_lines(
        [
            *("*hil layers*", "qemu-m4, aot, sine", "*FULLY_CONNECTED*"),
            *("*hil functions*", "qemu-m4, aot, sine", "runtime::Invoke *"),
            "report: *out/report.html",
        ]
    )
    assert all(len(line) <= WIDTH for line in result.outlines if "FULLY" in line)
    # The profile of a run as it would be, had its second operator been faster by an instruction.
    faster = [
        replace(row, instructions_p50=row.instructions_p50 - (row.index == 1)) for row in layers
    ]
    shutil.copy(run.path / "reports" / "latency.csv", run.path / "base.csv")
    append(run.path / "base.layers.csv", faster)
    judged = ("--hil-profile", "--hil-baseline", "base.csv")
    again = run("--board", "qemu-m4", *judged, tests=MEASURED)
    assert again.ret == Outcome.SLOW.exit_status
    again.assert_outcomes(passed=1, errors=1)
    again.stdout.fnmatch_lines(
        [
            "*slower than in the profile of its baseline, run *: 1 FULLY_CONNECTED*",
            "*hil operators*",
            "operators against run *: 1 slower, 3 same",
            "1 FULLY_CONNECTED *slower",
            "  too slow: slower than in the profile of its baseline, run *",
        ]
    )


def test_a_board_stays_locked_from_its_measurement_to_the_end_of_its_profile(run):
    (run.path / "conftest.py").write_text("""
import os
from pathlib import Path
from harness.board.lock import hold
from harness.plugin import boards
from harness.rig.open import RigOptions
# As if this emulator were a board that exists once.
RigOptions.hold = lambda self, board, *_: hold(board.id, timeout_s=self.lock_timeout_s, again=True)
append_profile = boards.append_profile
def append_profile_if_locked(*arguments, **options):
    holder = Path(os.environ["HIL_LOCK_DIR"], "qemu-m4.lock").read_text()
    assert f'"pid": {os.getpid()},' in holder
    found = append_profile(*arguments, **options)
    Path("profiled").write_text(str(len(found.layers)))
    return found
boards.append_profile = append_profile_if_locked
""")
    result = run("--board", "qemu-m4", "--hil-profile", tests=MEASURED)
    assert result.ret == 0
    assert int((run.path / "profiled").read_text()) > 0
    assert not any(lock.stat().st_size for lock in (run.path / "locks").glob("*.lock"))


def test_a_junit_file_that_cannot_be_completed_stays_as_pytest_wrote_it(run):
    # With the ending of a file that is not whole yet, this name is too long.
    name = f"{'x' * 245}.xml"
    result = run("--board", "virtual", f"--junitxml={name}", tests="def test_it(dut): pass")
    assert result.ret == 0
    assert list(cases(run.path / name)) == ["test_it[virtual-sine]"]
    result.stderr.fnmatch_lines(["hil: *xxx.xml stays as pytest wrote it*"])


def test_a_report_that_cannot_be_written_is_a_failure_of_its_own(run):
    (run.path / "taken").mkdir()
    result = run("--board", "virtual", "--hil-report", "taken", tests=MEASURED)
    assert result.ret == 1
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["no report: *taken*"])


def test_without_a_measurement_there_is_no_report_and_that_is_said(run):
    result = run(
        *("--board", "virtual", "--hil-report", "report.html"), tests="def test_it(dut): pass"
    )
    assert result.ret == 0 and not (run.path / "report.html").exists()
    result.stdout.fnmatch_lines(["no report: nothing was measured"])


BREAKING = """
import os, signal, warnings
from harness.report import page
def break_it(*arguments, **options):
    warnings.warn("of whatever draws")
    {act}
page.compose = break_it
"""


@pytest.mark.usefixtures("heard_interrupts")
@pytest.mark.parametrize(
    ("act", "status", "said"),
    [
        ("raise KeyError('median')", 1, "no report: *KeyError: 'median'*"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 2, "no report: terminated (SIGTERM)*"),
        ("signal.raise_signal(signal.SIGINT)", 2, "no report: terminated (SIGINT)*"),
    ],
)
def test_whatever_happens_to_the_report_costs_the_report_only(run, act, status, said):
    (run.path / "conftest.py").write_text(BREAKING.format(act=act))
    result = run(*on_virtual(), "--hil-report", "r.html", "-W", "error", tests=MEASURED)
    assert result.ret == status
    result.stdout.fnmatch_lines(["*hil latency*", "virtual: 1 passed", said])
    (suite,) = ElementTree.parse(run.path / "junit.xml").iter("testsuite")
    assert properties(suite)["hil_exit_status"] == str(status)
    assert properties(suite)["hil_board_virtual"] == "1 passed"
    assert len(rows(run.path / "reports" / "latency.csv")) == 1
    assert not (run.path / "r.html").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--hil-csv", "a.csv", "--hil-report", "a.csv"),
        ("--hil-csv", "a.csv", "--hil-report", "a.samples.csv"),
        ("--hil-report", "a.xml", "--junitxml=a.xml"),
        ("--hil-csv", "a.csv", "--junitxml=a.csv"),
    ],
)
def test_two_outputs_are_not_one_file(pytester, options):
    result = pytester.runpytest_inprocess("-p", "harness.plugin", "--board", "virtual", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*is not to be overwritten*"])
