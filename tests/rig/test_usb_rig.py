"""The virtual bench rig's pure parts; benchmarks/whole/usb_rig runs it."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.whole.usb_rig.bench import BRIDGES, RIG_FILE
from benchmarks.whole.usb_rig.image import Image, bootstrap_command, image_id
from benchmarks.whole.usb_rig.machine import (
    Bridge,
    Hub,
    Places,
    accelerator,
    bridge_arguments,
    machine_command,
)
from benchmarks.whole.usb_rig.scenario import Scenario, Unexpected, attempt, chosen, report
from benchmarks.whole.usb_rig.traffic import Break, Modem, Power, Rate, Traffic, event_of
from harness.board.registry import load_registry
from harness.board.rigfile import parse_rig

ROOT = Path(__file__).parents[2]
PLACES = Places(folder=Path("/run/rig"), ssh_port=2222, forwarded={4001: 4000})
IMAGE = Image(folder=Path("/cache"))


def setup(kind: int, request: int, value: int, index: int = 0) -> bytes:
    return struct.pack("<BBHHH", kind, request, value, index, 0)


# Requests as Linux's ftdi_sio.c sends them, and USB 2.0, table 11-16.
@pytest.mark.parametrize(
    ("request_", "event"),
    [
        (setup(0x23, 1, 8, 2), Power(port=2, on=False)),
        (setup(0x23, 3, 8, 2), Power(port=2, on=True)),
        (setup(0x23, 3, 4, 2), None),
        (setup(0x40, 1, 0x0303), Modem(dtr=True, rts=True)),
        (setup(0x40, 1, 0x0200), Modem(dtr=None, rts=False)),
        (setup(0x40, 3, 0x001A), Rate(baud=115385)),
        (setup(0x40, 3, 0x4138), Rate(baud=9600)),
        (setup(0x40, 3, 0x0000), Rate(baud=3_000_000)),
        (setup(0x40, 4, 0x4008), Break(on=True)),
        (setup(0x80, 6, 0x0100), None),
    ],
)
def test_a_request_tells_what_was_asked_of_hub_or_bridge(request_, event):
    assert event_of(request_) == event


def record(request: bytes) -> bytes:
    packet = bytearray(64)
    packet[8], packet[9], packet[40:48] = ord("S"), 2, request
    return struct.pack("<IIII", 0, 0, 64, 64) + bytes(packet)


def test_traffic_is_read_on_while_it_is_written(tmp_path):
    path = tmp_path / "hub.pcap"
    traffic = Traffic(path)
    assert traffic.events() == []
    first, second = record(setup(0x23, 1, 8, 1)), record(setup(0x23, 3, 8, 1))
    path.write_bytes(bytes(24) + first + second[:-1])
    assert traffic.events() == [Power(port=1, on=False)]
    path.write_bytes(bytes(24) + first + second)
    assert traffic.events() == [Power(port=1, on=True)]
    assert traffic.events() == []
    path.write_bytes(bytes(24) + first)  # The device was plugged in again.
    assert traffic.events() == [Power(port=1, on=False)]


def test_the_guest_cannot_write_checkout_and_disk_and_is_reached_from_here_alone():
    command = machine_command(IMAGE, ROOT, PLACES, (Hub(name="hub", port="1", switches=False),))
    text = " ".join(command)
    assert f"path={ROOT},security_model=none,readonly=on" in text
    assert "snapshot=on" in text
    assert "hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:4001-:4000" in text
    assert "usb-hub,id=hub,bus=xhci.0,port=1,port-power=off,pcap=/run/rig/hub.pcap" in text


def test_a_bridge_without_serial_number_has_that_of_qemu():
    named = bridge_arguments(Bridge(name="a", socket="1.1", serial_number="S1"), "1.3", PLACES)
    assert (named["serial"], named["port"]) == ("S1", "1.3")
    assert "serial" not in bridge_arguments(Bridge(name="a", socket="1.1"), "1.1", PLACES)


def test_kvm_that_runs_only_kernels_made_for_it_is_left_alone(tmp_path):
    (tmp_path / "kvm_pvm").mkdir()
    assert "kvm" not in accelerator(tmp_path)


def test_the_image_is_named_after_what_it_is_made_of(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["numpy"]\n')
    assert image_id(tmp_path) != image_id(ROOT)
    assert bootstrap_command(tmp_path, "http://mirror")[-1] == "http://mirror"


def test_the_rig_file_names_every_bridge():
    rig = parse_rig(RIG_FILE, load_registry(), Path("/etc/hil/rig.toml"))
    numbers = {bridge.serial_number for bridge in BRIDGES}
    assert {board.serial_number for board in rig.boards} == numbers


def act(outcome):
    def acted(rig):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Scenario(name="one", expected="as said", act=acted)


def test_a_scenario_that_goes_otherwise_fails_and_is_told():
    good, bad = attempt(act("done"), None), attempt(act(Unexpected("status 1")), None)
    assert (good.ok, bad.ok) == (True, False)
    assert "FAILED" in report([good, bad]) and "status 1" in report([good, bad])


def test_scenarios_are_chosen_by_name():
    assert [item.name for item in chosen([act("")], [])] == ["one"]
    with pytest.raises(ValueError, match="no scenario two; there are one"):
        chosen([act("")], ["two"])


def test_a_scenario_is_chosen_with_the_one_that_it_is_behind():
    every = [replace(act(""), name=name) for name in ("one", "two")]
    every.append(replace(act(""), name="three", behind="two"))
    assert [item.name for item in chosen(every, ["three"])] == ["two", "three"]
