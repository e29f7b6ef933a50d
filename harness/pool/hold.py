"""A place of a pool for the length of a `with` block: queued for, held, watched, and let go."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from harness.board.place import PlaceSpec
from harness.errors import PoolError, Where
from harness.lent import Loan, loan_of
from harness.pool.answers import Resource
from harness.pool.asking import ByHolder, Told, answer, end, error_of, send, start_holder, told_of
from harness.pool.borrow import ByLender, borrowed, lent_place
from harness.pool.forward import Forward
from harness.pool.labgrid import (
    CALL_S,
    POWER,
    Identity,
    Labgrid,
    coordinator_address,
    find_client,
    new_identity,
)
from harness.process import defer_signals
from harness.progress import Progress, no_progress

WAIT_S = 1800.0
"""How long a place is waited for where nobody says so."""

SLACK_S = 4 * CALL_S
"""Beyond the wait for a place: what calls of the client may take before and after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Where the pool is, and how long a place of it is waited for.

    `program` is labgrid's client or its environment, `coordinator` HOST[:PORT]; None: looked for as
    `find_client` and `coordinator_address` do.
    """

    program: Path | None = None
    coordinator: str | None = None
    timeout_s: float = WAIT_S

    def labgrid(self, identity: Identity | None = None) -> Labgrid:
        """labgrid's client for it.

        Raises:
            ToolMissing: it is not installed.
        """
        return Labgrid(
            program=find_client(self.program),
            coordinator=coordinator_address(self.coordinator),
            identity=identity or new_identity(),
        )


class Asks(Protocol):
    """Asks how a place is that this run holds, or has from one that holds it."""

    def check(self, where: Where) -> Told:
        """How it is now; raises PoolError where it is lost or has no board."""

    def trouble(self, where: Where) -> PoolError | None:
        """What the coordinator has said of it by itself."""


class Held:
    """A place that this run holds.

    Args:
        where: put into errors.
    """

    def __init__(self, asks: Asks, labgrid: Labgrid, told: Told, where: Where) -> None:
        self._asks = asks
        self._told = told
        self.labgrid = labgrid
        self.where = where
        self._forward: Forward | None = None

    @property
    def place(self) -> str:
        """The place's name at the coordinator."""
        return self._told.place

    @property
    def serial(self) -> Resource:
        """The board's serial port, as it was when that was last asked for."""
        return self._told.serial

    @property
    def has_power(self) -> bool:
        """Whether labgrid can switch the board's power."""
        return self._told.power

    @property
    def url(self) -> str:
        """pyserial's URL of the board's port, as it was when that was last asked for.

        Raises:
            PoolError: its exporter lets in by ssh only, and ssh does not get there.
        """
        serial = self.serial
        scheme = "socket" if serial.protocol == "raw" else "rfc2217"
        if serial.proxy and serial.port:
            return f"{scheme}://127.0.0.1:{self._forwarded(serial.proxy, serial.host, serial.port)}"
        host = f"[{serial.host}]" if ":" in serial.host else serial.host
        return f"{scheme}://{host}:{serial.port}"

    def _forwarded(self, proxy: str, host: str, port: int) -> int:
        """The port here of one that is reached through another machine."""
        if self._forward is None or self._forward.target != (proxy, host, port):
            self.close()
            self._forward = Forward(proxy, host, port, where=self.where)
        return self._forward.port

    def close(self) -> None:
        """End what brings the board's port here. Idempotent; the place stays held."""
        if self._forward is not None:
            self._forward.close()
            self._forward = None

    def check(self) -> str:
        """Ask whether the place is still this run's and its board there; returns the URL now.

        Raises:
            CoordinatorGone, PlaceLost, ExporterGone: it is not.
        """
        self._told = self._asks.check(self.where)
        return self.url

    def trouble(self) -> PoolError | None:
        """What the coordinator has said of the place by itself: that it was taken from this run.

        Nobody is asked, so that it takes no time.

        Raises:
            PoolError: the process that holds the place has ended.
        """
        return self._asks.trouble(self.where)

    def lend(self, board_id: str, wanted: PlaceSpec) -> Loan:
        """What a process that this one starts is told, which then has the place from it."""
        place = lent_place(wanted, self.labgrid.identity, self._told)
        return Loan(board=board_id, pid=os.getpid(), place=place)

    def power(self, action: str, *, timeout_s: float) -> str:
        """Let labgrid switch the board's power: `on` or `off`; returns what its client said.

        Raises:
            PoolError: it cannot, or took longer.
        """
        try:
            return self.labgrid.call(POWER, action, place=self.place, timeout_s=timeout_s)
        except PoolError as error:
            error.where = self.where
            raise


