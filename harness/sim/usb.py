"""A USB host with one device: it enumerates it, opens its CDC function and moves bytes.

USB 2.0 chapter 9; USB Class Definitions for Communication Devices 1.2 and its PSTN subclass.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from harness.sim.errors import SimulationError
from harness.sim.schedule import Clock

PACKET = 64
"""Bytes of the largest packet, at full speed."""

_DEVICE, _CONFIGURATION, _STRING = 1, 2, 3
_ENDPOINT, _BULK = 5, 2
_GET_DESCRIPTOR, _SET_ADDRESS, _SET_CONFIGURATION = 6, 5, 9
_SET_LINE_CODING, _SET_CONTROL_LINE_STATE = 0x20, 0x22
_TO_HOST, _CLASS_INTERFACE = 0x80, 0x21
_ENGLISH = 0x409

Steps = Generator[None, None, bytes]
"""A control transfer: it yields where the device is not ready."""


class Device(Protocol):
    """A device's controller as the bus sees it."""

    @property
    def status(self) -> bool:
        """Whether the status stage of the control transfer under way is agreed to."""

    @property
    def stalled(self) -> bool:
        """Whether that transfer is refused."""

    @property
    def attached(self) -> bool:
        """Whether it pulls up."""

    def bus_reset(self) -> None:
        """Reset the bus."""

    def set_address(self, address: int) -> None:
        """SET_ADDRESS."""

    def setup(self, packet: bytes) -> None:
        """Begin a control transfer."""

    def take(self, endpoint: int) -> bytes | None:
        """A packet, or None if there is none yet."""

    def put(self, endpoint: int, data: bytes) -> bool:
        """Whether the device took the packet."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What enumeration found out."""

    usb: str = ""
    serial_number: str = ""
    bulk_in: int = 0
    bulk_out: int = 0


