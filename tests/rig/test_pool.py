"""Boards of a pool: a real coordinator and exporter on loopback, virtual boards behind them."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from fakes.history import run_git
from fakes.labgrid_forks import forked_client
from fakes.pool import Lab, labgrid_client
from fakes.pytests import ROOT
from fakes.served import SINE, far_board

from harness.board.place import parse_place
from harness.board.ports import THIS_MACHINE
from harness.board.registry import load_registry
from harness.board.rigfile import Plugged
from harness.cli import main
from harness.errors import (
    CoordinatorGone,
    ExporterGone,
    PlaceBusy,
    PlaceLost,
    PlaceNotFound,
    Where,
)
from harness.outcome import Outcome, of_error
from harness.pool.hold import Held, hold_place
from harness.process import end_group, start
from harness.project import find_project
from harness.rig.keeper import Keeper
from harness.rig.open import RigOptions, open_board
from harness.rig.power import cycle, pool_watch
from harness.rig.power_switches import PoolSwitch

PROJECT = find_project()
VIRTUAL = load_registry()["virtual"]
ANY = parse_place("board=virtual")

HOLDS = """
import sys, time
from pathlib import Path
from harness.board.place import parse_place
from harness.pool.hold import Pool, hold_place
place, program, address = sys.argv[1:]
with hold_place("virtual", parse_place(place), Pool(program=Path(program), coordinator=address)):
    print("held", flush=True)
    time.sleep(600)
"""
FREED_S = 30.0
"""On a machine that is busy; about a second else."""


@pytest.fixture(scope="module")
def installed():
    found = labgrid_client()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="module")
def client(installed):
    with forked_client(installed) as program:
        yield program


@pytest.fixture(scope="module")
def boards():
    with ExitStack() as stack:
        yield [stack.enter_context(far_board("socket"))[0].address for _ in range(2)]


class Relay(BaseHTTPRequestHandler):
    """A power switch, as labgrid's driver `simplerest` asks one."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def relay():
    with HTTPServer(("127.0.0.1", 0), Relay) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{{index}}/{{value}}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def lab(client, boards, relay, tmp_path_factory):
    ports = {"left": boards[0], "right": boards[1]}
    power = {"NetworkPowerPort": {"model": "simplerest", "host": relay, "index": 1}}
    folder = tmp_path_factory.mktemp("lab")
    with Lab(client, folder, ports, tags={"board": "virtual"}, more={"right": power}) as lab:
        yield lab


def at(lab, place, **more):
    """The virtual board at a place."""
    plugged = Plugged(id="virtual", kind="virtual", place=place)
    return RigOptions(plugged=plugged, pool=lab.pool(**more))


def test_runs_of_one_user_queue_for_a_board_and_work_one_after_the_other(lab):
    """Each run is a user of its own to labgrid, which refuses a second acquire."""
    spans, errors = [], []

    def run():
        try:
            with open_board(VIRTUAL, SINE, PROJECT, at(lab, "left")) as opened:
                begun = time.monotonic()
                assert opened.comparison().mismatches == 0
                assert opened.port == "labgrid:left"
                spans.append((begun, time.monotonic()))
        except BaseException as error:
            errors.append(error)

    runs = [threading.Thread(target=run) for _ in range(2)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    assert errors == []
    (_, first_end), (second, _) = sorted(spans)
    assert first_end <= second
    assert "acquired: None" in lab.by_hand("-p", "left", "show")
    assert lab.by_hand("reservations") == ""


def test_boards_with_a_tag_stand_in_for_each_other(lab):
    """A place that somebody acquired by hand is not waited for while another one is free."""
    Relay.asked.clear()
    assert "acquired place left" in lab.by_hand("-p", "left", "acquire")
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            hold_place("virtual", ANY, lab.pool()) as held,
            hold_place("virtual", ANY, lab.pool()) as again,
        ):
            assert held.place == "right" and again is held
            with (
                pytest.raises(PlaceBusy, match="no place left was free within 3 s") as caught,
                hold_place("virtual", parse_place("left"), lab.pool(timeout_s=3.0)),
            ):
                raise AssertionError("held")
            # By labgrid's drivers. Its port is a server's: whether the power went is not seen.
            watched = pool_watch(held, THIS_MACHINE, where=Where(), port_s=1.0, stays=False)
            cycled = cycle(PoolSwitch(held, timeout_s=60.0), watched, off_s=0.1)
            assert held.has_power and Relay.asked == ["/1/0", "/1/1"]
            assert "is not seen" in cycled.problem
            raise KeyboardInterrupt  # As Ctrl-C does; the place is let go of all the same.
        assert "acquired: None" in lab.by_hand("-p", "right", "show")
    finally:
        lab.by_hand("-p", "left", "release")
    assert "left is held by desk/bob for" in str(caught.value)
    assert of_error(caught.value, on_board=True) is Outcome.SICK


def test_a_place_that_does_not_exist_is_named_with_those_that_do(lab, installed):
    pool = replace(lab.pool(), program=installed)  # As it was installed, not forked.
    with (
        pytest.raises(
            PlaceNotFound, match=r"no place lef \(board virtual, port labgrid:lef\)"
        ) as caught,
        hold_place("virtual", parse_place("lef"), pool),
    ):
        raise AssertionError("held")
    assert "left, right" in caught.value.hint


def free(lab, place):
    """Wait until a place is free; how long that took."""
    begun = time.monotonic()
    while "acquired: None" not in lab.by_hand("-p", place, "show"):
        assert time.monotonic() < begun + FREED_S
    return time.monotonic() - begun


