"""Two bridges that were sold with the same serial number, as cheap ones are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from benchmarks.whole.usb_rig.bench import Rig, board_table, wait_until
from benchmarks.whole.usb_rig.machine import Bridge
from benchmarks.whole.usb_rig.scenario import Scenario, expect
from benchmarks.whole.usb_rig.serial_ports import LONG_S, hil
from harness.errors import RigError

NUMBER = "FTALIKE0"
TWINS = (
    Bridge(name="twin-a", socket="2.2", serial_number=NUMBER),
    Bridge(name="twin-b", socket="2.3", serial_number=NUMBER),
)
_BY_PATH = "/dev/serial/by-path/pci-0000:00:04.0-usb-0:{socket}:1.0-port0"
_BENCH = "hil bench --model sine --runtime aot --flash never --sessions 1 --csv out/twins.csv"


def _link(bridge: Bridge) -> str:
    return _BY_PATH.format(socket=bridge.socket)


def _at(bridge: Bridge, port: str) -> str:
    text = board_table(bridge.name, NUMBER)
    return text.replace(f'serial_number = "{NUMBER}"', f'port = "{port}"')


BY_NUMBER = board_table("twin-a", NUMBER)
BY_PATH = "".join(_at(bridge, _link(bridge)) for bridge in TWINS)


@contextmanager
def _plugged_in(rig: Rig) -> Iterator[None]:
    """Both, with boards that run the harness's firmware."""
    with ExitStack() as stack:
        for bridge in TWINS:
            stack.enter_context(rig.wired(bridge))
            stack.callback(_pulled_out, rig, bridge)
        _wait_links(rig)
        rig.guest.write("/etc/hil/by-number.toml", BY_NUMBER)
        rig.guest.write("/etc/hil/by-path.toml", BY_PATH)
        rig.give_firmware([bridge.name for bridge in TWINS], BY_PATH)
        for bridge in TWINS:
            rig.flash_from_here(bridge.name, BY_PATH)
        yield


def _pulled_out(rig: Rig, bridge: Bridge) -> None:
    with suppress(RigError):  # A scenario may have pulled it out itself.
        rig.guest.unplug(bridge)


def _wait_links(rig: Rig) -> None:
    line = " && ".join(f"test -e {_link(bridge)}" for bridge in TWINS)
    come = wait_until(lambda: rig.guest.run(line).status == 0, 60.0)
    expect(come, rig.guest.run("ls -l /dev/serial/*").end)


def told_apart(rig: Rig) -> str:
    with _plugged_in(rig):
        said = hil(rig, f"{_BENCH} --samples 20 --board twin-a --rig /etc/hil/by-number.toml")
        expect(said.status == 10, f"by the number: status {said.status}: {said.end}")
        for bridge in TWINS:
            expect(_link(bridge) in said.text.replace("\n", ""), f"not named: {said.end}")
        opened = [len(rig.boards[bridge.name].rates) for bridge in TWINS]
        said = hil(rig, f"{_BENCH} --samples 20 --board twin-b --rig /etc/hil/by-path.toml")
        expect(said.status == 0, f"by the path: status {said.status}: {said.end}")
        after = [len(rig.boards[bridge.name].rates) for bridge in TWINS]
        expect(after[0] == opened[0] and after[1] > opened[1], f"opened: {opened}, {after}")
    return (
        f"{NUMBER} is refused with both paths; by its path one was measured, the other not opened"
    )


def not_taken_for_the_other(rig: Rig) -> str:
    """One is pulled out in mid-run: its run must not go on with the other one."""
    line = f"{_BENCH} --samples 100000 --board twin-a --rig /etc/hil/by-path.toml"
    with _plugged_in(rig):
        running = rig.guest.start(line)
        expect(rig.measuring("twin-a", LONG_S), f"nothing was measured: {running.text[-300:]}")
        opened = len(rig.boards["twin-b"].rates)
        begun = time.monotonic()
        rig.guest.unplug(TWINS[0])
        said = running.wait(LONG_S)
        seconds = time.monotonic() - begun
        expect(said.status == 10, f"status {said.status}: {said.end}")
        expect(len(rig.boards["twin-b"].rates) == opened, "the other one was opened")
    return f"status 10 {seconds:.0f} s later, the other one was not opened: {said.told}"


SCENARIOS = (
    Scenario(name="same-number", expected="refused, or by path", act=told_apart),
    Scenario(name="same-pulled", expected="status 10, other left", act=not_taken_for_the_other),
)
