"""A simulated Nano 33 BLE in this process, plugged in, with whatever firmware it has."""

from __future__ import annotations

import itertools
from pathlib import Path

from fakes.samba import upload

from harness.errors import Where
from harness.link.dut import Dut
from harness.link.link import Link
from harness.link.protocol import Message, Op, encode_frame
from harness.link.speed import Line
from harness.link.streams import padded

HZ = 64_000_000
SERIAL_NUMBER = "FFFF456789ABCDEF"
WHERE = Where(board="nano33ble-sim", port="sim:nrf52840")
MOST = 3000
"""Slices until it must have come to rest: those of ten seconds of a busy CPU."""


class Plugged:
    """The board; its time is the simulated one, and passes only in here."""

    def __init__(self, elf: Path) -> None:
        # unicorn need not be installed where this is imported.
        from harness.sim.chips import CHIPS
        from harness.sim.pause import Pause

        self._idle = Pause.IDLE
        _, board = CHIPS["nrf52840"](elf, "usb", 1, True)
        self.board = board
        self.settle()

    @property
    def machine(self):
        return self.board.machine

    @property
    def host(self):
        return self.board.chip.host

    @property
    def usb(self) -> str | None:
        return self.board.shown.usb if self.board.shown else None

    def settle(self) -> None:
        """Until firmware waits for the host."""
        for _ in range(MOST):
            if self.board.run() is self._idle:
                return
        raise AssertionError("the machine did not come to rest")

    def now(self) -> float:
        return self.machine.now() / HZ

    def open(self, baud: int = 115200) -> None:
        self.board.line(baud=baud, open=True)

    def shut(self, baud: int = 115200) -> None:
        self.board.line(baud=baud, open=False)

    def upload(self, image: bytes) -> None:
        """As an uploader does at the bootloader's port."""

        def ask(data: bytes, size: int) -> bytes:
            self.board.offer(data)
            answer = self.board.take()
            assert len(answer) == size
            return answer

        upload(ask, image)
        self.settle()

    def set_baud(self, baud: int) -> bool:
        return True

    def write(self, data: bytes) -> None:
        self.board.offer(data)

    def read(self, timeout_s: float) -> bytes:
        """What it has said when it has come to rest; it never waits in vain for simulated time."""
        self.settle()
        return self.board.take()

    def close(self) -> None:
        pass


class Echo:
    """What can be asked of the device of tests/sim/cdc.c."""

    def __init__(self, plugged: Plugged, step: int = 1) -> None:
        self._plugged = plugged
        self.step = step
        self.request = bytes(range(200))

    def check(self) -> None:
        """A request must be answered, whatever was said before."""
        self._plugged.read(0)
        self._plugged.write(self.request)
        assert self._plugged.read(0)[-200:] == bytes(byte + self.step for byte in self.request)


class Harness:
    """What can be asked of firmware that speaks our protocol."""

    request = padded(encode_frame(Message(seq=200, op=Op.HELLO)))

    def __init__(self, plugged: Plugged) -> None:
        ticks = itertools.count()  # Time-outs of the link pass without waiting.
        line = Line(native_usb=True)
        link = Link(plugged, where=WHERE, line=line, clock=lambda: float(next(ticks)))
        self._dut = Dut(link, clock=plugged.now)
        self.check()

    def check(self) -> None:
        """A request must be answered, whatever was said before."""
        self._dut.greet()
        assert self._dut.hello.board_uid == SERIAL_NUMBER