def test_a_run_that_is_killed_lets_go_of_its_place(lab):
    words = [sys.executable, "-c", HOLDS, "left", str(lab.client), lab.address]
    process = start(
        words, stdout=subprocess.PIPE, environment={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert process.stdout.read(4) == b"held"
        assert "acquired: None" not in lab.by_hand("-p", "left", "show")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        free(lab, "left")
    finally:
        end_group(process)
        process.stdout.close()


@pytest.fixture
def spy(lab, tmp_path):
    """labgrid's client, of which each call is noted in `calls`."""
    program, calls = tmp_path / "spy", tmp_path / "calls"
    program.write_text(f'#!/bin/sh\necho "$@" >>{calls}\nexec {lab.client} "$@"\n')
    program.chmod(0o755)
    return program


def acquired(spy):
    """Which places were acquired, one after the other."""
    calls = map(str.split, (spy.parent / "calls").read_text().splitlines())
    return [place for place, *words in calls if words == ["acquire"]]


@pytest.fixture
def models(tmp_path):
    """Two models that the boards run: one, under two names."""
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(SINE.content)
    return f"sine,{copy}"


def test_hil_holds_a_place_for_all_its_models_and_a_hostile_one_reaches_no_shell(
    lab, spy, models, tmp_path, capsys
):
    marker = tmp_path / "marker"
    common = [
        *("--labgrid", str(spy), "--coordinator", lab.address, "--board", "virtual"),
        *("--samples", "20", "--csv", str(tmp_path / "latency.csv"), "--model", models),
    ]
    assert main(["bench", *common, "--port", f"labgrid:left;touch {marker}"]) == 10
    assert "must be a place's name" in capsys.readouterr().err
    assert main(["bench", *common, "--port", "labgrid:left"]) == 0
    assert capsys.readouterr().out.count("0/256") == 2
    assert acquired(spy) == ["--place=left"]
    assert "acquired: None" in lab.by_hand("-p", "left", "show")
    assert not marker.exists()


def test_a_search_for_a_commit_holds_its_place_for_all_its_steps(
    lab, spy, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path / "state"))
    folder, ids = tmp_path / "made", []
    run_git(tmp_path, "init", "-q", "made")
    (folder / "m.tflite").write_bytes(SINE.content)
    for subject in ("one", "two"):
        run_git(folder, "add", ".")
        run_git(folder, "commit", "-q", "--allow-empty", "-m", subject)
        ids.append(run_git(folder, "rev-parse", "HEAD"))
    words = [
        *("--labgrid", str(spy), "--coordinator", lab.address, "--port", "labgrid:left"),
        *("--board", "virtual", "--model", "{tree}/m.tflite"),
    ]
    asked = ["bisect", *ids, "--in", str(folder), "--wrong", "--", *words]
    assert main(asked) == 2
    out, err = capfd.readouterr()
    assert "BAD is still good" in err, err
    assert out.count("  good  ") == 2, out
    assert acquired(spy) == ["--place=left"]
    assert "acquired: None" in lab.by_hand("-p", "left", "show")


def test_a_run_of_tests_holds_its_place_for_all_its_models(lab, spy, models, tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it(board): board.dut.hello\n")
    words = [
        *(sys.executable, "-m", "pytest", "--board", "virtual", "--hil-port", "labgrid:left"),
        *("--hil-coordinator", lab.address, "--hil-labgrid", str(spy), "--hil-model", models),
    ]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120.0)
    assert "2 passed" in done.stdout, done.stdout
    assert acquired(spy) == ["--place=left"]


def test_a_place_that_is_taken_by_hand_ends_the_use_of_the_run_that_measured_on_it(lab):
    with Keeper() as keeper:
        kept = replace(at(lab, "left"), keeper=keeper)
        with (
            pytest.raises(PlaceLost, match="desk/bob holds it now") as taken,
            open_board(VIRTUAL, SINE, PROJECT, kept) as opened,
        ):
            assert opened.comparison().mismatches == 0
            lab.by_hand("-p", "left", "release", "--kick")
            lab.by_hand("-p", "left", "acquire")
            until_told_of_trouble(keeper._held)
        lab.by_hand("-p", "left", "release")
        with open_board(VIRTUAL, SINE, PROJECT, kept) as opened:  # It queues anew.
            assert opened.port == "labgrid:left"
    assert taken.value.holder == "desk/bob" and "port labgrid:left" in str(taken.value)
    assert of_error(taken.value, on_board=True) is Outcome.SICK


def test_an_exporter_and_a_coordinator_that_die_are_each_an_error_of_its_own(
    client, boards, tmp_path
):
    with (
        Lab(client, tmp_path, {"left": boards[0]}) as lab,
        pytest.raises(CoordinatorGone, match=f"{lab.address} is not reachable") as dead,
        hold_place("virtual", parse_place("left"), lab.pool()) as held,
    ):
        end_group(lab.exporter)
        with pytest.raises(ExporterGone, match="exporter bench of place left is gone") as gone:
            check_until_lost(held)
        end_group(lab.coordinator)
        check_until_lost(held)
    assert "labgrid-exporter" in gone.value.hint and "labgrid-coordinator" in dead.value.hint
    assert of_error(gone.value, on_board=True) is Outcome.SICK
    assert of_error(dead.value, on_board=True) is Outcome.SICK


def until_told_of_trouble(held: Held | None) -> None:
    """Until the coordinator's message of a place that was taken has come to this run."""
    assert held is not None
    until = time.monotonic() + FREED_S
    while held.trouble() is None and time.monotonic() < until:
        time.sleep(0.05)


def check_until_lost(held: Held) -> None:
    until = time.monotonic() + FREED_S
    while time.monotonic() < until:
        held.check()


def test_pyserial_of_this_environment_is_the_real_one():
    """labgrid's fork takes its place where both are installed."""
    import serial

    assert Path(serial.__file__).is_relative_to(sys.prefix)