@contextmanager
def hold_place(
    board_id: str, wanted: PlaceSpec, pool: Pool, *, progress: Progress = no_progress
) -> Iterator[Held]:
    """Hold a place for the length of a `with` block; may be entered again within, by one thread.

    A place that the process which started this one holds, and lends to it, is had at once.

    The pool keeps a queue: who asked first has the place first. While it is waited for, who holds
    it and for how long is said now and then.

    Raises:
        ToolMissing: labgrid's client is not installed.
        CoordinatorGone, PlaceNotFound, PlaceBusy, ExporterGone: the place is not to be had.
        PlaceLost: at the end, if it was taken meanwhile; only where nothing else went wrong.
    """
    holds = _HOLDS.by_place
    key = (board_id, wanted, pool)
    if key in holds:
        yield holds[key]
        return
    where = Where(board=board_id, port=f"labgrid:{wanted}")
    if (lent := borrowed(loan_of(board_id), wanted)) is not None:
        identity, told = lent
        labgrid = pool.labgrid(identity)
        where = replace(where, port=f"labgrid:{told.place}")
        with closing(Held(ByLender(labgrid, told.place), labgrid, told, where)) as held:
            yield held
        return
    with _held(wanted, pool, where, progress) as held:
        holds[key] = held
        try:
            yield held
        finally:
            del holds[key]


class _Holds(threading.local):
    """Those of a thread."""

    def __init__(self) -> None:
        self.by_place: dict[tuple[str, PlaceSpec, Pool], Held] = {}


_HOLDS = _Holds()


@contextmanager
def _held(wanted: PlaceSpec, pool: Pool, where: Where, progress: Progress) -> Iterator[Held]:
    labgrid = pool.labgrid()
    with ExitStack() as stack:
        process = start_holder()
        stack.callback(end, process)
        send(process, _request(labgrid, wanted, pool))
        with progress(f"{where.board}: waiting for place {wanted}"):
            told = told_of(answer(process, ("held",), pool.timeout_s + SLACK_S, where))
        held = Held(ByHolder(process), labgrid, told, replace(where, port=f"labgrid:{told.place}"))
        stack.callback(held.close)
        try:
            yield held
        except BaseException:
            with suppress(PoolError), defer_signals(f"letting go of place {held.place}"):
                _released(process, held)
            raise
        with defer_signals(f"letting go of place {held.place}"):
            failure = _released(process, held)
        if failure is not None:
            raise failure


def _request(labgrid: Labgrid, wanted: PlaceSpec, pool: Pool) -> bytes:
    asked = {
        "program": str(labgrid.program),
        "coordinator": labgrid.coordinator,
        "identity": [labgrid.identity.host, labgrid.identity.user],
        "place": str(wanted),
        "timeout_s": pool.timeout_s,
    }
    return json.dumps(asked).encode() + b"\n"


def _released(process: subprocess.Popen[bytes], held: Held) -> PoolError | None:
    """Let go; what went wrong with the place since it was held, if anything did."""
    assert process.stdin is not None, "started with a pipe"
    process.stdin.close()
    said = answer(process, ("released",), 2 * CALL_S, held.where)
    return error_of(said["failure"], held.where) if "failure" in said else None
