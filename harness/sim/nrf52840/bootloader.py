"""A Nano 33 BLE with its bootloader: a reset that asks for it leads there, an upload ends in it.

The bootloader is no firmware here: its end of the wire is `SamBa`, in the host's process, and no
simulated time passes in it. What the real one leaves running for the application is not modelled,
nor is the double tap on the reset button.
"""

from __future__ import annotations

from harness.sim.machine import Machine
from harness.sim.nrf52840.chip import Nrf52840
from harness.sim.nrf52840.samba import SamBa
from harness.sim.nrf52840.simple import DEVICE_ADDRESS
from harness.sim.pause import Pause
from harness.sim.serve import Shown

MAGIC = 0xB0
"""In GPREGRET at a reset: Arduino's DFU_MAGIC_SERIAL_ONLY_RESET."""
APPLICATION, END = 0x10000, 0x100000
USB = "2341:005a"
SERIAL_NUMBER = "".join(f"{word:08x}" for word in reversed(DEVICE_ADDRESS)).zfill(32)
"""The firmware's, in lower case and with zeros before it."""


class ApplicationFlash:
    """The flash of a machine that an application may take."""

    size = END - APPLICATION

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def read(self, offset: int, size: int) -> bytes:
        return self.machine.core.read_memory(APPLICATION + offset, size)

    def erase(self, offset: int) -> None:
        erased = b"\xff" * (self.size - offset)
        self.machine.core.write_memory(APPLICATION + offset, erased)

    def program(self, offset: int, data: bytes) -> None:
        before = self.read(offset, len(data))
        cleared = bytes(old & new for old, new in zip(before, data, strict=True))
        self.machine.core.write_memory(APPLICATION + offset, cleared)

    @property
    def valid(self) -> bool:
        """Whether there is something to start: a stack pointer in RAM, as bootloaders look."""
        return self.read(3, 1) == b"\x20"


class WithBootloader:
    """A machine whose resets lead to the bootloader where GPREGRET asks for it."""

    def __init__(self, machine: Machine, chip: Nrf52840) -> None:
        self.machine = machine
        self.chip = chip
        self._flash = ApplicationFlash(machine)
        self._resets = machine.resets
        self._bootloader: SamBa | None = None
        self._answers = b""
        self._heard = False

    @property
    def shown(self) -> Shown | None:
        """What is plugged into the host's port."""
        if self._bootloader is not None:
            return Shown(usb=USB, serial_number=SERIAL_NUMBER)
        return self.chip.shown

    @property
    def timeless(self) -> bool:
        """Whether the bootloader hears the host, which is in the host's process."""
        return self._bootloader is not None

    def run(self) -> Pause:
        """Let time pass for a while.

        Raises:
            SimulationError: the firmware did what the simulated chip cannot.
        """
        if self._bootloader is not None:
            return self._serve(self._bootloader)
        pause = self.machine.run()
        if self.machine.resets != self._resets:
            self._resets = self.machine.resets
            if self.chip.retained == MAGIC:
                self._bootloader = SamBa(self._flash)
            return Pause.BUSY
        return pause

    def _serve(self, bootloader: SamBa) -> Pause:
        heard, self._heard = self._heard, False
        if bootloader.reset_asked:
            self._start_application()
            return Pause.BUSY
        return Pause.BUSY if heard else Pause.IDLE

    def _start_application(self) -> None:
        self._bootloader = None
        self.chip.retained = 0
        if not self._flash.valid:
            self._bootloader = SamBa(self._flash)
            return
        self.machine.reset()
        self._resets = self.machine.resets

    def offer(self, data: bytes) -> None:
        """Bytes from the host."""
        if self._bootloader is None:
            self.chip.offer(data)
        else:
            self._answers += self._bootloader.feed(data)
            self._heard = True

    def take(self) -> bytes:
        """Bytes for the host since the last call."""
        said, self._answers = self._answers, b""
        return self.chip.take() + said

    def line(self, *, baud: int, open: bool) -> None:
        """A program has opened or closed the port, or changed its rate."""
        self.chip.line(baud=baud, open=open)
