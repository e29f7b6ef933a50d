"""Power of a hub's ports, switched by uhubctl and seen to be: QEMU's hub, and the one that lies."""

from __future__ import annotations

from benchmarks.whole.usb_rig.bench import Rig
from benchmarks.whole.usb_rig.scenario import Scenario, expect
from benchmarks.whole.usb_rig.serial_ports import BENCH, hil, wait_ports
from harness import load_registry
from harness.board.udev import RULES_FILE, udev_rules


def rules(rig: Rig) -> str:
    written = hil(rig, "hil udev >rules")
    expect(written.status == 0, written.end)
    rig.guest.need("cp ~hil/rules /etc/udev/rules.d/70-tinyml-hil.rules; udevadm control --reload")
    rig.guest.need("udevadm trigger --settle --subsystem-match=usb --subsystem-match=tty")
    test = rig.guest.need("udevadm test $(udevadm info -q path -n ttyUSB0) 2>&1")
    wrong = [line for line in test.splitlines() if "70-tinyml" in line and "nvalid" in line]
    expect(not wrong, f"udev says: {wrong}")
    if "verify" in rig.guest.need("udevadm --help"):  # From systemd 254.
        rig.guest.need(f"udevadm verify {RULES_FILE}")
    hub = rig.guest.need("stat -c '%G %a' /sys/bus/usb/devices/1-1:1.0/1-1-port1/disable")
    expect(hub.split() == ["dialout", "664"], f"the hub's port is of {hub}")
    return "loaded by udev; group dialout may switch the hub's ports"


def prepare(rig: Rig, name: str) -> None:
    """The udev rules are there, and the board has firmware."""
    rig.guest.write(str(RULES_FILE), udev_rules(load_registry()))
    rig.guest.need("udevadm control --reload; udevadm trigger --settle --subsystem-match=usb")
    if not rig.boards[name].starts:
        rig.flash_from_here(name)


def cycled(rig: Rig, name: str, line: str) -> str:
    """What `hil power` said, which must have started that board anew."""
    board = rig.boards[name]
    before = board.starts
    said = hil(rig, line)
    expect(said.status == 0, f"status {said.status}: {said.end}")
    expect(board.starts == before + 1, f"the board started {board.starts - before} times")
    return said.told


def by_serial_number(rig: Rig) -> str:
    prepare(rig, "left")
    return cycled(rig, "left", "hil power --board left")


def by_path(rig: Rig) -> str:
    wait_ports(rig, "FTLEFT01")
    rig.guest.need(
        'sed \'s/uhubctl = "serial_number"/uhubctl = "1-1", port = 2/;s/FTLEFT01/FTRIGHT2/\' '
        "/etc/hil/rig.toml | awk '/boards.right/{exit} 1' >/etc/hil/by-path.toml"
    )
    prepare(rig, "right")
    return cycled(rig, "right", "hil power --board left --rig /etc/hil/by-path.toml")


def no_switch(rig: Rig) -> str:
    said = hil(rig, "hil power --board liar")
    expect(said.status == 10, f"status {said.status}: {said.end}")
    expect("uhubctl" in said, f"uhubctl is not named: {said.end}")
    wait_ports(rig, "FTLIAR03")
    return f"status 10: {said.told}"


def data_lines_only(rig: Rig) -> str:
    """The kernel makes the port go and come back, and the board has power all the time."""
    prepare(rig, "left")
    board = rig.boards["left"]
    board.own_supply = True
    try:
        said = hil(rig, "hil power --board left")
    finally:
        board.own_supply = False
    expect(said.status == 10, f"status {said.status}: {said.end}")
    return f"status 10: {said.told}"


def after_power(rig: Rig) -> str:
    rig.prepare("left")
    said = hil(rig, f"{BENCH} --board left --flash never")
    expect(said.status == 0, said.end)
    return "measured after the power cycle"


SCENARIOS = (
    Scenario(name="udev-rules", expected="loaded, hub for dialout", act=rules),
    Scenario(name="power-serial", expected="port went and came back", act=by_serial_number),
    Scenario(name="power-path", expected="port went and came back", act=by_path),
    Scenario(name="power-none", expected="status 10: cannot switch", act=no_switch),
    Scenario(name="power-lie", expected="status 10: supply left on", act=data_lines_only),
    Scenario(name="after-power", expected="measured", act=after_power),
)
