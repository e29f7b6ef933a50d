"""UARTE: a UART whose bytes are moved by EasyDMA, and the wire at its pins."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from harness.sim.errors import SimulationError
from harness.sim.nrf52840.nordic import HZ, Cpu, NordicPeripheral
from harness.sim.registers import Register, constant

ENABLED = 8
FIFO_BYTES = 4
"""Received bytes that wait while no transfer runs; the specification promises four."""
DISCONNECTED = 0xFFFFFFFF
_OVERRUN, _FRAMING, _BREAK = 1 << 0, 1 << 2, 1 << 3
_PARITY, _TWO_STOP_BITS = 7 << 1, 1 << 4

RATES = {
    **{0x0004F000: 1205, 0x0009D000: 2396, 0x0013B000: 4808, 0x00275000: 9598},
    **{0x003AF000: 14401, 0x004EA000: 19208, 0x0075C000: 28777, 0x00800000: 31250},
    **{0x009D0000: 38369, 0x00E50000: 55944, 0x00EB0000: 57554, 0x013A9000: 76923},
    **{0x01D60000: 115108, 0x03B00000: 231884, 0x04000000: 250000, 0x07400000: 457143},
    **{0x0F000000: 941176, 0x10000000: 1000000},
}
"""Actual bits per second, by the value of BAUDRATE; from the specification's table."""

ALIKE = 0.03
"""Two ends understand each other up to this difference of their rates."""


class Memory(Cpu, Protocol):
    """A machine whose memory EasyDMA reaches."""

    def read_ram(self, address: int, size: int) -> bytes:
        """Bytes of RAM."""

    def write_ram(self, address: int, data: bytes) -> None:
        """Write RAM."""


