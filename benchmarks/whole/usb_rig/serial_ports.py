"""Boards behind USB bridges: found, flashed, measured, unplugged, shut, taken by others, reset."""

from __future__ import annotations

import json
import re
import time

from benchmarks.whole.usb_rig.bench import BRIDGES, LEFT, RIGHT, Rig, wait_until
from benchmarks.whole.usb_rig.guest import Said
from benchmarks.whole.usb_rig.scenario import Scenario, expect

LONG_S = 900.0
"""For a command of the harness: on an emulated processor beside other work it takes minutes."""

BENCH = "hil bench --model sine --runtime aot --sessions 1 --samples 20 --csv out/latency.csv"


def hil(rig: Rig, line: str, *, user: str = "hil") -> Said:
    """Run the harness in the guest."""
    return rig.guest.run(line, user=user, timeout_s=LONG_S)


def ports_of(rig: Rig) -> dict[str, str]:
    """Path of each serial number's port, as udev names it."""
    listing = rig.guest.need("ls -l /dev/serial/by-id 2>/dev/null || true")
    return {
        serial: f"/dev/{name}"
        for serial, name in re.findall(r"_([A-Z0-9]+)-if00-port0 -> ../../(ttyUSB\d+)", listing)
    }


def wait_ports(rig: Rig, *names: str, there: bool = True) -> None:
    """Until ports of these serial numbers are there, or are gone."""
    came = wait_until(lambda: all((name in ports_of(rig)) == there for name in names), 60.0)
    expect(came, f"udev has {ports_of(rig)}")


def boards(rig: Rig) -> str:
    wait_ports(rig, *(bridge.serial_number or "" for bridge in BRIDGES))
    said = hil(rig, "hil boards --json")
    expect(said.status == 0, said.end)
    ports = ports_of(rig)
    rows = json.loads(said.text)
    text = json.dumps(rows)
    missing = [path for path in ports.values() if path not in text]
    expect(not missing, f"not told: {missing} in {text[:500]}")
    return f"{len(ports)} ports, each with its board, by serial number"


def flash_and_bench(rig: Rig) -> str:
    rig.give_firmware()
    said = hil(rig, f"{BENCH} --board left")
    expect(said.status == 0, said.end)
    expect(rig.boards["left"].starts == 1, f"it started {rig.boards['left'].starts} times")
    expect(rig.boards["right"].starts == 0, "the other board was flashed too")
    return (
        f"flashed and measured; rates told to the bridge: {sorted(set(rig.boards['left'].rates))}"
    )


def two_of_a_kind(rig: Rig) -> str:
    rig.prepare("left")
    starts = rig.boards["left"].starts
    said = hil(rig, f"{BENCH} --board right")
    expect(said.status == 0, said.end)
    expect(rig.boards["right"].starts == 1, "the second board did not start")
    expect(rig.boards["left"].starts == starts, "the first board was started anew")
    return "the second was flashed and measured, the first left alone"


def other_name(rig: Rig) -> str:
    rig.prepare("left")
    before = ports_of(rig)
    for bridge in (LEFT, RIGHT):
        rig.guest.unplug(bridge)
    wait_ports(rig, "FTLEFT01", "FTRIGHT2", there=False)
    for bridge in (RIGHT, LEFT):
        rig.guest.plug(bridge)
        wait_ports(rig, bridge.serial_number or "")
    after = ports_of(rig)
    expect(before["FTLEFT01"] != after["FTLEFT01"], f"the names stayed: {after}")
    said = hil(rig, f"{BENCH} --board left --flash never")
    expect(said.status == 0, said.end)
    return f"{before['FTLEFT01']} became {after['FTLEFT01']}; found by its serial number"


def unplugged(rig: Rig) -> str:
    rig.prepare("left")
    line = "hil bench --model sine --runtime aot --sessions 4 --samples 3000 --csv out/cut.csv"
    running = rig.guest.start(f"{line} --board left --flash never")
    expect(rig.measuring("left", LONG_S), f"nothing was measured: {running.text[-300:]}")
    # Another name is taken before the board comes back, by a port that is still open.
    rig.guest.unplug(LEFT)
    time.sleep(2.0)
    rig.guest.plug(LEFT, "1.3")
    said = running.wait(LONG_S)
    socket = rig.guest.need("readlink -f /sys/class/tty/ttyUSB*/device").split()
    expect(said.status == 0, f"status {said.status}: {said.end}")
    expect(any("1.3" in path for path in socket), "it is in no other socket")
    return f"pulled out in mid-run, put into another socket, the run went on: {said.seconds:.0f} s"


