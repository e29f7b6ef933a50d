"""A simulated chip as a byte stream in this process, on its own time."""

from pathlib import Path

BASE_BAUD = 115200


class SimulatedUart:
    """The firmware of an ELF file behind a bridge that carries up to `most_baud`."""

    def __init__(self, elf: Path, *, most_baud: int = 10_000_000) -> None:
        # unicorn need not be installed where this is imported.
        from harness.sim.elf import load_segments
        from harness.sim.machine import Machine
        from harness.sim.nrf52840.chip import Nrf52840

        self.chip = Nrf52840()
        self.machine = Machine(self.chip, load_segments(elf))
        self._most = most_baud
        self._idle_s = 0.0
        self.baud = BASE_BAUD
        self.set_baud(self.baud)

    def now(self) -> float:
        """Seconds since power-up, in which the host waited for what did not come included."""
        return self.machine.now() / 64e6 + self._idle_s

    def host_waits(self, seconds: float) -> None:
        """Time passes on the host only."""
        self._idle_s += seconds

    @property
    def chip_baud(self) -> int:
        """The rate in the chip's register."""
        value = self.machine.core.bus.read(0x40002524, 4)
        return {0x00275000: 9600, 0x01D60000: 115200, 0x07400000: 460_800, 0x10000000: 1_000_000}[
            value
        ]

    def set_baud(self, baud: int) -> bool:
        self.baud = baud
        self.chip.line(baud=baud if baud <= self._most else BASE_BAUD, open=True)
        return True

    def write(self, data: bytes) -> None:
        self.chip.offer(data)

    def read(self, timeout_s: float) -> bytes:
        while self.machine.run().name != "IDLE":
            pass
        data = self.chip.take()
        self._idle_s += 0 if data else timeout_s
        return data

    def close(self) -> None:
        pass