class UsbHost:
    """The host; bytes are offered to it and taken from it.

    Args:
        hz: cycles of simulated time in a second.
    """

    def __init__(self, device: Device, clock: Clock, hz: int) -> None:
        self._device = device
        self._clock = clock
        self._hz = hz
        self.found: Found | None = None
        """None until the device is enumerated."""
        self.inward = bytearray()
        """For the device."""
        self.outward = bytearray()
        self.reading = True
        """Whether the host's program takes what the device sends."""
        self._steps: Steps | None = None
        self._wanted: list[tuple[int, int, int, bytes]] = []
        self._begun = 0
        self._scheduled = False
        self._enumerating = False

    @property
    def at_rest(self) -> bool:
        """Whether the host has nothing to do before something new is asked of it."""
        return not (self._steps or self._wanted or self.inward or self._scheduled)

    def offer(self, data: bytes) -> None:
        """Bytes for the device."""
        self.inward += data
        self.wake()

    def line(self, *, baud: int, open: bool) -> None:
        """A program has opened or closed the port, or changed its rate."""
        coding = struct.pack("<IBBB", baud, 0, 0, 8)
        self._wanted.append((_CLASS_INTERFACE, _SET_LINE_CODING, 0, coding))
        state = 3 if open else 0
        self._wanted.append((_CLASS_INTERFACE, _SET_CONTROL_LINE_STATE, state, b""))
        self.wake()

    def wake(self) -> None:
        """Look soon whether something can be done; the device calls it when it is ready."""
        if not self._scheduled:
            self._scheduled = True
            self._clock.at(self._clock.now() + self._cycles(0), self._act)

    def _cycles(self, size: int) -> int:
        """Of a transaction: 5 us of tokens and handshake, and 8 bits for each byte at 12 Mbit/s."""
        return self._hz * (60 + 8 * size) // 12_000_000

    def _act(self) -> None:
        self._scheduled = False
        if not self._device.attached:
            return
        if self._steps is None:
            self._begin()
        if self._steps is not None:
            self._go_on()
        # Between the tokens of a control transfer, as hosts do: a device may wait for one of these.
        if self.found is not None and self._move(self.found):
            self.wake()

    def _begin(self) -> None:
        """The next control transfers, if there are any to be made."""
        if self.found is None:
            self._steps = self._enumerate()
        elif self._wanted:
            kind, request, value, data = self._wanted.pop(0)
            self._steps = self._control(kind, request, value, 0, len(data), data)
        self._begun = self._clock.now()

    def _go_on(self) -> None:
        assert self._steps is not None, "a transfer is under way"
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
            self.wake()
            return
        if self._clock.now() - self._begun > 5 * self._hz:
            raise SimulationError("the USB device did not answer a control transfer within 5 s")
        self._clock.at(self._clock.now() + self._hz // 10, self.wake)

    def _move(self, found: Found) -> bool:
        """One transaction of the bulk endpoints, if one can be made."""
        data = self._device.take(found.bulk_in) if self.reading else None
        if data is not None:
            self.outward += data
            return True
        packet = bytes(self.inward[:PACKET])
        if packet and self._device.put(found.bulk_out, packet):
            del self.inward[: len(packet)]
            return True
        return False

    def _control(
        self, kind: int, request: int, value: int, index: int, length: int, data: bytes = b""
    ) -> Steps:
        """A control transfer; returns what was read. One that is refused is an error."""
        device = self._device
        device.setup(struct.pack("<BBHHH", kind, request, value, index, length))
        read = b""
        if kind & _TO_HOST:
            while len(read) < length:
                while (packet := device.take(0)) is None:
                    self._refused(request)
                    yield
                read += packet
                if len(packet) < PACKET:
                    break
        for at in range(0, len(data), PACKET):
            while not device.put(0, data[at : at + PACKET]):
                self._refused(request)
                yield
        while not device.status:
            self._refused(request)
            yield
        return read

    def _refused(self, request: int) -> None:
        if self._device.stalled:
            raise SimulationError(f"the USB device refused control request 0x{request:02x}")

    def _descriptor(self, kind: int, index: int, length: int, language: int = 0) -> Steps:
        value = kind << 8 | index
        return (yield from self._control(_TO_HOST, _GET_DESCRIPTOR, value, language, length))

    def _enumerate(self) -> Steps:
        self._device.bus_reset()
        yield
        yield from self._descriptor(_DEVICE, 0, PACKET)
        self._device.set_address(5)
        device = yield from self._descriptor(_DEVICE, 0, 18)
        head = yield from self._descriptor(_CONFIGURATION, 0, 9)
        if len(device) < 18 or len(head) < 9:
            raise SimulationError("the USB device sent a descriptor that is too short")
        total = struct.unpack_from("<H", head, 2)[0]
        described = yield from self._descriptor(_CONFIGURATION, 0, total)
        vendor, product = struct.unpack_from("<HH", device, 8)
        found = Found(usb=f"{vendor:04x}:{product:04x}")
        if device[16]:
            text = yield from self._descriptor(_STRING, device[16], 255, _ENGLISH)
            found.serial_number = text[2:].decode("utf-16-le", "replace")
        found.bulk_in, found.bulk_out = _bulk_endpoints(described)
        yield from self._control(0, _SET_CONFIGURATION, described[5], 0, 0)
        self.found = found
        return b""


def _bulk_endpoints(described: bytes) -> tuple[int, int]:
    """Numbers of the first bulk IN and OUT endpoints of a configuration's descriptors."""
    found: dict[bool, int] = {}
    at = 0
    while at + 7 <= len(described) and described[at] > 1:
        if described[at + 1] == _ENDPOINT and described[at + 3] & 3 == _BULK:
            address = described[at + 2]
            found.setdefault(bool(address & 0x80), address & 0xF)
        at += described[at]
    if len(found) != 2:
        raise SimulationError("the USB device has no bulk endpoints in both directions")
    return found[True], found[False]
