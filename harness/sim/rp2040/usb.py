"""The emulator's USB controller as `harness.sim.usb.UsbHost` sees a device's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from harness.sim.errors import SimulationError
from harness.sim.schedule import Clock

_SIE_CTRL, _PULL_UP = 0x4C, 1 << 16
_EP_STALL_ARM, _CONTROL = 0x68, 3
_TO_HOST = 0x80
_SET_ADDRESS = 5
_PAUSE_CYCLES = 25_000
"""200 us between a control transfer and the next: firmware is to be through with the first."""


class UsbPort:
    """A device's controller, as the bus sees it.

    The emulator takes an IN packet as soon as firmware offers one: it does not know a host that
    reads nothing. An OUT packet is refused (NAK) until firmware has a buffer for it.

    Args:
        controller: the emulator's RPUSBController.
        clock: simulated time.
    """

    def __init__(self, controller: Any, clock: Clock) -> None:
        self._controller = controller
        self._clock = clock
        self.changed: Callable[[], None] = lambda: None
        """Called whenever a transaction that was refused may succeed."""
        self.status = False
        self._reset_over = False
        self._setups: deque[bytes] = deque()
        self._under_way = b""
        """The setup packet of the last control transfer."""
        self._busy = False
        self._in: dict[int, deque[bytes]] = {}
        self._room: dict[int, int] = {}
        controller.on_usb_enabled = self._changed
        controller.on_reset_received = self._reset_received
        controller.on_endpoint_write = self._written
        controller.on_endpoint_read = self._armed

    @property
    def attached(self) -> bool:
        """Whether a host sees a device."""
        return bool(self._controller.read_uint32(_SIE_CTRL) & _PULL_UP)

    @property
    def stalled(self) -> bool:
        """Whether the control transfer under way is refused."""
        return bool(self._controller.read_uint32(_EP_STALL_ARM) & _CONTROL)

    @property
    def at_rest(self) -> bool:
        """Whether no packet is on its way in either direction."""
        return not (
            self._setups
            or any(alarm.buffers for alarm in self._controller.endpoint_read_alarms)
            or any(alarm.buffers for alarm in self._controller.endpoint_write_alarms)
        )

    def bus_reset(self) -> None:
        """Reset the bus; it takes 10 ms."""
        self._reset_over = False
        self._controller.reset_device()

    def set_address(self, address: int) -> None:
        """SET_ADDRESS, which firmware handles."""
        self._ask(bytes([0, _SET_ADDRESS, address, 0, 0, 0, 0, 0]))

    def setup(self, packet: bytes) -> None:
        """The setup stage of a control transfer: 8 bytes. It waits for a reset or SET_ADDRESS."""
        self._ask(packet)

    def take(self, endpoint: int) -> bytes | None:
        """An IN transaction: the packet, or None where the device is not ready."""
        waiting = self._in.get(endpoint)
        return waiting.popleft() if waiting and not self._setups else None

    def put(self, endpoint: int, data: bytes) -> bool:
        """An OUT transaction; False where the device is not ready."""
        if self._setups or endpoint not in self._room:
            return False
        if len(data) > self._room[endpoint]:
            raise SimulationError(
                f"firmware has room for {self._room[endpoint]} bytes at USB endpoint {endpoint}, "
                f"the host has a packet of {len(data)}"
            )
        del self._room[endpoint]
        self._controller.endpoint_read_done(endpoint, data)
        return True

    def _ask(self, packet: bytes) -> None:
        self._setups.append(packet)
        self.status = False
        self._next()

    def _next(self) -> None:
        """Send the next setup packet, if the one before is done with."""
        if not self._setups or not self._reset_over or self._busy:
            return
        self._under_way = self._setups.popleft()
        self._busy = True
        self._in.pop(0, None)
        self._room.pop(0, None)
        self._controller.write_uint32(_EP_STALL_ARM, 0)  # As the controller does.
        self._controller.send_setup_packet(self._under_way)

    def _changed(self) -> None:
        self.changed()

    def _reset_received(self) -> None:
        self._reset_over = True
        self._busy = False
        self._next()

    def _written(self, endpoint: int, data: bytes) -> None:
        """Firmware has sent a packet."""
        if endpoint == 0 and not self._reads():
            self._agree()
        else:
            self._in.setdefault(endpoint, deque()).append(bytes(data))
        self.changed()

    def _armed(self, endpoint: int, room: int) -> None:
        """Firmware has a buffer for a packet."""
        if endpoint == 0 and self._reads():
            self._controller.endpoint_read_done(0, b"")
            self._agree()
        else:
            self._room[endpoint] = room
        self.changed()

    def _reads(self) -> bool:
        """Whether the control transfer under way is one in which the host reads."""
        packet = self._under_way
        return bool(packet and packet[0] & _TO_HOST and (packet[6] or packet[7]))

    def _agree(self) -> None:
        """Both sides agree to the status stage: the transfer is over soon."""
        self._clock.at(self._clock.now() + _PAUSE_CYCLES, self._over)

    def _over(self) -> None:
        self._busy = False
        if self._setups:
            self._next()
        else:
            self.status = True
        self.changed()
