"""Commands in groups of their own: what they say, how long they may take, what is left of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.processes import alive, children_of, pid_in

from harness.locks import held
from harness.process import LastWords, end_group, run, start


def test_a_command_ends_when_it_does_not_when_its_children_do(tmp_path):
    begun = time.monotonic()
    command = f"sleep 12 & echo $! >{tmp_path}/pid; exit 4"
    assert run(command, tmp_path / "log", timeout_s=20) == 4
    assert time.monotonic() - begun < 10
    assert not alive(pid_in(tmp_path / "pid"))


def test_output_and_errors_go_to_the_log_and_nothing_comes_in(tmp_path):
    status = run("cat; echo one; echo two >&2; pwd", tmp_path / "log", folder=tmp_path)
    assert status == 0
    assert (tmp_path / "log").read_text() == f"one\ntwo\n{tmp_path}\n"


def test_lines_are_told_while_the_command_runs(tmp_path):
    seen = []

    def go_on(line):
        seen.append(line)
        (tmp_path / "go").touch()

    command = "echo one; while ! [ -e go ]; do sleep 0.01; done; echo two; printf three"
    assert run(command, tmp_path / "log", folder=tmp_path, on_line=go_on, timeout_s=60) == 0
    assert seen == ["one", "two", "three"]


@pytest.mark.parametrize("on_line", [None, print])
def test_a_command_is_ended_when_its_time_is_up(tmp_path, on_line):
    before = children_of(os.getpid())
    with pytest.raises(subprocess.TimeoutExpired):
        run("exec sleep 600", tmp_path / "log", on_line=on_line, timeout_s=0.2)
    assert children_of(os.getpid()) <= before


def test_a_group_that_ignores_sigterm_is_killed(tmp_path):
    command = f"trap '' TERM; sleep 600 & echo $! >{tmp_path}/pid; echo on; sleep 600"
    with pytest.raises(KeyError):
        run(command, tmp_path / "log", on_line={}.__getitem__)
    assert not alive(pid_in(tmp_path / "pid"))


def test_a_group_may_clean_up_before_it_ends(tmp_path):
    command = "trap 'sleep 0.2; echo cleaned; exit' TERM; echo on; sleep 600 & wait"
    with pytest.raises(KeyError):
        run(command, tmp_path / "log", on_line={}.__getitem__)
    assert (tmp_path / "log").read_text() == "on\ncleaned\n"


IMPATIENT = """
import signal, sys, time
from pathlib import Path
from harness.process import run

try:
    run({command!r}, None, folder=Path(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_second_interrupt_does_not_wait_for_the_group_to_clean_up(tmp_path, heard_interrupts):
    command = "trap 'touch asked' TERM; echo $$ >pid; while true; do sleep 0.01; done"
    code = IMPATIENT.format(command=command)
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as process:
        group = pid_in(tmp_path / "pid")
        process.send_signal(signal.SIGINT)
        while not (tmp_path / "asked").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert not alive(group)


def test_the_end_of_what_a_process_says_is_kept_and_it_never_waits():
    code = "import sys; sys.stdout.write('x' * 1_000_000 + 'the end'); print(' of it')"
    process = start([sys.executable, "-c", code], stdout=subprocess.PIPE)
    said = LastWords(process.stdout, most=20)
    assert process.wait(60) == 0
    assert said.text(wait_s=60) == "xxxxxxthe end of it"


def test_a_command_is_out_of_the_terminals_reach():
    process = start(["sleep", "600"])
    assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid
    end_group(process)
    assert process.returncode == -signal.SIGTERM


KILLED = """
import sys
from pathlib import Path
from harness.locks import held
from harness.process import run

with held(Path("lock"), "in use") as lock:
    run("(sleep 600 & echo $! >pid; wait)", None, locks=[lock])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_what_a_killed_program_has_started_ends_before_its_lock_is_free(
    tmp_path, monkeypatch, number
):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path) as process:
        grandchild = pid_in(tmp_path / "pid")
        process.send_signal(number)
        assert process.wait(20) == -number
    with held(tmp_path / "lock", "in use", timeout_s=20):
        assert not alive(grandchild)


def test_a_command_that_cannot_be_run_says_so_with_status_127(tmp_path):
    assert run([str(tmp_path / "none")], tmp_path / "log") == 127
    assert (tmp_path / "log").read_text().startswith(f"cannot run {tmp_path}/none: No such file")


def test_a_command_ended_by_a_signal_has_that_status(tmp_path):
    assert run("kill -SEGV $$", tmp_path / "log") == -signal.SIGSEGV
