"""A board of a labgrid pool: USBSerialPort found by the real udev, served by the real ser2net."""

from __future__ import annotations

from benchmarks.whole.usb_rig.bench import Rig, board_table
from benchmarks.whole.usb_rig.hub_power import cycled, prepare
from benchmarks.whole.usb_rig.scenario import Scenario, expect
from benchmarks.whole.usb_rig.serial_ports import BENCH, hil

_EXPORTER = """left:
  USBSerialPort:
    match:
      ID_SERIAL_SHORT: FTLEFT01
  USBPowerPort:
    match:
      ID_PATH: pci-0000:00:04.0-usb-0:1:1.0
    index: 1
"""
_COORDINATOR = "127.0.0.1:20408"
POOL = f"--port labgrid:left --coordinator {_COORDINATOR}"
_STARTS_S = 240.0
_OPENS_ITSELF = """
test -e ~/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
cat ~/.ssh/id_ed25519.pub >>~/.ssh/authorized_keys
echo 'StrictHostKeyChecking accept-new' >~/.ssh/config
ssh -o BatchMode=yes 127.0.0.1 true
"""
"""As the exporter's machine has to let in who uploads there or has labgrid switch power."""

_FLASH_AT = """#!/bin/sh
# flash-at PORT ELF: what runs at the machine that the board is plugged into.
number=$(udevadm info --query=property --property=ID_SERIAL_SHORT --value --name="$1")
exec /opt/rig/probe-flash "$number" "$2"
"""
_FAR = board_table(
    "left", "", 'place = "left"\nupload = { command = ["/opt/rig/flash-at", "{port}", "{elf}"] }'
).replace('serial_number = ""\n', "")


def share(rig: Rig) -> str:
    """A coordinator, an exporter and a place, in the guest."""
    rig.guest.write("/etc/hil/exporter.yaml", _EXPORTER)
    rig.guest.write("/etc/hil/far.toml", _FAR)
    rig.guest.write("/opt/rig/flash-at", _FLASH_AT, "755")
    rig.guest.need(_OPENS_ITSELF, user="hil")
    # Debian's is in /usr/sbin, where a user's ssh does not look.
    rig.guest.need("ln -sf /usr/sbin/uhubctl /usr/local/bin/uhubctl")
    rig.guest.need("pkill -x ser2net || true")
    coordinator = rig.guest.start(f"cd && labgrid-coordinator --listen {_COORDINATOR}")
    ready = coordinator.wait_for("listening on", _STARTS_S)
    expect(ready, f"no coordinator: {coordinator.text[-300:]}")
    start_exporter(rig)
    line = f"export LG_COORDINATOR={_COORDINATOR}; labgrid-client -p left"
    for words in ("create", "add-match 'bench/left/*'", "show"):
        said = rig.guest.run(f"{line} {words}", timeout_s=_STARTS_S)
        expect(said.status == 0, said.end)
    expect("FTLEFT01" in said or "NetworkSerialPort" in said, said.end)
    return "USBSerialPort matched by ID_SERIAL_SHORT"


def start_exporter(rig: Rig) -> None:
    """Start labgrid's exporter, and wait until it is ready."""
    exporter = rig.guest.start(
        f"PYTHONUNBUFFERED=1 labgrid-exporter --coordinator {_COORDINATOR} --name bench "
        "--hostname 127.0.0.1 /etc/hil/exporter.yaml",
        user="root",
    )
    expect(exporter.wait_for("Exporter ready", _STARTS_S), f"no exporter: {exporter.text[-300:]}")


def session(rig: Rig) -> str:
    rig.prepare("left")
    said = hil(rig, f"{BENCH} --board left --flash never {POOL}")
    expect(said.status == 0, f"status {said.status}: {said.end}")
    return f"a whole run through exporter and ser2net, {said.seconds:.0f} s"


def power(rig: Rig) -> str:
    """By labgrid's driver, which runs uhubctl at the exporter's machine, through ssh."""
    prepare(rig, "left")
    rig.prepare("left")
    return cycled(rig, "left", f"hil power --board left {POOL}")


def upload(rig: Rig) -> str:
    """Firmware goes to the exporter's machine through ssh, and is uploaded there."""
    board = rig.prepare("left")
    starts = board.starts
    line = f"{BENCH} --board left --flash always --rig /etc/hil/far.toml"
    said = hil(rig, f"{line} --coordinator {_COORDINATOR}")
    expect(said.status == 0, f"status {said.status}: {said.end}")
    expect(board.starts == starts + 1, f"it was started {board.starts - starts} times")
    left = rig.guest.need("ls -d /tmp/tmp.* 2>/dev/null || true")
    expect(not left, f"the firmware was left there: {left}")
    return f"uploaded through ssh by {{port}}, measured through ser2net, {said.seconds:.0f} s"


SCENARIOS = (
    Scenario(name="pool", expected="the exporter finds the port", act=share),
    Scenario(name="pool-bench", expected="measured, place let go", act=session, behind="pool"),
    Scenario(name="pool-power", expected="port went and came back", act=power, behind="pool"),
    Scenario(name="pool-upload", expected="flashed there, measured", act=upload, behind="pool"),
)
