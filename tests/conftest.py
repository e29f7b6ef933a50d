"""Fixtures of several test files."""

import signal

import pytest
from fakes.pytests import ROOT, SMALL


@pytest.fixture
def heard_interrupts():
    """Children hear SIGINT, which background jobs of a shell, and all they start, ignore."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def deaf():
    """What is started ignores SIGTERM and SIGHUP at first, as under nohup."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in a fresh process and folder, importing the harness under test."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HIL_LOCK_DIR", str(pytester.path / "locks"))
    monkeypatch.delenv("CI", raising=False)

    def go(*options, tests=SMALL):
        pytester.makepyfile(test_it=tests)
        return pytester.runpytest_subprocess("-p", "harness.plugin", *options)

    go.path = pytester.path
    return go