class Uarte(NordicPeripheral):
    """One UARTE. `inward` are bytes that the other end has sent, `outward` those for it.

    `line_baud` is the other end's rate; None for one that is always alike.
    """

    TASKS = {0x00: "STARTRX", 0x04: "STOPRX", 0x08: "STARTTX", 0x0C: "STOPTX", 0x2C: "FLUSHRX"}
    EVENTS = {
        **{0x100: "CTS", 0x104: "NCTS", 0x108: "RXDRDY", 0x110: "ENDRX", 0x11C: "TXDRDY"},
        **{0x120: "ENDTX", 0x124: "ERROR", 0x144: "RXTO", 0x14C: "RXSTARTED"},
        **{0x150: "TXSTARTED", 0x158: "TXSTOPPED"},
    }
    SHORTS = {5: ("ENDRX", "STARTRX"), 6: ("ENDRX", "STOPRX")}
    TABLE = (
        Register(offset=0x480, name="ERRORSRC"),
        Register(offset=0x500, name="ENABLE", writable=0xF),
        Register(offset=0x508, name="PSEL.RTS", reset=DISCONNECTED),
        Register(offset=0x50C, name="PSEL.TXD", reset=DISCONNECTED),
        Register(offset=0x510, name="PSEL.CTS", reset=DISCONNECTED),
        Register(offset=0x514, name="PSEL.RXD", reset=DISCONNECTED),
        Register(offset=0x524, name="BAUDRATE", reset=0x04000000),
        Register(offset=0x534, name="RXD.PTR"),
        Register(offset=0x538, name="RXD.MAXCNT", writable=0xFFFF),
        constant(0x53C, "RXD.AMOUNT", 0),
        Register(offset=0x544, name="TXD.PTR"),
        Register(offset=0x548, name="TXD.MAXCNT", writable=0xFFFF),
        constant(0x54C, "TXD.AMOUNT", 0),
        Register(offset=0x56C, name="CONFIG", writable=0x1F),
    )

    def __init__(self, index: int, base: int, irq: int, cpu: Memory) -> None:
        super().__init__(
            f"UARTE{index}",
            base,
            irq,
            cpu,
            tasks=self.TASKS,
            events=self.EVENTS,
            table=self.TABLE,
            shorts=self.SHORTS,
        )
        self._ram = cpu
        self.line_baud: int | None = None
        self.inward: deque[int] = deque()
        self.outward = bytearray()
        self._fifo: deque[int] = deque()
        self._arriving = False
        self._listens = False
        self._to, self._room, self._got = 0, 0, 0
        self._receiving = False
        self.on_write("ERRORSRC", self._clear_errors)
        self.task("STARTRX", self._start_receiving)
        self.task("STOPRX", self._stop_receiving)
        self.task("FLUSHRX", self._flush)
        self.task("STARTTX", self._start_sending)
        self.task("STOPTX", lambda: self.event("TXSTOPPED"))

    @property
    def byte_cycles(self) -> int:
        """Cycles of the CPU that a byte takes on the wire.

        Raises:
            SimulationError: BAUDRATE has a value that the specification does not list.
        """
        return self._cycles_at(self._rate)

    @property
    def _rate(self) -> int:
        rate = RATES.get(self.value["BAUDRATE"])
        if rate is None:
            raise SimulationError(f"{self.name}.BAUDRATE is 0x{self.value['BAUDRATE']:08x}")
        return rate

    @property
    def _alike(self) -> bool:
        """Whether the other end has the same rate."""
        rate = self._rate
        return self.line_baud is None or abs(self.line_baud - rate) <= ALIKE * rate

    def _cycles_at(self, rate: int) -> int:
        config = self.value["CONFIG"]
        bits = 10 + bool(config & _PARITY) + bool(config & _TWO_STOP_BITS)
        return -(-HZ * bits // rate)

    @property
    def enabled(self) -> bool:
        """Whether its pins are its own."""
        return self.value["ENABLE"] == ENABLED

    def offer(self, data: bytes) -> None:
        """The other end sends; the bytes wait there until the receiver listens."""
        self.inward += data
        self._await_byte()

    def _await_byte(self) -> None:
        if self.inward and self._listens and self.enabled and not self._arriving:
            self._arriving = True
            rate = self._rate if self._alike else self.line_baud
            assert rate is not None, "else both are alike"
            self.cpu.at(self.cpu.now() + self._cycles_at(rate), self._byte_arrived)

    def _byte_arrived(self) -> None:
        self._arriving = False
        byte = self.inward.popleft()
        if self._listens:
            byte = byte if self._alike else self._misheard(byte)
            if len(self._fifo) < FIFO_BYTES + self._receiving:
                self._fifo.append(byte)
                self.event("RXDRDY")
            else:
                self.value["ERRORSRC"] |= _OVERRUN
                self.event("ERROR")
            self._move()
        self._await_byte()

    def _misheard(self, byte: int) -> int:
        """A byte that came at another rate: a 00 at a slower one is a break, others are garbage."""
        assert self.line_baud is not None, "else both are alike"
        breaks = byte == 0 and 9 * self._rate > 10 * self.line_baud
        self.value["ERRORSRC"] |= _BREAK | _FRAMING if breaks else _FRAMING
        self.event("ERROR")
        return 0 if breaks else byte ^ 0x5A

    def _clear_errors(self, value: int) -> None:
        self.value["ERRORSRC"] &= ~value

    def _start_receiving(self) -> None:
        self._to, self._room, self._got = self.value["RXD.PTR"], self.value["RXD.MAXCNT"], 0
        self._receiving = self._listens = True
        self.event("RXSTARTED")
        self._move()
        self._await_byte()

    def _move(self) -> None:
        """From the FIFO to RAM, as far as there is room."""
        while self._receiving and self._fifo and self._got < self._room:
            self._ram.write_ram(self._to + self._got, bytes((self._fifo.popleft(),)))
            self._got += 1
            if self._got == self._room:
                self._end_transfer()

    def _end_transfer(self) -> None:
        self._receiving = False
        self.value["RXD.AMOUNT"] = self._got
        self.event("ENDRX")

    def _stop_receiving(self) -> None:
        if self._receiving:
            self._end_transfer()
        self._listens = False
        self.event("RXTO")

    def _flush(self) -> None:
        self._to, self._room, self._got = self.value["RXD.PTR"], self.value["RXD.MAXCNT"], 0
        self._receiving = True
        self._move()
        if self._receiving:
            self._end_transfer()

    def _start_sending(self) -> None:
        if not self.enabled:
            raise SimulationError(f"{self.name} is to send, but is not enabled")
        size = self.value["TXD.MAXCNT"]
        data = self._ram.read_ram(self.value["TXD.PTR"], size)
        if not self._alike:
            data = bytes(byte ^ 0xA5 for byte in data)
        self.event("TXSTARTED")
        self.cpu.at(self.cpu.now() + size * self.byte_cycles, lambda: self._sent(data))

    def _sent(self, data: bytes) -> None:
        self.outward += data
        self.value["TXD.AMOUNT"] = len(data)
        self.event("TXDRDY")
        self.event("ENDTX")
