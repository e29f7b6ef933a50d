"""A board behind ser2net on a real tty: RFC 2217, its lines and rates, from another machine."""

from __future__ import annotations

import sys
import time

import serial

from benchmarks.whole.usb_rig.bench import LEFT, SERVER_PORT, Rig, board_table, wait_until
from benchmarks.whole.usb_rig.scenario import Scenario, expect, meanwhile
from benchmarks.whole.usb_rig.serial_ports import LONG_S
from harness.errors import StartFailed, Where
from harness.link.streams import ByteStream, StreamClosed, open_serial
from harness.process import run_told

_SERVES = """connection: &left
    accepter: telnet(rfc2217),tcp,0.0.0.0,{port}
    connector: serialdev,{path},115200n81,local
    options:
        kickolduser: {kicks}
"""
_PORT_S = 30.0
_TOLD_S = 20.0
_PATH = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_FTLEFT01-if00-port0"


def serve(rig: Rig, *, kickolduser: bool = True) -> None:
    """Have ser2net serve the left board."""
    kicks = str(kickolduser).lower()
    text = _SERVES.format(port=SERVER_PORT, path=_PATH, kicks=kicks)
    rig.guest.write("/etc/hil/ser2net.yaml", text)
    rig.guest.need("pkill -x ser2net; sleep 1; ser2net -c /etc/hil/ser2net.yaml")


def from_outside(rig: Rig) -> str:
    serve(rig)
    board, port = rig.boards["left"], rig.guest.port_here(SERVER_PORT)
    resets = board.resets
    stream = open_serial(f"rfc2217://127.0.0.1:{port}", where=Where(board="left"))
    try:
        stream.pulse_reset()
        reset = wait_until(lambda: board.resets == resets + 1, 20.0)
        expect(reset, f"{board.resets - resets} resets by DTR and RTS over RFC 2217")
        expect(stream.set_baud(230400), "the rate was refused")
        told = wait_until(
            # 3 MHz over 13: the nearest that the bridge has.
            lambda: any(abs(rate / 230400 - 1) < 0.01 for rate in board.rates),
            20.0,
        )
        expect(told, f"rates told to the bridge: {board.rates[-5:]}")
    finally:
        stream.close()
    return "reset by DTR and RTS, and another rate, over RFC 2217"


def measured(rig: Rig) -> str:
    """By the harness on this machine: a board that is plugged into another one."""
    serve(rig)
    rig.prepare("left")
    status, said, seconds = bench_here(rig)
    expect(status == 0, f"status {status}: {said[-600:]}")
    return f"measured through ser2net in {seconds:.0f} s"


def unserved(rig: Rig) -> str:
    rig.guest.need("pkill -x ser2net || true")
    status, said, _ = bench_here(rig)
    expect(status == 10, f"status {status}: {said[-600:]}")
    return f"status 10: {' '.join(said.split())[-200:]}"


def hung_up(rig: Rig) -> str:
    """The bridge goes while ser2net has it open: ser2net ends the connection."""
    serve(rig)
    port = rig.guest.port_here(SERVER_PORT)
    stream = open_serial(f"rfc2217://127.0.0.1:{port}", where=Where(board="left"))
    try:
        stream.read(1.0)
        rig.guest.unplug(LEFT)
        begun = time.monotonic()
        why = _closed(stream, begun + _TOLD_S)
        seconds = time.monotonic() - begun
        expect(why, f"the connection is still open after {_TOLD_S:g} s")
        again = _refusal(f"rfc2217://127.0.0.1:{port}")
    finally:
        stream.close()
        rig.guest.plug(LEFT)
    expect("the server ended the connection" in again, f"opened again: {again}")
    return f"told after {seconds:.1f} s: {why}; opened again: {again.splitlines()[0]}"


def _closed(stream: ByteStream, until: float) -> str:
    while time.monotonic() < until:
        try:
            stream.read(0.2)
        except StreamClosed as error:
            return str(error)
    return ""


def _refusal(url: str) -> str:
    try:
        open_serial(url, where=Where(board="left")).close()
    except StartFailed as error:
        return str(error)
    return "it could be opened"


def pulled_out(rig: Rig) -> str:
    """A run goes on if the bridge comes back within deadlines.port_s, here 30 s."""
    serve(rig)
    rig.prepare("left")
    pulled: list[float] = []

    def pull() -> None:
        if rig.measuring("left", 180.0):
            rig.guest.unplug(LEFT)
            pulled.append(time.monotonic())

    try:
        with meanwhile(pull):
            status, said, _ = bench_here(rig, samples=1_000_000)
            ended = time.monotonic()
    finally:
        rig.guest.plug(LEFT)
    expect(pulled, "nothing was measured")
    expect(status == 10, f"status {status}: {said[-600:]}")
    seconds = ended - pulled[0]
    expect(seconds < 1.5 * _PORT_S, f"told after {seconds:.0f} s")
    return f"status 10 {seconds:.0f} s later: {' '.join(said.split())[-250:]}"


def bench_here(
    rig: Rig, samples: int = 200, killed_after_s: float | None = None
) -> tuple[int, str, float]:
    """A run of `hil bench` on this machine: its status, what it said, and seconds."""
    port = f"rfc2217://127.0.0.1:{rig.guest.port_here(SERVER_PORT)}"
    text = board_table("left", "").replace('serial_number = ""', f'port = "{port}"')
    file = rig.guest.places.folder / "far.toml"
    file.write_text(text)
    begun = time.monotonic()
    limit = [] if killed_after_s is None else ["timeout", "-s", "KILL", f"{killed_after_s:g}"]
    status, said = run_told(
        [
            *limit,
            *(sys.executable, "-m", "harness.cli", "bench", "--board", "left", "--rig", str(file)),
            *("--model", "sine", "--runtime", "aot", "--flash", "never"),
            *("--sessions", "1", "--samples", str(samples)),
            *("--csv", str(rig.guest.places.folder / "latency.csv")),
        ],
        timeout_s=LONG_S,
    )
    return status, said, time.monotonic() - begun


def line_state(rig: Rig) -> str:
    serve(rig)
    port = rig.guest.port_here(SERVER_PORT)
    with serial.serial_for_url(f"rfc2217://127.0.0.1:{port}", timeout=1) as opened:
        lines = {"cts": opened.cts, "dsr": opened.dsr, "cd": opened.cd}
    expect(all(lines.values()), f"QEMU's bridge raises them all: {lines}")
    return f"the bridge's lines came through ser2net: {lines}"


SCENARIOS = (
    Scenario(name="ser2net-lines", expected="reset and rate arrive", act=from_outside),
    Scenario(name="ser2net-state", expected="CTS, DSR, CD are told", act=line_state),
    Scenario(name="ser2net-bench", expected="measured over RFC 2217", act=measured),
    Scenario(name="ser2net-hangs-up", expected="told within 20 s", act=hung_up),
    Scenario(name="ser2net-pulled", expected="status 10", act=pulled_out),
    Scenario(name="ser2net-gone", expected="status 10", act=unserved),
)
