"""What labgrid 26.0.1 prints, read."""

from datetime import datetime, timedelta, timezone

import pytest

from harness.board.place import parse_place
from harness.errors import PoolError
from harness.pool.answers import (
    held_for,
    parse_places,
    parse_reservation,
    parse_shown,
    parse_token,
)

PLACES = """\
Place 'nano1':
  aliases: n1
  tags: board=nano33ble, site=lab
  matches:
    bench/nano1/*
  acquired: desk/alice-hil-1
  acquired resources:
    bench/nano1/NetworkSerialPort/NetworkSerialPort
  created: 2026-11-26 18:59:26.389780
  changed: 2026-11-26 19:00:55.622245
  reservation: TD5FD7P1YR
Place 'nano2':
  matches:
    bench/nano2/*
  acquired: None
  acquired resources:
  created: 2026-11-26 18:59:27.993010
  changed: 2026-11-26 18:59:29.049241
"""
SHOWN = (
    PLACES.partition("Place 'nano2'")[0]
    + """\
Acquired resource 'NetworkSerialPort' (bench/nano1/NetworkSerialPort/NetworkSerialPort):
  {'acquired': 'nano1',
   'avail': True,
   'cls': 'NetworkSerialPort',
   'params': {'extra': {'path': '/dev/ttyACM0',
                        'proxy': 'bench-2.example',
                        'proxy_required': False},
              'host': '127.0.0.1',
              'port': 4001,
              'speed': 115200}}
Acquired resource 'NetworkUSBPowerPort' (bench/nano1/NetworkUSBPowerPort/USBPowerPort):
  {'acquired': 'nano1', 'avail': True, 'cls': 'NetworkUSBPowerPort', 'params': {'host': 'b'}}
Orphaned resource 'x' (gone/g/NetworkService/x)
"""
)
RESERVED = """\
Reservation 'I7ZMVKFTMC':
  owner: desk/alice-hil-1
  token: I7ZMVKFTMC
  state: allocated
  filters:
    main: board=nano33ble
  allocations:
    main: nano1
  created: 2026-11-26 18:59:30.374146
"""


def test_places_have_tags_and_a_holder_or_none():
    nano1, nano2 = parse_places(PLACES)
    assert nano1.holder == "desk/alice-hil-1" and nano1.reserved and not nano2.holder
    assert nano1.fits(parse_place("board=nano33ble+site=lab")) and nano1.fits(parse_place("nano1"))
    assert not nano2.fits(parse_place("board=nano33ble")) and not nano1.fits(parse_place("nano"))
    now = datetime(2026, 11, 26, 19, 4, 0)
    assert nano1.told(now) == "nano1 is held by desk/alice-hil-1 for 3 min"
    assert nano2.told(now) == "nano2 is free"
    assert held_for(nano1.since, datetime(2026, 11, 28, 20, 0)) == " for 2 days"


def test_a_time_with_a_zone_is_read_as_of_this_machine():
    (place,) = parse_places(PLACES.replace("00:55.622245", "00:55+00:00").split("Place 'nano2'")[0])
    begun = datetime(2026, 11, 26, 19, 0, 55, tzinfo=timezone.utc)
    now = (begun + timedelta(minutes=3)).astimezone().replace(tzinfo=None)
    assert place.told(now) == "nano1 is held by desk/alice-hil-1 for 3 min"


def test_a_place_shows_its_serial_port_its_power_and_what_is_gone():
    shown = parse_shown(SHOWN)
    assert shown.place.name == "nano1" and shown.power
    serial = shown.serial
    assert (serial.host, serial.port, serial.available) == ("127.0.0.1", 4001, True)
    assert (serial.there, serial.exporter, serial.protocol) == ("/dev/ttyACM0", "bench", "rfc2217")
    assert serial.proxy == ""  # Only where it is needed.
    assert [item.exporter for item in shown.resources if item.orphaned] == ["gone"]


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("'127.0.0.1'", "'a;b'"),
        ("4001", "'4001'"),
        ("4001", "99999"),
        ("{'acquired': 'nano1',\n", "__import__('os').system('x')\n"),
        ("True", "[" * 5000),
    ],
)
def test_a_resource_that_is_not_as_labgrid_writes_it_has_no_port(part, other):
    serial = parse_shown(SHOWN.replace(part, other, 1)).serial
    assert not (serial.available and serial.host and serial.port)


def test_a_machine_that_cannot_be_named_to_ssh_is_kept_as_text_alone():
    option = "-oProxyCommand=touch\x1b marker"
    of_proxy = SHOWN.replace("'bench-2.example'", repr(option)).replace("False", "True")
    for text in (SHOWN.replace("'127.0.0.1'", repr(option)), of_proxy):
        serial = parse_shown(text).serial
        assert option not in (serial.host, serial.proxy)
        assert serial.unfit == r"-oProxyCommand=touch\x1b marker"
    assert parse_shown(SHOWN).serial.unfit == ""


def test_a_place_with_no_serial_port_or_two_is_refused():
    two = SHOWN.replace("NetworkUSBPowerPort/USB", "NetworkSerialPort/USB")
    with pytest.raises(PoolError, match="place nano1 has 2 serial ports"):
        _ = parse_shown(two).serial
    with pytest.raises(PoolError, match="place nano1 has no serial port"):
        _ = parse_shown(PLACES.partition("Place 'nano2'")[0]).serial
    with pytest.raises(PoolError, match="cannot read what labgrid says"):
        parse_shown("nonsense")


def test_a_reservation_has_a_token_and_then_a_place():
    assert parse_token(RESERVED) == "I7ZMVKFTMC"
    assert parse_reservation(RESERVED) == ("allocated", "nano1")
    waiting = RESERVED.replace("allocated", "waiting").partition("  allocations")[0]
    assert parse_reservation(waiting) == ("waiting", "")
    assert parse_reservation(waiting + RESERVED) == ("allocated", "nano1")
    assert parse_reservation("") == ("", "")
    with pytest.raises(PoolError, match="cannot be used"):
        parse_reservation(RESERVED.replace("main: nano1", "main: -x;y"))
    with pytest.raises(PoolError, match="reservation"):
        parse_token("")
