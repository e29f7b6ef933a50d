"""Which listed port is a board: pure functions over scripted listings, and the listing itself."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.bench import NANO
from serial.tools import list_ports_common

from harness import toml
from harness.board.ports import (
    Bench,
    SerialPort,
    again,
    changes,
    find_port,
    in_bootloader,
    kind_of,
    list_serial_ports,
    rig_lines,
    same_serial,
)
from harness.board.rigfile import Plugged
from harness.errors import BoardNotFound

APPLICATION = SerialPort(
    path="/dev/ttyACM0",
    usb="2341:805a",
    serial_number="0A1B2C3D4E5F6071",
    description="Nano 33 BLE",
    links=("/dev/serial/by-id/usb-Arduino_Nano-if00", "/dev/serial/by-path/pci-0-usb-0:1:1.0"),
)
BOOTLOADER = replace(
    APPLICATION,
    path="/dev/ttyACM3",
    usb="2341:005a",
    serial_number="00000000000000000a1b2c3d4e5f6071",
    links=(),
)
TWIN = replace(APPLICATION, path="/dev/ttyACM1", serial_number="0A1B2C3D4E5F6072", links=())
NAMELESS = SerialPort(
    path="/dev/ttyUSB0", usb="1a86:7523", links=("/dev/serial/by-path/pci-0-usb-0:2:1.0-port0",)
)
UART = SerialPort(path="/dev/ttyS0")
ANYWHERE = Plugged(id="nano", kind="nano")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0A1B2C3D4E5F6071", "00000000000000000a1b2c3d4e5f6071", True),
        ("A1B2C3D4E5F6071", "0a1b2c3d4e5f6071", True),
        ("0A1B2C3D4E5F6071", "0A1B2C3D4E5F6072", False),
        ("0001", "0002", False),
        (None, None, False),
        ("", "", False),
        (None, "0001", False),
    ],
)
def test_serial_numbers_are_compared_by_their_last_digits(
    one: str | None, other: str | None, same: bool
) -> None:
    assert same_serial(one, other) is same


def test_a_board_is_found_by_its_serial_number_in_application_and_bootloader() -> None:
    plugged = replace(ANYWHERE, serial_number="0a1b2c3d4e5f6071")
    assert find_port(NANO, plugged, (TWIN, APPLICATION)) == APPLICATION
    found = find_port(NANO, plugged, (TWIN, BOOTLOADER))
    assert found == BOOTLOADER and in_bootloader(NANO, found)


def test_usb_ids_are_only_a_hint() -> None:
    assert find_port(NANO, ANYWHERE, (APPLICATION, NAMELESS)) == APPLICATION
    with pytest.raises(BoardNotFound, match="2 ports have the USB id 2341:805a or 2341:005a"):
        find_port(NANO, ANYWHERE, (APPLICATION, TWIN))
    neighbour = Plugged(id="right", kind="nano", serial_number="0a1b2c3d4e5f6072")
    assert find_port(NANO, ANYWHERE, (APPLICATION, TWIN), neighbours=(neighbour,)) == APPLICATION
    neighbour = Plugged(id="right", kind="nano", port=APPLICATION.links[1])
    assert find_port(NANO, ANYWHERE, (APPLICATION, TWIN), neighbours=(neighbour,)) == TWIN
    with pytest.raises(BoardNotFound, match="this kind of board, which is not known"):
        find_port(replace(NANO, usb=(), bootloader_usb=()), ANYWHERE, (APPLICATION,))


def test_of_the_ports_that_are_there_one_is_proposed_that_no_other_board_has() -> None:
    absent = replace(ANYWHERE, serial_number="0009")
    neighbour = Plugged(id="right", kind="nano", serial_number=TWIN.serial_number)
    with pytest.raises(BoardNotFound) as refused:
        find_port(NANO, absent, (UART, TWIN, NAMELESS), neighbours=(neighbour,))
    assert f"--port {NAMELESS.path}" in refused.value.hint
    with pytest.raises(BoardNotFound) as refused:
        find_port(NANO, absent, (UART, TWIN), neighbours=(neighbour,))
    assert f"--port {UART.path}" in refused.value.hint


def test_paths_links_and_urls_name_a_port() -> None:
    for name in (APPLICATION.path, *APPLICATION.links):
        assert find_port(NANO, replace(ANYWHERE, port=name), (TWIN, APPLICATION)) == APPLICATION
    for name in ("rfc2217://bench:4000", "/dev/nano"):
        assert find_port(NANO, replace(ANYWHERE, port=name), (TWIN,)) == SerialPort(path=name)


def test_nothing_plugged_in_says_so() -> None:
    with pytest.raises(BoardNotFound, match="No serial port is there at all"):
        find_port(NANO, ANYWHERE, ())


def test_a_port_is_known_again_by_serial_number_then_by_socket() -> None:
    assert again(APPLICATION, (TWIN, BOOTLOADER)) == BOOTLOADER
    assert again(APPLICATION, (replace(TWIN, path=APPLICATION.path),)) is None
    moved = replace(NAMELESS, path="/dev/ttyUSB5")
    elsewhere = replace(NAMELESS, links=("/dev/serial/by-path/pci-0-usb-0:3:1.0-port0",))
    assert again(NAMELESS, (moved,)) == moved
    assert again(NAMELESS, (elsewhere,)) is None
    without_links = replace(NAMELESS, links=())
    assert again(without_links, (moved,)) is None
    assert again(without_links, (without_links,)) == without_links
    assert again(UART, ()) == UART


def test_of_a_device_with_two_ports_the_one_with_the_same_link_is_known_again() -> None:
    first = replace(APPLICATION, usb="1366:1051", links=("/dev/serial/by-id/usb-SEGGER-if00",))
    second = replace(first, path="/dev/ttyACM1", links=("/dev/serial/by-id/usb-SEGGER-if02",))
    swapped = (replace(second, path=first.path), replace(first, path=second.path))
    assert again(first, swapped) == swapped[1]
    assert again(second, swapped) == swapped[0]


def test_rig_lines_tie_a_board_to_what_is_unique() -> None:
    listing = (APPLICATION, TWIN, NAMELESS)
    assert rig_lines("nano", "nano", APPLICATION, listing) == (
        '[boards.nano]\nserial_number = "0A1B2C3D4E5F6071"'
    )
    assert rig_lines("left", "esp32", NAMELESS, listing) == (
        f'[boards.left]\nkind = "esp32"\nport = "{NAMELESS.links[0]}"'
    )
    sold_alike = replace(NAMELESS, serial_number="0001")
    both = (sold_alike, replace(sold_alike, path="/dev/ttyUSB1", links=()))
    assert "by-path" in rig_lines("esp32", "esp32", sold_alike, both)
    assert rig_lines("x", "x", UART, (UART,)).endswith('port = "/dev/ttyS0"')


def alike(number: int, path: str = "") -> SerialPort:
    """One of two bridges that were sold with the same serial number, in a socket of its own."""
    by_id = ("/dev/serial/by-id/usb-bridge_0001",) if number == 2 else ()
    return SerialPort(
        path=path or f"/dev/ttyUSB{number}",
        usb="10c4:ea60",
        serial_number="0001",
        links=(*by_id, f"/dev/serial/by-path/pci-0-usb-0:{number}:1.0-port0"),
        socket=f"1-{number}",
        shared=True,
    )


def test_devices_of_one_serial_number_are_told_apart_by_their_sockets_alone() -> None:
    first, second = alike(1), alike(2)
    with pytest.raises(BoardNotFound, match="2 ports have serial number 0001") as refused:
        find_port(NANO, replace(ANYWHERE, serial_number="0001"), (first, second))
    assert first.links[0] in str(refused.value) and refused.value.several
    with pytest.raises(BoardNotFound, match="2 ports have the serial number in /dev/serial/by-id"):
        find_port(NANO, replace(ANYWHERE, port=second.links[0]), (first, second))
    for port in (first, second):
        assert find_port(NANO, replace(ANYWHERE, port=port.links[-1]), (first, second)) == port
    assert again(first, (alike(2, first.path),)) is None
    assert again(first, (alike(2, first.path), alike(1, second.path))) == alike(1, second.path)
    alone = again(first, (replace(first, shared=False),))
    assert alone is not None and again(alone, (replace(second, shared=False),)) is None
    # One that had the number for itself when the run began, and another was plugged in since.
    assert again(replace(first, shared=False), (second, first)) == first
    lines = rig_lines("left", "esp32", replace(second, links=second.links[:1]), (first, second))
    assert f'port = "{second.path}"' in lines
    assert changes((replace(first, shared=False),), (first, second)) == [("plugged", second)]


def test_rig_lines_take_nothing_that_a_device_says_for_toml() -> None:
    garbled = replace(NAMELESS, serial_number='1" \npower_cycle = "reboot')
    assert rig_lines("x", "x", garbled, (garbled,)) == rig_lines("x", "x", NAMELESS, ())
    escaped = replace(NAMELESS, links=(r"/dev/serial/by-id/usb-a\x22b",))
    lines = toml.parse(rig_lines("x", "x", escaped, ()), "lines")
    assert lines["boards"]["x"]["port"] == escaped.links[0]


def test_changes_and_kinds() -> None:
    assert changes((APPLICATION, TWIN), (TWIN, BOOTLOADER)) == [
        ("unplugged", APPLICATION),
        ("plugged", BOOTLOADER),
    ]
    named = replace(NANO, id="left")
    assert kind_of(BOOTLOADER, (NANO, named)) == NANO
    assert kind_of(NAMELESS, (NANO,)) is None
    assert kind_of(APPLICATION, (NANO, replace(NANO, id="twin", kind="twin"))) is None


@pytest.mark.parametrize("appears_s, found", [(0.0, True), (4.9, True), (5.4, False)])
def test_waiting_ends_at_the_deadline(appears_s: float, found: bool) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    bench = Bench(
        ports=lambda: (APPLICATION,) if now[0] >= appears_s else (),
        clock=lambda: now[0],
        sleep=sleep,
    )
    waited = bench.wait_for(lambda listing: listing[0] if listing else None, 5.0)
    assert waited == (APPLICATION if found else None)
    assert now[0] == pytest.approx(min(appears_s, 5.0), abs=0.25)


def test_this_machines_ports_come_with_their_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "ttyACM0"
    device.touch()
    link = tmp_path / "serial" / "by-id" / "usb-Nano"
    link.parent.mkdir(parents=True)
    link.symlink_to(device)
    info = list_ports_common.ListPortInfo(str(device))
    info.vid, info.pid, info.serial_number, info.product = 0x2341, 0x805A, "0A1B", "Nano"
    info.apply_usb_info()
    info.location = "1-1:1.0"
    bare = list_ports_common.ListPortInfo(str(tmp_path / "ttyS0"))
    monkeypatch.setattr("harness.board.ports.list_ports.comports", lambda: [bare, info])
    assert list_serial_ports(tmp_path / "serial") == (
        SerialPort(
            path=str(device),
            usb="2341:805a",
            serial_number="0A1B",
            description="Nano",
            links=(str(link),),
            socket="1-1",
        ),
        SerialPort(path=str(tmp_path / "ttyS0")),
    )
    info.device, twin = str(tmp_path / "a"), copy(info)
    twin.device = str(tmp_path / "b")
    ports = [info, twin]
    monkeypatch.setattr("harness.board.ports.list_ports.comports", lambda: ports)
    assert [port.shared for port in list_serial_ports(tmp_path)] == [False, False]
    twin.location = "1-2:1.0"
    assert [port.shared for port in list_serial_ports(tmp_path)] == [True, True]
