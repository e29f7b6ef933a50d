"""kill -9 in the middle of a run: of the run, of ser2net, of the exporter. The next run works."""

from __future__ import annotations

import time

from benchmarks.whole.usb_rig.bench import Rig
from benchmarks.whole.usb_rig.guest import Running
from benchmarks.whole.usb_rig.scenario import Scenario, expect, meanwhile
from benchmarks.whole.usb_rig.serial_ports import BENCH, LONG_S, hil
from benchmarks.whole.usb_rig.serial_server import bench_here, serve
from benchmarks.whole.usb_rig.shared import POOL, start_exporter

_LONG = "hil bench --model sine --runtime aot --sessions 1 --samples 1000000 --csv out/killed.csv"
_RUN = "[h]arness.cli bench"
"""A pattern that does not find the shell that looks for it."""


def _in_mid_run(rig: Rig, line: str) -> Running:
    """A long run on the left board, once it measures."""
    rig.prepare("left")
    running = rig.guest.start(f"{line} --board left --flash never")
    expect(rig.measuring("left", LONG_S), f"nothing was measured: {running.text[-300:]}")
    return running


def _kill(rig: Rig, pattern: str) -> None:
    rig.guest.need(f"pkill -KILL -f '{pattern}'")


def _next_run(rig: Rig, more: str = "") -> float:
    said = hil(rig, f"{BENCH} --board left --flash never {more}")
    expect(said.status == 0, f"the next run: status {said.status}: {said.end}")
    return said.seconds


def run_killed(rig: Rig) -> str:
    running = _in_mid_run(rig, _LONG)
    _kill(rig, _RUN)
    said = running.wait(60.0)
    # ssh says 255 of a command that a signal ended.
    expect(said.status in (137, 255), f"the run was not killed: status {said.status}, {said.end}")
    return f"the next run took the board at once, {_next_run(rig):.0f} s"


def run_killed_outside(rig: Rig) -> str:
    """One through ser2net, killed at this machine; the next one is let in."""
    serve(rig, kickolduser=False)
    rig.prepare("left")
    status, said, _ = bench_here(rig, samples=1_000_000, killed_after_s=20.0)
    expect(status in (-9, 137), f"the run was not killed: status {status}, {said[-300:]}")
    status, said, seconds = bench_here(rig)
    expect(status == 0, f"the next run: status {status}: {said[-600:]}")
    return f"the next run was let in and measured, {seconds:.0f} s"


def server_killed(rig: Rig) -> str:
    """ser2net is killed in mid-run and starts again, as its service does: the run goes on."""
    serve(rig)
    rig.prepare("left")

    back: list[float] = []

    def kill() -> None:
        rig.measuring("left", 120.0)
        rig.guest.need("pkill -KILL -x ser2net")
        time.sleep(3.0)
        serve(rig)
        back.append(time.monotonic())

    with meanwhile(kill):
        status, said, seconds = bench_here(rig, samples=100_000)
        ended = time.monotonic()
    expect(status == 0, f"status {status}: {said[-600:]}")
    expect(back and ended > back[0], "the run was over before ser2net was back")
    return f"the run went on after ser2net was killed and started again, {seconds:.0f} s"


def pool_run_killed(rig: Rig) -> str:
    """The process that holds its place lets go of it."""
    running = _in_mid_run(rig, f"{_LONG} {POOL}")
    _kill(rig, _RUN)
    running.wait(60.0)
    return f"the place was let go, and the next run had it: {_next_run(rig, POOL):.0f} s"


def exporter_killed(rig: Rig) -> str:
    """Its ser2net lives on without it; a new exporter has one of its own."""
    running = _in_mid_run(rig, f"{_LONG} {POOL}")
    _kill(rig, "[l]abgrid-exporter")
    begun = time.monotonic()
    rig.guest.need("pkill -KILL -x ser2net")
    said = running.wait(LONG_S)
    expect(said.status == 10, f"status {said.status}: {said.end}")
    ended = time.monotonic() - begun
    start_exporter(rig)
    seconds = _next_run(rig, POOL)
    return f"status 10 after {ended:.0f} s: {said.told} Once it was back: {seconds:.0f} s"


OWN = (
    Scenario(name="killed", expected="next run works", act=run_killed),
    Scenario(name="killed-far", expected="next run is let in", act=run_killed_outside),
    Scenario(name="ser2net-killed", expected="the run goes on", act=server_killed),
)
POOLED = tuple(
    Scenario(name=name, expected=expected, act=act, behind="pool")
    for name, expected, act in (
        ("pool-killed", "place let go, next run", pool_run_killed),
        ("exporter-killed", "status 10, then works", exporter_killed),
    )
)
