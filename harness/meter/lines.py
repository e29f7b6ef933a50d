"""Any instrument that sends lines of `seconds,volts,amperes[,pin]`: over a port, TCP or a pipe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from harness.board.meters import MeterSpec
from harness.errors import CannotTell, MeterError, Where, located
from harness.measure.energy_trace import Trace
from harness.meter.closing import ClosedAtEnd
from harness.meter.lines_parser import Parser
from harness.meter.lines_source import READ_S, LinesOptions, Source, open_source
from harness.meter.meter import Identity
from harness.meter.recorder import Recorder
from harness.meter.stated import own_options, refuse_supply, stated_of
from harness.text import printable

_FIRST_S = 3.0
"""How long a line is waited for where there is nothing else to do."""


class LinesMeter(ClosedAtEnd):
    """Reads lines all the time, and keeps those between arm and disarm."""

    def __init__(
        self,
        spec: MeterSpec,
        *,
        source: Callable[[MeterSpec, LinesOptions], Source] = open_source,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._where = Where(meter=spec.name, port=spec.port)
        self._spec = spec
        refuse_supply(spec)
        self._stated = stated_of(spec)
        self._options = own_options(spec, LinesOptions)
        self._sleep = sleep
        self._volts = spec.volts
        self._parser: Parser | None = None
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._untold: CannotTell | None = None
        self._over = threading.Event()
        self._source = source(spec, self._options)
        self._thread = threading.Thread(target=self._read, name="meter-lines", daemon=True)
        self._thread.start()
        self.identity = Identity(
            kind="lines", serial_number=spec.serial_number, calibrated=self._stated.calibrated
        )

    @staticmethod
    def look(spec: MeterSpec) -> Identity:
        """The instrument's name, once a line of it has come.

        Raises:
            MeterError: none came in time, or no numbers did.
        """
        with LinesMeter(spec) as meter:
            meter.arm()
            meter._wait_for_one()
            return meter.identity

    def _wait_for_one(self) -> None:
        deadline = time.monotonic() + _FIRST_S
        while not len(self.taken) and self._untold is None and self._failure is None:
            if time.monotonic() > deadline:
                raise MeterError(
                    f"no line of numbers came within {_FIRST_S:g} s",
                    where=self._where,
                    hint="Is it switched on, is its baud rate the one of the rig file, and does it "
                    "need a `begin`?",
                )
            self._sleep(READ_S)
        self._refuse_lost()
        if self._untold is not None:
            raise MeterError(self._untold.reason, where=self._where, hint=self._untold.hint)

    @property
    def taken(self) -> Recorder:
        """What has come since it was armed."""
        return self._parser.recorder if self._parser is not None else Recorder()

    def arm(self, volts: float | None = None) -> None:
        """Keep what comes from now on."""
        if self._parser is not None:
            raise MeterError("the meter is armed already", where=self._where)
        self._volts = self._spec.volts if volts is None else volts
        self._refuse_lost()
        self._send(self._options.begin)
        with self._lock:
            self._untold = None
            self._parser = Parser(self._options)

    def disarm(self) -> Trace:
        """What has come since."""
        if self._parser is None:
            raise MeterError("the meter is not armed", where=self._where)
        self._sleep(self._options.lag_s)
        with self._lock:
            parser, self._parser = self._parser, None
        self._refuse_lost()
        self._send(self._options.end)
        with located(self._where):
            if self._untold is not None:
                raise self._untold
            return parser.recorder.trace((self._stated,), volts=self._volts)

    def close(self) -> None:
        """End reading, and let the port or command go; an instrument that was begun is ended."""
        self._over.set()
        self._thread.join(2.0)
        if self._parser is not None and self._failure is None:
            self._parser = None
            with suppress(MeterError):
                self._send(self._options.end)
        self._source.close()

    def _read(self) -> None:
        try:
            while not self._over.is_set():
                data = self._source.read(READ_S)
                with self._lock:
                    self._feed(data)
        except Exception as error:  # Told by arm and disarm, in the thread that asks.
            self._failure = error

    def _feed(self, data: bytes) -> None:
        """What cannot be told of one capture is no reason not to begin another one."""
        if self._parser is None or self._untold is not None:
            return
        try:
            self._parser.feed(data)
        except CannotTell as error:
            self._untold = error

    def _send(self, text: str) -> None:
        try:
            if text:
                self._source.write(f"{text}\n".encode())
        except OSError as error:
            self._failure = error
            self._refuse_lost()

    def _refuse_lost(self) -> None:
        error = self._failure
        if error is None:
            return
        raise MeterError(
            f"the meter was lost while it sampled: {printable(str(error), 200)}",
            where=self._where,
            hint="Was it unplugged, or its program ended?",
        ) from error
