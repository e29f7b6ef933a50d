"""A board of a labgrid pool: USBSerialPort found by the real udev, served by the real ser2net."""

from __future__ import annotations

from benchmarks.whole.usb_rig.bench import Rig
from benchmarks.whole.usb_rig.hub_power import cycled
from benchmarks.whole.usb_rig.scenario import Scenario, expect
from benchmarks.whole.usb_rig.serial_ports import BENCH, hil

_EXPORTER = """left:
  USBSerialPort:
    match:
      ID_SERIAL_SHORT: FTLEFT01
  USBPowerPort:
    match:
      ID_PATH: pci-0000:00:04.0-usb-0:1
    index: 1
"""
_COORDINATOR = "127.0.0.1:20408"
_POOL = f"--port labgrid:left --coordinator {_COORDINATOR}"
_STARTS_S = 240.0


def share(rig: Rig) -> str:
    """A coordinator, an exporter and a place, in the guest."""
    rig.guest.write("/etc/hil/exporter.yaml", _EXPORTER)
    rig.guest.need("pkill -x ser2net || true")
    coordinator = rig.guest.start(f"cd && labgrid-coordinator --listen {_COORDINATOR}")
    ready = coordinator.wait_for("listening on", _STARTS_S)
    expect(ready, f"no coordinator: {coordinator.text[-300:]}")
    # As root, since the hub's power is switched by uhubctl.
    exporter = rig.guest.start(
        f"PYTHONUNBUFFERED=1 labgrid-exporter --coordinator {_COORDINATOR} --name bench "
        "--hostname 127.0.0.1 /etc/hil/exporter.yaml",
        user="root",
    )
    expect(exporter.wait_for("Exporter ready", _STARTS_S), f"no exporter: {exporter.text[-300:]}")
    line = f"export LG_COORDINATOR={_COORDINATOR}; labgrid-client -p left"
    for words in ("create", "add-match 'bench/left/*'", "show"):
        said = rig.guest.run(f"{line} {words}", timeout_s=_STARTS_S)
        expect(said.status == 0, said.end)
    expect("FTLEFT01" in said or "NetworkSerialPort" in said, said.end)
    return "USBSerialPort matched by ID_SERIAL_SHORT"


def session(rig: Rig) -> str:
    said = hil(rig, f"{BENCH} --board left --flash never {_POOL}")
    expect(said.status == 0, f"status {said.status}: {said.end}")
    return f"a whole run through exporter and ser2net, {said.seconds:.0f} s"


def power(rig: Rig) -> str:
    return cycled(rig, "left", f"hil power --board left {_POOL}")


SCENARIOS = (
    Scenario(name="pool", expected="the exporter finds the port", act=share),
    Scenario(name="pool-bench", expected="measured, place let go", act=session),
    Scenario(name="pool-power", expected="port went and came back", act=power),
)
