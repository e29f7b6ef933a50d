from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.instruments import STATED

from harness.board.meters import MeterSpec
from harness.errors import MeterError, RigError, Where
from harness.meter.bounded import Bounded
from harness.meter.meter import Identity, kinds, look_at_meter, marked, open_meter

ROOT = Path(__file__).parents[2]


def distribution(folder: Path, name: str, source: str, kind: str = "acme") -> None:
    """A distribution with an entry point for a meter, as pip leaves it in a folder."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tinyml_hil.meters]\n{kind} = {name}:opened\n")
    (folder / f"{name}.py").write_text(source)


ACME = """
import numpy as np
from harness.measure.energy import Trace
from harness.meter.meter import Identity

class opened:
    def __init__(self, spec):
        self.identity = Identity(kind=spec.kind, serial_number=spec.serial_number, firmware="1.2")
    def arm(self, volts=None):
        if volts == 7: raise KeyError("no such voltage")
    def disarm(self):
        return Trace(seconds=np.arange(9.0), amps=np.ones(9), volts=3.0, resolution_amps=0.0,
                     gain_error=0.0, offset_amps=0.0, rate_hz=1.0)
    def close(self): pass
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("acme_meters", "bad_meters"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))
    return tmp_path


def test_a_distribution_adds_a_kind_of_meter(installed: Path) -> None:
    distribution(installed, "acme_meters", ACME)
    assert "acme" in kinds() and "lines" in kinds()
    with open_meter(MeterSpec(kind="acme", serial_number="A1")) as meter:
        assert str(meter.identity) == "acme A1" and meter.identity.firmware == "1.2"
        meter.arm()
        assert np.all(meter.disarm().amps == 1)
        assert marked(meter) is None


def test_what_a_distribution_raises_is_an_error_of_the_meter(installed: Path) -> None:
    distribution(installed, "acme_meters", ACME)
    with open_meter(MeterSpec(kind="acme", port="/dev/x"), board="left") as meter:
        with pytest.raises(MeterError, match="the meter failed: 'no such voltage'") as error:
            meter.arm(7.0)
    assert "board left, meter acme /dev/x, port /dev/x" in str(error.value)


def test_whatever_a_strangers_meter_does_is_an_error_of_the_meter(installed: Path) -> None:
    source = ACME.replace('raise KeyError("no such voltage")', "raise SystemExit(3)")
    source = source.replace("return Trace(", "return dict(").replace(": pass", ": raise OSError(7)")
    distribution(installed, "acme_meters", source)
    meter = open_meter(MeterSpec(kind="acme"), board="left", lock_timeout_s=0)
    with pytest.raises(MeterError, match="the meter failed: 3 .board left"):
        meter.arm(7.0)
    meter.arm()
    with pytest.raises(MeterError, match="it brought no trace, but dict .board left"):
        meter.disarm()
    with pytest.raises(MeterError, match="the meter failed: 7 .board left"):
        meter.close()
    open_meter(MeterSpec(kind="acme"), lock_timeout_s=0)  # It was let go all the same.


def test_a_strangers_meter_that_lacks_calls_says_so(installed: Path) -> None:
    distribution(installed, "acme_meters", ACME.replace("disarm", "d").replace("close", "c"))
    meter = open_meter(MeterSpec(kind="acme"), board="left", lock_timeout_s=0)
    for call, name in ((meter.disarm, "disarm"), (meter.close, "close")):
        with pytest.raises(MeterError, match=f"no attribute '{name}' .board left"):
            call()


