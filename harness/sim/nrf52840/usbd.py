"""USBD: the full-speed USB device controller, with endpoint buffers moved by EasyDMA."""

from __future__ import annotations

from collections.abc import Callable

from harness.sim.nrf52840.nordic import NordicPeripheral
from harness.sim.nrf52840.uarte import Memory
from harness.sim.registers import Register, array, constant

BASE, IRQ = 0x40027000, 39
ENDPOINTS = 8
READY = 1 << 11
"""EVENTCAUSE."""
_SETUP = ("BMREQUESTTYPE", "BREQUEST", "WVALUEL", "WVALUEH", "WINDEXL", "WINDEXH", "WLENGTHL")


def _endpoint(offset: int, name: str) -> tuple[Register, ...]:
    return (
        Register(offset=offset, name=f"{name}.PTR"),
        Register(offset=offset + 4, name=f"{name}.MAXCNT", writable=0x3FF),
        constant(offset + 8, f"{name}.AMOUNT", 0),
    )


class Usbd(NordicPeripheral):
    """The controller, seen from the firmware by its registers and from the bus by its methods.

    `changed` is called whenever a transaction that was refused may succeed.
    """

    TASKS = {
        **{0x04 + 4 * n: f"STARTEPIN[{n}]" for n in range(ENDPOINTS)},
        **{0x28 + 4 * n: f"STARTEPOUT[{n}]" for n in range(ENDPOINTS)},
        **{0x4C: "EP0RCVOUT", 0x50: "EP0STATUS", 0x54: "EP0STALL"},
        **{0x58: "DPDMDRIVE", 0x5C: "DPDMNODRIVE"},
    }
    EVENTS = {
        **{0x100: "USBRESET", 0x104: "STARTED", 0x128: "EP0DATADONE"},
        **{0x108 + 4 * n: f"ENDEPIN[{n}]" for n in range(ENDPOINTS)},
        **{0x130 + 4 * n: f"ENDEPOUT[{n}]" for n in range(ENDPOINTS)},
        **{0x154: "SOF", 0x158: "USBEVENT", 0x15C: "EP0SETUP", 0x160: "EPDATA"},
    }
    SHORTS = {
        0: ("EP0DATADONE", "STARTEPIN[0]"),
        1: ("EP0DATADONE", "STARTEPOUT[0]"),
        2: ("EP0DATADONE", "EP0STATUS"),
        3: ("ENDEPOUT[0]", "EP0STATUS"),
        4: ("ENDEPOUT[0]", "EP0RCVOUT"),
    }
    TABLE = (
        *(Register(offset=0x400, name="EVENTCAUSE"), Register(offset=0x468, name="EPSTATUS")),
        *array(0x420, "HALTED.EPIN", ENDPOINTS),
        *array(0x444, "HALTED.EPOUT", ENDPOINTS),
        Register(offset=0x46C, name="EPDATASTATUS"),
        constant(0x470, "USBADDR", 0),
        *(constant(0x480 + 4 * at, name, 0) for at, name in enumerate((*_SETUP, "WLENGTHH"))),
        *array(0x4A0, "SIZE.EPOUT", ENDPOINTS),
        Register(offset=0x500, name="ENABLE", writable=1),
        Register(offset=0x504, name="USBPULLUP", writable=1),
        Register(offset=0x508, name="DPDMVALUE", writable=0x1F),
        Register(offset=0x50C, name="DTOGGLE"),
        Register(offset=0x510, name="EPINEN", reset=1, writable=0x1FF),
        Register(offset=0x514, name="EPOUTEN", reset=1, writable=0x1FF),
        Register(offset=0x518, name="EPSTALL"),
        Register(offset=0x51C, name="ISOSPLIT"),
        constant(0x520, "FRAMECNTR", 0),
        Register(offset=0x52C, name="LOWPOWER", writable=1),
        Register(offset=0x530, name="ISOINCONFIG", writable=1),
        *(row for n in range(ENDPOINTS) for row in _endpoint(0x600 + 0x14 * n, f"EPIN[{n}]")),
        *(row for n in range(ENDPOINTS) for row in _endpoint(0x700 + 0x14 * n, f"EPOUT[{n}]")),
    )

    def __init__(self, cpu: Memory) -> None:
        super().__init__(
            *("USBD", BASE, IRQ, cpu),
            tasks=self.TASKS,
            events=self.EVENTS,
            table=self.TABLE,
            shorts=self.SHORTS,
        )
        self._ram = cpu
        self.changed: Callable[[], None] = lambda: None
        self._in: list[bytes | None] = [None] * ENDPOINTS
        self._out: list[bytes | None] = [None] * ENDPOINTS
        self._accepts = [False] * ENDPOINTS
        self.status, self.stalled = False, False
        """Of the control transfer under way: its status stage is agreed to, or refused."""
        for n in range(ENDPOINTS):
            self.task(f"STARTEPIN[{n}]", lambda n=n: self._load(n))  # type: ignore[misc]
            self.task(f"STARTEPOUT[{n}]", lambda n=n: self._unload(n))  # type: ignore[misc]
            self.on_write(f"SIZE.EPOUT[{n}]", lambda value, n=n: self._accept(n))  # type: ignore[misc]
        self.task("EP0RCVOUT", lambda: self._accept(0))
        self.task("EP0STATUS", self._agree)
        self.task("EP0STALL", self._refuse)
        self.after_write("ENABLE", self._switch)
        self.after_write("USBPULLUP", lambda: self.changed())
        for name in ("EVENTCAUSE", "EPSTATUS", "EPDATASTATUS"):
            self.on_write(name, lambda value, name=name: self._clear(name, value))  # type: ignore[misc]

    @property
    def attached(self) -> bool:
        """Whether a host sees a device."""
        return bool(self.value["ENABLE"] and self.value["USBPULLUP"])

    @property
    def at_rest(self) -> bool:
        """Whether it holds no packet that the host or the firmware is to take."""
        return not any(packet is not None for packet in (*self._in[1:], *self._out[1:]))

    def bus_reset(self) -> None:
        """The host resets the bus."""
        self.value["USBADDR"] = 0
        self.event("USBRESET")

    def set_address(self, address: int) -> None:
        """SET_ADDRESS, which the controller handles without the firmware."""
        self.value["USBADDR"] = address

    def setup(self, packet: bytes) -> None:
        """The setup stage of a control transfer: 8 bytes."""
        for name, byte in zip((*_SETUP, "WLENGTHH"), packet, strict=True):
            self.value[name] = byte
        self._in[0], self._accepts[0] = None, False
        self.status = self.stalled = False
        self.event("EP0SETUP")

    def take(self, endpoint: int) -> bytes | None:
        """An IN transaction: the packet, or None where the device is not ready."""
        data, self._in[endpoint] = self._in[endpoint], None
        if data is not None:
            self._moved(endpoint, 1 << endpoint)
        return data

    def put(self, endpoint: int, data: bytes) -> bool:
        """An OUT transaction; False where the device is not ready."""
        if not self._accepts[endpoint] or not self.value["EPOUTEN"] >> endpoint & 1:
            return False
        self._accepts[endpoint] = False
        self._out[endpoint] = data
        self.value[f"SIZE.EPOUT[{endpoint}]"] = len(data)
        self._moved(endpoint, 1 << 16 + endpoint)
        return True

    def _moved(self, endpoint: int, bit: int) -> None:
        if endpoint == 0:
            self.event("EP0DATADONE")
        else:
            self.value["EPDATASTATUS"] |= bit
            self.event("EPDATA")

    def _load(self, n: int) -> None:
        size = self.value[f"EPIN[{n}].MAXCNT"]
        self._in[n] = self._ram.read_ram(self.value[f"EPIN[{n}].PTR"], size) if size else b""
        self.value[f"EPIN[{n}].AMOUNT"] = size
        self.event("STARTED")
        self.event(f"ENDEPIN[{n}]")
        self.changed()

    def _unload(self, n: int) -> None:
        data = (self._out[n] or b"")[: self.value[f"EPOUT[{n}].MAXCNT"]]
        if data:
            self._ram.write_ram(self.value[f"EPOUT[{n}].PTR"], data)
        self.value[f"EPOUT[{n}].AMOUNT"] = len(data)
        self._out[n] = None
        self.event("STARTED")
        self.event(f"ENDEPOUT[{n}]")
        if n:
            self._accept(n)

    def _accept(self, n: int) -> None:
        self._accepts[n] = True
        self.changed()

    def _agree(self) -> None:
        self.status = True
        self.changed()

    def _refuse(self) -> None:
        self.stalled = True
        self.changed()

    def _switch(self) -> None:
        if self.value["ENABLE"]:
            self.value["EVENTCAUSE"] |= READY
            self.event("USBEVENT")
        self.changed()

    def _clear(self, name: str, value: int) -> None:
        self.value[name] &= ~value
