"""A real board: found among the ports, opened, flashed, reset and power-cycled."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.board.lock import hold_uploads
from harness.board.place import SCHEME
from harness.board.ports import (
    POLL_S,
    Bench,
    Listing,
    SerialPort,
    again,
    candidates,
    find_port,
    in_bootloader,
)
from harness.board.registry import Board
from harness.board.rigfile import Plugged
from harness.board.udev import brltty_takes
from harness.errors import BoardNotFound, ExporterGone, FlashFailed, RigError, StartFailed, Where
from harness.firmware.build import Firmware
from harness.link.dut import Dut
from harness.link.link import Link, LinkOptions
from harness.link.loading import Errand
from harness.link.speed import Line
from harness.link.streams import SerialStream, StreamClosed, open_serial
from harness.pool.hold import Held
from harness.process import defer_signals, run_told
from harness.progress import Progress
from harness.rig import probe
from harness.rig.far import FarUploader, far_uploader
from harness.rig.flash import RETRIES, Flasher, FlashReport, Phase, Uploader
from harness.rig.power import (
    OFF_S,
    Cycled,
    Watched,
    cycle,
    cycle_by_command,
    pool_watch,
)
from harness.rig.power_switches import PoolSwitch, remember_socket, switch_of
from harness.rig.recovery import Attempt, Remedy, reopen, request_reset
from harness.terminal import say

_SWITCH = (
    'In the rig file: power = { uhubctl = "1-1", port = 2 }, or power_cycle = "COMMAND". A place '
    "of a pool has a power port of labgrid's."
)


class RealBoard:
    """A real board as it is plugged in: how it is found, and what can be done to it.

    Args:
        port: overrides what the rig file says.
        held: its place in a pool, which says where it is.
        where: put into errors, with the port.
        neighbours: the rig file's other boards, whose ports are not this one's.
        upload: writes a firmware to it.
        lock_timeout_s: how long to wait for another upload on this machine.
        sockets: folder in which is noted in which socket a board was last.
        line: what is known of the line to it.
        errand: the model to bring to it, where its firmware takes one over the link.
    """

    def __init__(
        self,
        board: Board,
        *,
        port: str | None,
        held: Held | None = None,
        plugged: Plugged | None,
        neighbours: tuple[Plugged, ...],
        where: Where,
        bench: Bench,
        upload: Uploader,
        lock_timeout_s: float,
        progress: Progress,
        sockets: Path = Path(".hil/sockets"),
        line: Line | None = None,
        errand: Errand | None = None,
    ) -> None:
        self.board = board
        plugged = plugged or Plugged(id=board.id, kind=board.kind)
        self._held = held
        self._just_said = True  # The pool, where the port is.
        port = held.url if held else port
        self.plugged = plugged.at_port(port) if port else plugged
        self._neighbours = neighbours
        self._where = where
        self._bench = bench
        self._upload = upload
        self._lock_timeout_s = lock_timeout_s
        self._progress = progress
        self._line = line
        self._sockets = sockets
        self._errand = errand
        self._port: SerialPort | None = None
        self._stream: SerialStream | None = None
        self._given_up = False  # It was waited for in vain; no power cycle was tried since.
        self.steps: tuple[Attempt, ...] = ()
        """What was done to find it, where a power cycle was needed."""

    @property
    def port(self) -> SerialPort:
        """Its last port; the first call searches for it.

        Raises:
            BoardNotFound: no port, or several.
        """
        if self._port is None:
            self._port = self._find()
            if self.plugged.power is not None and self.plugged.power.port is None:
                remember_socket(self._sockets, self._port)
        return self._port

    @property
    def far(self) -> bool:
        """Whether it is reached through a URL: plugged into another machine."""
        return "://" in self.port.path

    @property
    def takes_uploads(self) -> bool:
        """Whether firmware can be uploaded to it: not through a URL, where nobody says how."""
        return not self.far or self._far_uploader() is not None

    def _far_uploader(self) -> FarUploader | None:
        return far_uploader(self.board, self.plugged, self.port.path, self._held, self.where)

    @property
    def in_bootloader(self) -> bool:
        """Whether its last port was that of its bootloader."""
        return in_bootloader(self.board, self.port)

    @property
    def where(self) -> Where:
        """For errors, with the last port, or its place in the pool."""
        place = f"{SCHEME}{self._held.place}" if self._held else None
        return replace(self._where, port=place or self.port.path)

    def open(self, patience_s: float = 0.0) -> SerialStream:
        """Open its port, also if that has another name by now.

        Args:
            patience_s: how long the port may stay away or be refused.

        Raises:
            BoardNotFound: it is not there.
            StartFailed: it cannot be opened.
        """
        try:
            self._stream = self._opened(patience_s)
        except RigError:
            self._given_up = self._given_up or patience_s > 0
            raise
        self._given_up = False
        return self._stream

    def _opened(self, patience_s: float) -> SerialStream:
        before, clock = self.port, self._bench.clock
        deadline = clock() + patience_s
        while True:
            found = self._wait(before, deadline)
            if found is None:
                raise self._gone(patience_s)
            self._port = found
            try:
                return open_serial(found.path, where=self.where, baud=self.board.baud)
            except StartFailed:
                # A device is there for a moment before udev lets its group open it.
                if clock() >= deadline:
                    raise
            self._bench.sleep(POLL_S)

    def _wait(self, before: SerialPort, deadline: float) -> SerialPort | None:
        """Its port now, waited for; None where it is not there."""
        clock = self._bench.clock
        if self._held is None:
            return self._bench.wait_for(partial(again, before), max(0.0, deadline - clock()))
        if self._just_said:
            self._just_said = False
            return before
        while True:
            try:
                return SerialPort(path=self._held.check())
            except ExporterGone:
                if clock() >= deadline:
                    raise
            self._bench.sleep(POLL_S)

    def connect(self, options: LinkOptions, patience_s: float = 0.0) -> Dut:
        """A link to the board, before HELLO; it finds the port again when that is lost."""

        def find_again() -> SerialStream:
            # Once it was waited for, no remedy but a power cycle makes it worth another wait.
            port_s = 0.0 if self._given_up else self.plugged.deadlines.port_s
            with self._progress(f"{self.board.id}: opening its port again, for {port_s:g} s"):
                found = self.open(port_s)
            link.where = self.where
            return found

        stream = self.open(patience_s)
        link = Link(stream, where=self.where, options=options, reopen=find_again, line=self._line)
        return Dut(link, errand=self._errand)

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """What may make it answer when it is silent, mildest first."""
        found = [
            Remedy(name="open the port again", act=reopen),
            Remedy(name="RESET request", act=request_reset),
        ]
        if self.board.probe is not None:
            found.append(Remedy(name="reset by pyOCD", act=self._reset_by_probe))
        elif self.board.touch_baud is None:
            found.append(Remedy(name="reset by DTR and RTS", act=self._pulse_reset))
        if self.power_name:
            name = f"power cycle ({self.power_name})"
            found.append(Remedy(name=name, act=self._power_cycle_and_reopen))
        return tuple(found)

    @property
    def power_name(self) -> str:
        """What switches its power, in words; empty where nothing does."""
        if self.plugged.power_cycle or self.plugged.power:
            return str(self.plugged.power_cycle or self.plugged.power)
        return f"labgrid, place {self._held.place}" if self._held and self._held.has_power else ""

    def power_cycle(self) -> Cycled:
        """Turn its power off and on, and see that its port goes and comes back.

        Raises:
            PowerFailed: by its port the power stayed on, or the board did not come back.
            RigError: the power could not be switched, or nothing says how.
        """
        self._given_up = False
        power, watched = self.plugged.power, self._watched()
        if self.plugged.power_cycle is not None:
            command = self.plugged.power_cycle
            return cycle_by_command(command, partial(self._run_power_cycle, command), watched)
        if power is not None:
            listing = self._bench.ports()
            switch = switch_of(power, self.plugged, listing, self._sockets, self._where)
            return cycle(switch, watched, off_s=power.off_s)
        if self._held is not None and self._held.has_power:
            by_pool = PoolSwitch(self._held, timeout_s=self.plugged.deadlines.power_s)
            return cycle(by_pool, watched, off_s=OFF_S)
        raise RigError("nothing switches the board's power", where=self._where, hint=_SWITCH)

    def _watched(self) -> Watched:
        """Its port, if it is there."""
        stays = self.plugged.power is not None and self.plugged.power.port_stays
        port_s = self.plugged.deadlines.port_s
        if self._held is not None:
            return pool_watch(
                self._held, self._bench, where=self._where, port_s=port_s, stays=stays
            )
        listing = self._bench.ports()
        before = again(self._port, listing) if self._port else self._seen(listing)
        return Watched(
            before=before,
            bench=self._bench,
            where=self._where,
            port_s=port_s,
            stays=stays,
            find=self._seen,
        )

    def _seen(self, listing: Listing) -> SerialPort | None:
        """Its port among these, if it is there and the only one that may be it."""
        found = candidates(self.board, self.plugged, listing, neighbours=self._neighbours)
        return found[0] if len(found) == 1 else None

    def _run_power_cycle(self, command: str) -> None:
        limit_s = self.plugged.deadlines.power_s
        try:
            status, said = run_told(command, timeout_s=limit_s)
        except subprocess.TimeoutExpired as error:
            raise RigError(
                f"power-cycle command took longer than {limit_s:g} s",
                where=self._where,
                hint=f"Command: {command}",
            ) from error
        if status:
            raise RigError(
                f"power-cycle command ended with status {status}",
                where=self._where,
                hint=f"Command: {command}\nIt said: {said}",
            )

    def flash(self, firmware: Firmware) -> FlashReport:
        """Upload a firmware to the board, while nobody else on this machine uploads.

        Raises:
            FlashFailed: both tries failed, or it is behind a URL and nobody says how.
            BoardBusy: another upload did not end in time.
        """
        if self.far:
            return self._flash_far(firmware)
        flasher = Flasher(
            self.board,
            firmware,
            self.port,
            deadlines=self.plugged.deadlines,
            bench=self._bench,
            upload=self._upload,
        )
        with (
            hold_uploads(self.board.id, timeout_s=self._lock_timeout_s, progress=self._progress),
            defer_signals(f"the upload to {self.board.id}"),
            self._progress(f"{self.board.id}: uploading"),
        ):
            try:
                self._port, report = flasher.flash(between=self._before_retry)
            except KeyboardInterrupt:
                say(f"upload killed: {self.board.id} may be in its bootloader; flash it again")
                raise
        return report

    def _flash_far(self, firmware: Firmware) -> FlashReport:
        upload, clock = self._far_uploader(), self._bench.clock
        if upload is None:
            raise FlashFailed(
                "nothing says how to upload through a URL",
                phase="upload",
                where=self.where,
                hint=f"In the rig file: upload = {{ command = [...] }}, which runs there by ssh; "
                f"or at the machine it is plugged into: hil flash --board {self.board.id}",
            )
        failures: list[str] = []
        phases = []
        while True:
            begun = clock()
            try:
                with (
                    defer_signals(f"the upload to {self.board.id}"),
                    self._progress(f"{self.board.id}: uploading at {upload.host}"),
                ):
                    upload(firmware.elf, timeout_s=self.plugged.deadlines.upload_s)
                phases.append(Phase(name="upload", seconds=clock() - begun))
                break
            except FlashFailed as error:
                phases.append(Phase(name="upload", seconds=clock() - begun))
                if len(failures) == RETRIES:
                    error.hint = f"Tried {RETRIES + 1} times.\n{error.hint}"
                    raise
                failures.append(error.what)
                self._before_retry()
        self._just_said = False
        return FlashReport(port=self.port.path, phases=tuple(phases), failures=tuple(failures))

    def _find(self) -> SerialPort:
        def look() -> SerialPort:
            listing = self._bench.ports()
            return find_port(self.board, self.plugged, listing, neighbours=self._neighbours)

        try:
            return look()
        except BoardNotFound as error:
            # A board that hangs can drop off the bus; cutting its power brings it back.
            if not error.several and (braille := brltty_takes(self.board.usb)):
                error.hint = f"{braille}\n{error.hint}"
            if error.several or not self.power_name:
                raise
        seen = self.power_cycle()
        deadline = self._bench.clock() + self.plugged.deadlines.port_s
        while True:
            try:
                found = look()
                self.steps = (
                    Attempt(action="look for its port", result="not there"),
                    Attempt(action=f"power cycle ({self.power_name})", result="it appeared"),
                )
                return found
            except BoardNotFound as error:
                if error.several or self._bench.clock() >= deadline:
                    others = f": {seen}" if seen.also_gone else ""
                    error.hint = f"A power cycle did not help{others}.\n{error.hint}"
                    raise
            self._bench.sleep(POLL_S)

    def _gone(self, waited_s: float) -> BoardNotFound:
        serial = f", serial number {self.port.serial_number}" if self.port.serial_number else ""
        return BoardNotFound(
            f"the board is gone from its last port{serial}; waited {waited_s:g} s",
            where=self.where,
            hint="Plug it in again, or power-cycle its hub port. `hil boards --watch` shows both.",
        )

    def _before_retry(self) -> None:
        if self.power_name:
            # The second try says whether it helped.
            with suppress(RigError):
                self.power_cycle()

    def _pulse_reset(self, link: Link) -> None:
        assert self._stream is not None, "not opened"
        try:
            self._stream.pulse_reset(self._bench.sleep)
        except StreamClosed as error:
            raise StartFailed(f"cannot switch DTR and RTS: {error}", where=self.where) from error

    def _reset_by_probe(self, link: Link) -> None:
        limit_s = self.plugged.deadlines.power_s
        probe.reset(self.board, self.port.serial_number, timeout_s=limit_s, where=self.where)

    def _power_cycle_and_reopen(self, link: Link) -> str:
        seen = self.power_cycle()
        link.reopen()
        return str(seen)