OPENS = """
import sys, time
from harness.errors import StartFailed, Where
from harness.link.streams import open_serial
try:
    stream = open_serial(sys.argv[1], where=Where(board="left"))
    print("opened", flush=True)
    time.sleep(float(sys.argv[2]))
except StartFailed as error:
    print(error)
"""


def opening(rig: Rig, *, seconds: float = 0.0) -> str:
    """The command line that opens the left board's port as the harness does."""
    rig.guest.write("/opt/rig/opens.py", OPENS)
    return f"exec /opt/hil/bin/python /opt/rig/opens.py {ports_of(rig)['FTLEFT01']} {seconds:g}"


def no_permission(rig: Rig) -> str:
    said = hil(rig, opening(rig), user="outsider")
    expect("usermod -aG dialout outsider" in said, f"no remedy: {said.end}")
    return said.end[-250:]


def held_by_another(rig: Rig) -> str:
    port = ports_of(rig)["FTLEFT01"]
    holder = f"import fcntl, os, termios, time; f = os.open('{port}', os.O_RDWR); "
    holder += "fcntl.ioctl(f, termios.TIOCEXCL); print('held', flush=True); time.sleep(900)"
    other = rig.guest.start(f'/opt/hil/bin/python -u -c "{holder}"')
    try:
        expect(other.wait_for("held", LONG_S), other.text)
        said = hil(rig, opening(rig))
    finally:
        rig.guest.run("pkill -f TIOCEXCL")
        other.end()
    expect("python (process" in said, f"who holds it is not said: {said.end}")
    return said.end[-250:]


def kept_out(rig: Rig) -> str:
    """`cat`, which asks for no lock, at a port that the harness has open."""
    ours = rig.guest.start(opening(rig, seconds=900))
    try:
        expect(ours.wait_for("opened", LONG_S), ours.text)
        said = rig.guest.run(f"timeout 5 cat {ports_of(rig)['FTLEFT01']}")
    finally:
        rig.guest.run("pkill -f opens.py")
        ours.end()
    expect("busy" in said, f"cat reads the board's answers: status {said.status}, {said.end}")
    again = rig.guest.run(f"timeout 2 cat {ports_of(rig)['FTLEFT01']}")
    expect("busy" not in again, f"the port stayed shut: {again.end}")
    return f"{said.end}; open to others afterwards"


def reset_lines(rig: Rig) -> str:
    board = rig.prepare("left")
    before, breaks = board.resets, board.breaks
    line = (
        "import time; from harness.errors import Where; from harness.link.streams import *; "
        f"s = open_serial({ports_of(rig)['FTLEFT01']!r}, where=Where(board='left')); "
        "s.pulse_reset(); time.sleep(1); s.close()"
    )
    said = hil(rig, f'/opt/hil/bin/python -c "{line}"')
    expect(said.status == 0, said.end)
    reset = wait_until(lambda: board.resets == before + 1, 20.0)
    expect(reset, f"{board.resets - before} resets")
    again = hil(rig, f"{BENCH} --board left --flash never")
    expect(again.status == 0, again.end)
    return f"one reset by DTR and RTS, {board.breaks - breaks} breaks; it answers afterwards"


SCENARIOS = (
    Scenario(name="boards", expected="ports by udev and pyserial", act=boards),
    Scenario(name="bench", expected="found, flashed, measured", act=flash_and_bench),
    Scenario(name="two-of-a-kind", expected="told apart by serial number", act=two_of_a_kind),
    Scenario(name="other-name", expected="found under another ttyUSB", act=other_name),
    Scenario(name="unplugged", expected="the run goes on", act=unplugged),
    Scenario(name="no-permission", expected="error with remedy", act=no_permission),
    Scenario(name="held", expected="error with who holds it", act=held_by_another),
    Scenario(name="kept-out", expected="cat is refused the port", act=kept_out),
    Scenario(name="reset-lines", expected="one reset, no break", act=reset_lines),
)
