"""Programs that take new serial ports for themselves: ModemManager, and brltty."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.whole.usb_rig.bench import Rig, board_table, wait_until
from benchmarks.whole.usb_rig.guest import Running
from benchmarks.whole.usb_rig.machine import Bridge
from benchmarks.whole.usb_rig.scenario import Scenario, expect
from benchmarks.whole.usb_rig.serial_ports import BENCH, hil, ports_of
from harness.board.udev import RULES_FILE
from harness.errors import RigError

NEW = Bridge(name="new", socket="2.4", serial_number="FTNEWONE")
_NUMBER = "FTNEWONE"
_RIG_FILE = board_table("new", _NUMBER)
_RULES = "/lib/udev/rules.d/85-brltty.rules"

# As Ubuntu 22.04 has it, but that it is of this one bridge, and starts brltty without systemd.
_TAKES_IT = (
    'ACTION=="add", SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", ENV{PRODUCT}=="403/6001/*", '
    f'ATTR{{serial}}=="{_NUMBER}", RUN+="/opt/rig/start-brltty"\n'
)
_STARTS_IT = f"""#!/bin/sh
exec /bin/brltty -b ce -d usb:serialNumber={_NUMBER} -x no -N -A auth=none -P /run/brltty.pid \\
    </dev/null >/dev/null 2>&1
"""


def _finding(rig: Rig, point: str) -> dict[str, object]:
    said = hil(rig, "hil doctor --json")
    found = [item for item in json.loads(said.text)["findings"] if item["point"] == point]
    expect(found, f"doctor says nothing of {point}: {said.end}")
    return dict(found[0])


@contextmanager
def _plugged_in(rig: Rig) -> Iterator[None]:
    rig.guest.plug(NEW)
    try:
        yield
    finally:
        with suppress(RigError):
            rig.guest.unplug(NEW)


def _there(rig: Rig) -> bool:
    return _NUMBER in ports_of(rig)


def braille(rig: Rig) -> str:
    """brltty takes a bridge that its rules name; doctor says so, and its advice keeps it off."""
    rig.guest.write("/opt/rig/start-brltty", _STARTS_IT, "755")
    rig.guest.write("/etc/hil/new.toml", _RIG_FILE)
    rig.give_firmware(["new"], _RIG_FILE)
    rig.guest.write(_RULES, _TAKES_IT)
    rig.guest.need("udevadm control --reload")
    try:
        with _plugged_in(rig):
            taken = wait_until(
                lambda: rig.guest.run("pgrep -x brltty").status == 0 and not _there(rig), 60.0
            )
            said = rig.guest.run("dmesg | grep brltty | tail -1", user="root")
            expect(taken, f"brltty left the port alone: {said.end}")
            claimed = said.told.partition("] ")[2]
            missed = hil(rig, f"{BENCH} --board new --flash never --rig /etc/hil/new.toml")
            expect(missed.status == 10, f"status {missed.status}: {missed.end}")
            expect("brltty takes 0403:6001" in missed, f"brltty is not named: {missed.end}")
            finding = _finding(rig, "brltty")
            expect(not finding["ok"] and "0403:6001" in str(finding["detail"]), str(finding))
        rig.guest.need("pkill -x brltty; true")
        cure = str(finding["cure"]).partition("used: ")[2].replace("sudo ", "")
        rig.guest.need(cure.splitlines()[0])
        with _plugged_in(rig):
            expect(wait_until(lambda: _there(rig), 60.0), "no port after the advice")
            stays = not wait_until(lambda: not _there(rig), 10.0)
            expect(stays, "it is taken after the advice, too")
        expect(_finding(rig, "brltty")["ok"], "doctor still complains")
    finally:
        rig.guest.run(f"pkill -x brltty; rm -f {_RULES}; udevadm control --reload", user="root")
    return f"taken ({claimed}), told by doctor; with its advice the port stayed"


_MODEM_MANAGER = "/usr/sbin/ModemManager --debug"
_SAID = re.compile(r"port grabbed: ttyUSB\d+|\(tty/ttyUSB\d+\):? port filtered: [^\n]*")


def modems(rig: Rig) -> str:
    """ModemManager is told by the rules of `hil udev` to keep off a port, and heeds it."""
    rig.guest.need(f"rm -f {RULES_FILE}; udevadm control --reload")
    rig.guest.need("mkdir -p /run/dbus; pgrep -x dbus-daemon || dbus-daemon --system --fork")
    running = rig.guest.start(_MODEM_MANAGER, user="root")
    try:
        without = _said_of_new_port(rig, running)
        expect(not _finding(rig, "ModemManager")["ok"], "doctor finds nothing wrong")
        written = hil(rig, "hil udev >rules")
        expect(written.status == 0, written.end)
        rig.guest.need(f"cp ~hil/rules {RULES_FILE}; udevadm control --reload")
        with_rules = _said_of_new_port(rig, running)
        expect("grabbed" in without, f"it takes no port without the rules: {without}")
        expect("grabbed" not in with_rules, f"the rules are not heeded: {with_rules}")
        finding = _finding(rig, "ModemManager")
        expect(finding["ok"], f"doctor still complains: {finding}")
    finally:
        rig.guest.run("pkill -x ModemManager", user="root")
        running.end()
    return f"without the rules: {without}; with them: {with_rules}; doctor: {finding['detail']}"


def _said_of_new_port(rig: Rig, running: Running) -> str:
    """What ModemManager says of a bridge that is plugged in now."""
    begun = len(running.text)
    with _plugged_in(rig):
        expect(wait_until(lambda: _there(rig), 60.0), "no port")
        said = wait_until(lambda: _SAID.search(running.text[begun:]), 60.0)
        expect(said, f"ModemManager says nothing of it: {running.text[-400:]}")
        time.sleep(3.0)
        return "; ".join(_SAID.findall(running.text[begun:])[:3])


SCENARIOS = (
    Scenario(name="brltty", expected="told, advice works", act=braille),
    Scenario(name="modem-manager", expected="told, advice works", act=modems),
)