def test_a_strangers_meter_that_does_not_come_back_is_left(installed: Path) -> None:
    source = ACME.replace(": pass", ": pass\n    over = __import__('threading').Event()")
    source = source.replace('raise KeyError("no such voltage")', "self.over.wait(20)")
    distribution(installed, "acme_meters", source)
    spec = MeterSpec(kind="acme")
    meter = open_meter(spec, board="left", lock_timeout_s=0, comes_back_s=0.2)
    for call in (lambda: meter.arm(7.0), meter.disarm, meter.close):
        with pytest.raises(MeterError, match="does not come back within 0.2 s .board left"):
            call()
    sys.modules["acme_meters"].opened.over.set()
    open_meter(spec, lock_timeout_s=0).close()  # Another one may be tried.


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ("None", "it does not say which one it is: NoneType is no Identity"),
        ("property(lambda self: [][0])", "the meter failed: list index out of range"),
        ("property(lambda self: exit(3))", "the meter failed: 3"),
        ("Identity(kind=3)", "its Identity has fields of other types"),
        ("Identity(kind='a', serial_number=5)", "its Identity has fields of other types"),
        ("Identity(kind='a', calibrated='2026')", "`calibrated` is no datetime.date"),
    ],
)
def test_a_strangers_meter_that_does_not_say_which_it_is_is_refused(
    installed: Path, identity: str, said: str
) -> None:
    source = ACME.replace("self.identity =", "_ =")
    source = source.replace("def __init__", f"identity = {identity}\n    def __init__")
    distribution(installed, "acme_meters", source)
    for _ in range(2):  # It was let go.
        with pytest.raises(MeterError, match=re.escape(said)) as error:
            open_meter(MeterSpec(kind="acme"), board="left", lock_timeout_s=0)
        assert error.value.where.board == "left"


def test_what_a_strangers_meter_says_where_it_is_looked_at_is_checked_too(installed: Path) -> None:
    look = "    look = staticmethod(lambda spec: 'A1' if spec.port else Identity(kind='a\\x1b'))\n"
    distribution(installed, "acme_meters", ACME + look)
    with pytest.raises(MeterError, match="str is no Identity"):
        look_at_meter(MeterSpec(kind="acme", port="/dev/x"))
    assert look_at_meter(MeterSpec(kind="acme")) == Identity(kind=r"a\x1b")


def test_edges_that_a_strangers_meter_does_not_take_are_an_error_of_the_meter(
    installed: Path,
) -> None:
    source = f"{ACME}    def mark(self, high): self.high = high\n"
    distribution(installed, "acme_meters", source)
    with open_meter(MeterSpec(kind="acme"), board="left") as meter:
        told = marked(meter)
        assert told is not None
        with pytest.raises(MeterError, match="the meter failed: .*at_s.* .board left"):
            told.mark(True, at_s=1.0)


def test_an_error_whose_own_text_fails_is_named_by_its_type(installed: Path) -> None:
    broken = "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})()"
    source = ACME.replace('raise KeyError("no such voltage")', broken)
    distribution(installed, "acme_meters", source)
    with open_meter(MeterSpec(kind="acme")) as meter:
        with pytest.raises(MeterError, match="the meter failed: Odd"):
            meter.arm(7.0)


def test_a_call_after_an_interrupted_one_has_its_own_answer() -> None:
    calls, caught, heard = Bounded(60.0), threading.Event(), []

    def interrupt(number: int, frame: object) -> None:
        heard.append(number)
        if len(heard) == 1:
            raise KeyboardInterrupt

    def interrupted() -> str:
        # Again and again: one that comes right before the other thread waits does not wake it.
        while not caught.wait(0.02):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return "late"

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            calls.run(interrupted)
        caught.set()
        assert calls.run(lambda: "own") == "own"
    finally:
        caught.set()
        signal.signal(signal.SIGINT, before)
    calls.end()


def test_calls_of_a_strangers_meter_are_all_of_one_thread(installed: Path) -> None:
    source = ACME.replace("np.arange(9.0)", "np.arange(9.0) + self.thread")
    threads = "self.thread = __import__('threading').get_ident() % 1000"
    source = source.replace("self.identity =", f"{threads}; self.identity =")
    source = source.replace("if volts == 7:", f"before = self.thread; {threads}\n        if before")
    source = source.replace("if before raise", "if before != self.thread: raise")
    distribution(installed, "acme_meters", source)
    with open_meter(MeterSpec(kind="acme"), lock_timeout_s=0) as meter:
        meter.arm()
        assert len(meter.disarm().seconds) == 9


