"""SIGTERM, sent to processes of their own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BEGIN = """
import os, signal, sys
from harness.process import GracefulShutdown

def terminate(): os.kill(os.getpid(), signal.SIGTERM)

ending = GracefulShutdown()
"""


def said(code):
    """What a process says that runs this code."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        # Whatever the parent of these tests has ignored.
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    )
    return done.returncode, done.stdout.split(), done.stderr


def test_the_first_sigterm_interrupts_and_the_second_does_not():
    code = """
ending.install()
try:
    terminate()
except KeyboardInterrupt:
    print("interrupted")
    terminate()
print("closed")
"""
    assert said(code)[:2] == (0, ["interrupted", "closed"])


@pytest.mark.parametrize("begun", ["ending.begin()", "pass"])
def test_a_sigterm_does_not_cut_short_what_ctrl_c_began(begun):
    code = f"""
ending.install()
try:
    try:
        raise KeyboardInterrupt
    finally:
        {begun}
        terminate()
        print("closed")
except KeyboardInterrupt:
    print("interrupted")
"""
    assert said(code)[:2] == (0, ["closed", "interrupted"])


def test_a_handler_of_the_application_stays():
    code = """
signal.signal(signal.SIGTERM, lambda *_: print("mine"))
ending.install()
terminate()
ending.restore()
terminate()
"""
    assert said(code)[:2] == (0, ["mine", "mine"])


def test_afterwards_sigterm_ends_the_process_again():
    code = """
ending.install()
ending.restore()
ending.restore()
terminate()
"""
    assert said(code)[0] == -signal.SIGTERM


def test_beside_the_main_thread_nothing_is_installed():
    code = """
import threading
thread = threading.Thread(target=ending.install)
thread.start()
thread.join()
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""
    assert said(code)[:2] == (0, ["True"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_exception_says_which_signal_it_was(number):
    code = f"""
from harness.process import Terminated
try:
    with ending:
        os.kill(os.getpid(), {int(number)})
except Terminated as end:
    print(end.number, end)
"""
    assert said(code)[1] == [str(int(number)), "terminated", f"({number.name})"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_the_parent_had_ignored_stays_ignored(number):
    code = f"""
from harness.process import defer_signals
signal.signal({int(number)}, signal.SIG_IGN)
with ending, defer_signals("this"):
    os.kill(os.getpid(), {int(number)})
print(signal.getsignal({int(number)}) is signal.SIG_IGN)
"""
    assert said(code)[:] == (0, ["True"], "")


def test_signals_of_a_moments_work_come_when_it_is_done():
    code = """
from harness.process import defer_signals
with ending:
    try:
        with defer_signals():
            terminate()
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            print("done")
    except KeyboardInterrupt as error:
        print(type(error).__name__)
"""
    assert said(code) == (0, ["done", "Terminated"], "")


def test_a_signal_that_comes_while_a_line_is_written_still_waits_for_the_work():
    code = """
import io
from harness.process import defer_signals

class Raw(io.RawIOBase):
    terminated = False
    def writable(self): return True
    def fileno(self): return 2
    def write(self, data):
        if not self.terminated:
            self.terminated = True
            terminate()
        return os.write(2, data)

sys.stderr = io.TextIOWrapper(io.BufferedWriter(Raw()))
try:
    with ending, defer_signals("the upload"):
        print("a line", file=sys.stderr, flush=True)
        print("uploaded")
except KeyboardInterrupt as error:
    print(type(error).__name__)
"""
    status, out, err = said(code)
    assert (status, out) == (0, ["uploaded", "Terminated"])
    assert err.splitlines() == [
        "interrupted: finishing the upload first; interrupt once more to kill it",
        "a line",
    ]
