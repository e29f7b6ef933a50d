"""What bossac says to the bootloader of a Nano 33 BLE, for where there is no bossac.

As Arduino's fork of it does, by its `--debug`: no file of it is used here.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable

from harness.sim.elf import Segment

PAGE = 4096
BUFFER = 0x34
"""Where bossac's data begins, behind its routine."""

Ask = Callable[[bytes, int], bytes]
"""Sends bytes, and returns so many of the answer."""


def image_of(segments: tuple[Segment, ...]) -> bytes:
    """The .bin file of an application."""
    first = min(segment.address for segment in segments)
    end = max(segment.address + len(segment.content) for segment in segments)
    image = bytearray(b"\xff" * (end - first))
    for segment in segments:
        at = segment.address - first
        image[at : at + len(segment.content)] = segment.content
    return bytes(image)


def upload(ask: Ask, image: bytes) -> None:
    """Write an application and start it. AssertionError: an answer is not the one expected."""
    begin(ask)
    assert ask(b"X00000000#", 3) == b"X\n\r"
    for at in range(0, len(image), PAGE):
        page = image[at : at + PAGE].ljust(PAGE, b"\0")
        ask(b"S%08X,%08X#" % (BUFFER, PAGE), 0)
        ask(page, 0)
        assert ask(b"Y%08X,0#" % BUFFER, 3) == b"Y\n\r"
        assert ask(b"Y%08X,%08X#" % (at, PAGE), 3) == b"Y\n\r"
        assert ask(b"Z%08X,%08X#" % (at, PAGE), 12) == b"Z%08X#\n\r" % crc_hqx(page, 0)
    ask(b"K#", 0)


def begin(ask: Ask) -> None:
    """How it finds out what it speaks to."""
    assert ask(b"N#", 2) == b"\n\r"
    version = b"Arduino Bootloader (SAM-BA extended) 2.0 [Arduino:IKXYZ]\n\r"
    assert ask(b"V#", len(version)) == version
    assert ask(b"I#", 15) == b"nRF52840-QIAA\n\r"
    ask(b"S00000000,00000034#", 0)
    ask(bytes(0x34), 0)
    ask(b"W00000030,00000400#", 0)