@pytest.mark.parametrize(
    ("source", "said"),
    (
        ("raise OSError('no \\x1b[31mdisk')", r"no \x1b[31mdisk"),
        ("raise SystemExit(3)", "cannot be loaded: 3"),
        ("", "no attribute 'opened'"),
        ("import harness_no_such", "No module named 'harness_no_such'"),
    ),
)
def test_a_broken_distribution_is_named_with_its_remedy(
    source: str, said: str, installed: Path
) -> None:
    distribution(installed, "bad_meters", source)
    assert "acme" in kinds()
    with pytest.raises(MeterError, match=re.escape(said)) as error:
        open_meter(MeterSpec(kind="acme"), board="left")
    assert "distribution bad_meters cannot be loaded" in str(error.value)
    assert "pip uninstall bad_meters" in str(error.value)


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(MeterError, match="unknown kind of meter 'ppk3'; known: .*csv.*lines"):
        open_meter(MeterSpec(kind="ppk3"))


def test_a_meter_is_held_by_one_at_a_time_and_told_from_others_of_its_kind(installed: Path) -> None:
    distribution(installed, "acme_meters", ACME)
    one = MeterSpec(kind="acme", serial_number="A1")
    with open_meter(one):
        with open_meter(MeterSpec(kind="acme", serial_number="A2"), lock_timeout_s=0) as other:
            assert str(other.identity) == "acme A2"
        with pytest.raises(MeterError, match=r"the meter is in use by .*pid \d+") as error:
            open_meter(one, board="left", lock_timeout_s=0)
        assert "board left, meter acme A1" in str(error.value)
    open_meter(one, lock_timeout_s=0).close()


def test_a_link_to_a_port_and_the_port_are_one_meter(installed: Path) -> None:
    distribution(installed, "acme_meters", ACME)
    (installed / "by-id").symlink_to("/dev/null")
    with open_meter(MeterSpec(kind="acme", port=str(installed / "by-id"))):
        with pytest.raises(MeterError, match="in use"):
            open_meter(MeterSpec(kind="acme", port="/dev/null"), lock_timeout_s=0)


def test_a_meter_that_does_not_open_is_let_go(installed: Path) -> None:
    distribution(installed, "acme_meters", "def opened(spec): raise ValueError('not today')")
    for _ in range(2):
        with pytest.raises(MeterError, match="the meter failed: not today"):
            open_meter(MeterSpec(kind="acme", serial_number="A1"), lock_timeout_s=0)


def test_names_of_meters_become_names_of_locks_whatever_is_in_them(installed: Path) -> None:
    distribution(installed, "acme_meters", ACME)
    for path in ("../../x;\x1b[31m$(id)", "a" * 3000, "a" * 2999 + "b"):
        open_meter(MeterSpec(kind="acme", path=path), lock_timeout_s=0).close()
    names = sorted(path.name for path in (installed / "locks").iterdir())
    assert len(names) == 3 and all(re.fullmatch(r"meter [\w.%+ ~-]+\.lock", name) for name in names)


def test_a_simulated_instrument_says_so() -> None:
    assert str(Identity(kind="ppk2", serial_number="S1", simulated=True)) == "simulated ppk2 S1"
    assert str(Identity(kind="simulated", simulated=True)) == "simulated"
    assert str(Where(board="b", meter="ppk2 S1", port="p")) == "board b, meter ppk2 S1, port p"


@pytest.mark.parametrize(
    ("wrong", "said"),
    (
        ({"kind": "../x"}, "a meter's kind must be"),
        ({"serial_number": "a;b"}, "serial_number must be"),
        ({"port": ""}, "must not be empty"),
        ({"volts": 0.0}, "volts must be above 0"),
        ({"volts": 230.0}, "volts must be above 0 and at most 60"),
        ({"pin": 99}, "pin must be a channel from 0"),
    ),
)
def test_a_spec_that_cannot_be_is_refused(wrong: Any, said: str) -> None:
    with pytest.raises(RigError, match=said):
        MeterSpec(**{"kind": "ppk2", "options": STATED, **wrong})


def test_meters_load_no_library_of_an_instrument_before_one_is_opened() -> None:
    code = "import sys, harness.meter.meter as m; m.kinds(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "harness" in loaded
    assert loaded & {"ppk2lab", "pyjoulescope_driver", "pandas", "serial"} == set()
