"""Boards outside of the guest: firmware on an emulated Cortex-M4, wired to the UART of a bridge.

The wiring is what a bench has beside them: a supply that a hub switches, and a reset circuit at DTR
and RTS as ESP32 kits have it.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.whole.usb_rig.traffic import Break, Event, Modem, Rate, Traffic
from harness.board.registry import Emulator
from harness.errors import HilError, RigError, Where
from harness.link.streams import StreamClosed
from harness.rig.qemu import QemuProcess

EMULATOR = Emulator(machine="mps2-an386", icount_shift=7)
_POLL_S = 0.02
_CHUNK = 4096


class WiredBoard:
    """A board at the other end of a bridge's UART, until it is closed.

    It has no firmware until it is flashed, and runs while it has power. `resets` counts those by
    its reset pin, `starts` those by its power, which with its `own_supply` no hub cuts.

    Args:
        uart: QEMU's socket; it is connected to whenever it is there.
        traffic: what goes over USB to the bridge.
    """

    def __init__(self, name: str, uart: Path, traffic: Path) -> None:
        self.name = name
        self._uart = uart
        self._traffic = Traffic(traffic)
        self._lock = threading.RLock()
        self._stopping = False
        self._elf: Path | None = None
        self._powered = True
        self.own_supply = False
        self._process: QemuProcess | None = None
        self._wire: socket.socket | None = None
        self._dtr = self._rts = False
        self.resets = self.starts = self.breaks = 0
        self.rates: list[int] = []
        jobs = (self._from_guest, self._to_guest, self._watch)
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def flash(self, elf: Path) -> None:
        """Write firmware into it, and start that."""
        with self._lock:
            self._elf = elf
            self._stop()
            self._start()

    def power(self, on: bool) -> None:
        """Turn its supply on or off."""
        with self._lock:
            if on == self._powered or self.own_supply:
                return
            self._powered = on
            self._stop()
            self._start()

    def close(self) -> None:
        """Idempotent."""
        self._stopping = True
        for thread in self._threads:
            thread.join()
        with self._lock:
            self._stop()
        self._hang_up()

    def _start(self) -> None:
        if self._elf is None or not self._powered:
            return
        # A real board's time goes on by itself: no instruction is counted.
        where = Where(board=self.name)
        process = QemuProcess(EMULATOR, self._elf, where=where, counted=False)
        self._process = process.__enter__()
        self.starts += 1

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def _from_guest(self) -> None:
        while not self._stopping:
            wire = self._connected()
            if wire is None:
                time.sleep(_POLL_S)
                continue
            try:
                data = wire.recv(_CHUNK)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                continue
            with self._lock, suppress(StreamClosed, HilError):
                if self._process is not None:
                    self._process.stream.write(data)

    def _to_guest(self) -> None:
        while not self._stopping:
            with self._lock:
                process = self._process
            data = b""
            with suppress(StreamClosed, OSError, ValueError):
                data = process.stream.read(_POLL_S) if process else b""
            if not data:
                time.sleep(0.001 if process else _POLL_S)
            elif (wire := self._wire) is not None:
                with suppress(OSError):
                    wire.sendall(data)

    def _watch(self) -> None:
        while not self._stopping:
            for event in self._traffic.events():
                self._heed(event)
            time.sleep(_POLL_S)

    def _heed(self, event: Event) -> None:
        if isinstance(event, Modem):
            held = self._in_reset
            self._dtr = self._dtr if event.dtr is None else event.dtr
            self._rts = self._rts if event.rts is None else event.rts
            if held and not self._in_reset:
                self._reset()
        elif isinstance(event, Rate):
            self.rates.append(event.baud)
        elif isinstance(event, Break):
            self.breaks += event.on

    @property
    def _in_reset(self) -> bool:
        return self._rts and not self._dtr

    def _reset(self) -> None:
        self.resets += 1
        with self._lock, suppress(RigError):
            if self._process is not None:
                self._process.power_cycle()

    def _connected(self) -> socket.socket | None:
        if self._wire is None:
            wire = socket.socket(socket.AF_UNIX)
            wire.settimeout(_POLL_S * 5)
            try:
                wire.connect(str(self._uart))
            except OSError:
                wire.close()
                return None
            self._wire = wire
        return self._wire

    def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
        # QEMU leaves the name of a socket that it has closed.
