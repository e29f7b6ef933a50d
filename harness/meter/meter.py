"""Meters behind one small interface, and which ones there are.

A meter is a class in this package or an entry point of the group `tinyml_hil.meters`, whose name is
the meter's kind and which is called with a MeterSpec:

    [project.entry-points."tinyml_hil.meters"]
    mymeter = "my_package:open_my_meter"
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from importlib.metadata import EntryPoint, entry_points

from harness.board.lock import hold_meter
from harness.board.meters import MeterSpec
from harness.bounded import LOADING_S, bounded
from harness.errors import HilError, LockBusy, MeterError, Where
from harness.measure.energy_trace import Trace
from harness.meter.bounded import COMES_BACK_S, Bounded
from harness.meter.closing import ClosedAtEnd
from harness.meter.interface import Identity, Looking, Marked, Meter, checked_identity
from harness.progress import Progress, no_progress
from harness.text import listed, printable, reason_of

__all__ = ["Identity", "Marked", "Meter", "MeterSpec", "kinds", "marked", "open_meter"]

GROUP = "tinyml_hil.meters"
MOST_SAID = 300
"""Characters of a distribution's own error that are shown."""


def marked(meter: Meter) -> Marked | None:
    """The meter to tell of the pin's edges; None for one that is wired, or finds them itself."""
    if isinstance(meter, _Held):
        return meter.marked
    return meter if isinstance(meter, Marked) else None


_BUILT_IN = {
    "csv": "harness.meter.csvfile:CsvMeter",
    "joulescope": "harness.meter.joulescope:JoulescopeMeter",
    "lines": "harness.meter.lines:LinesMeter",
    "ppk2": "harness.meter.ppk2:Ppk2Meter",
    "simulated": "harness.meter.simulated:SimulatedMeter",
}
"""Kinds and the classes behind them, each imported when one is opened."""

_SHARED = {"simulated"}
"""Kinds of which any number are open at a time."""


def kinds() -> tuple[str, ...]:
    """The kinds of meters that can be named in a rig file."""
    added = (printable(point.name, 60) for point in entry_points(group=GROUP))
    return tuple(sorted({*_BUILT_IN, *added}))


def open_meter(
    spec: MeterSpec,
    *,
    board: str | None = None,
    lock_timeout_s: float = 30.0,
    comes_back_s: float = COMES_BACK_S,
    progress: Progress = no_progress,
) -> Meter:
    """Open the meter that a rig file names, for this process alone until it is closed.

    Args:
        board: named in errors.
        lock_timeout_s: how long another process that holds it is waited for.
        comes_back_s: how long a call of another package's meter may take.

    Raises:
        MeterError: there is no such kind or instrument, its package is broken or not installed, or
            another process holds it.
    """
    where = Where(board=board, meter=spec.name, port=spec.port)
    opener = _opener(spec.kind, where)
    with ExitStack() as stack:
        try:
            stack.enter_context(_locked(spec, where, lock_timeout_s, progress))
            calls = None
            if spec.kind not in _BUILT_IN:
                calls = Bounded(comes_back_s)
                stack.callback(calls.end)
            with _located(where):
                meter = opener(spec) if calls is None else calls.run(lambda: opener(spec))
        except LockBusy as error:
            raise MeterError(error.what, where=where, hint=error.hint) from error
        return _held(meter, where, stack.pop_all(), calls)


def look_at_meter(spec: MeterSpec, *, board: str | None = None) -> Identity | None:
    """Which instrument answers, of those that a rig file names; nothing is measured or switched.

    Returns:
        None for a kind of another package that does not say.

    Raises:
        LockBusy: another process holds it: says which.
        MeterError: as `open_meter`.
    """
    where = Where(board=board, meter=spec.name, port=spec.port)
    opener = _opener(spec.kind, where)
    with _locked(spec, where, 0.0, no_progress), _located(where):
        found = opener.look(spec) if isinstance(opener, Looking) else None
        return None if found is None else checked_identity(found)


def _locked(
    spec: MeterSpec, where: Where, timeout_s: float, progress: Progress
) -> AbstractContextManager[None]:
    if spec.kind in _SHARED:
        return nullcontext()
    return hold_meter(_name(spec), where=where, timeout_s=timeout_s, progress=progress)


def _name(spec: MeterSpec) -> str:
    """What tells an instrument from others; of a link to a port, the port's own name."""
    if spec.port is None or "://" in spec.port:
        return spec.name
    return f"{spec.kind} {os.path.realpath(spec.port)}"


def _held(meter: Meter, where: Where, lock: ExitStack, calls: Bounded | None) -> _Held:
    """The meter, of which it is known which one it is; else it is closed."""
    held = _Held(meter, where, lock, calls)
    try:
        held.identify()
    except BaseException:
        with suppress(MeterError):
            held.close()
        raise
    return held


class _Held(ClosedAtEnd):
    """A meter and its lock; the errors of the meter name the board.

    Args:
        calls: runs those of another package; None for a kind of the harness, which is bounded.
    """

    def __init__(
        self, meter: Meter, where: Where, lock: ExitStack, calls: Bounded | None = None
    ) -> None:
        self._meter = meter
        self._where = where
        self._lock = lock
        self._calls = calls
        self._identity: Identity | None = None

    def identify(self) -> None:
        """Ask which one it is, once.

        Raises:
            MeterError: it does not say.
        """
        with _located(self._where):
            self._identity = checked_identity(self._run(lambda: self._meter.identity))

    @property
    def identity(self) -> Identity:
        assert self._identity is not None, "asked where it was opened"
        return self._identity

    @property
    def marked(self) -> Marked | None:
        """This, if the meter has to be told of the pin's edges."""
        return self if isinstance(self._meter, Marked) else None

    def mark(self, high: bool, *, at_s: float | None = None) -> None:
        meter = self._meter
        assert isinstance(meter, Marked), "only such a one is told"
        self._run(lambda: meter.mark(high, at_s=at_s))

    def arm(self, volts: float | None = None) -> None:
        self._run(lambda: self._meter.arm(volts))

    def disarm(self) -> Trace:
        trace: object = self._run(lambda: self._meter.disarm())
        if not isinstance(trace, Trace):
            what = f"it brought no trace, but {printable(type(trace).__name__, 60)}"
            raise MeterError(what, where=self._where)
        return trace

    def close(self) -> None:
        with self._lock:
            self._run(lambda: self._meter.close())

    def _run(self, call: Callable[[], object]) -> object:
        with _located(self._where):
            return call() if self._calls is None else self._calls.run(call)


@contextmanager
def _located(where: Where) -> Iterator[None]:
    """Name the board in a meter's errors, and make what else its package raises one of them."""
    try:
        yield
    except HilError as error:
        if error.where.board is None:
            error.where = where
        raise
    # Whatever a stranger's class raises, `sys.exit` included: it is to cost no row of latency.
    except (Exception, SystemExit) as error:
        reason = reason_of(error, MOST_SAID)
        raise MeterError(f"the meter failed: {reason}", where=where) from error


def _opener(kind: str, where: Where) -> Callable[[MeterSpec], Meter]:
    if kind in _BUILT_IN:
        module, _, name = _BUILT_IN[kind].partition(":")
        opener: Callable[[MeterSpec], Meter] = getattr(importlib.import_module(module), name)
        return opener
    points = [point for point in entry_points(group=GROUP) if point.name == kind]
    if not points:
        raise MeterError(
            f"unknown kind of meter {printable(kind)!r}; known: {listed(kinds())}",
            where=where,
            hint=f"A package brings more by the entry point group {GROUP}: docs/meters.md",
        )
    return _loaded(points[0], where)


def _loaded(point: EntryPoint, where: Where) -> Callable[[MeterSpec], Meter]:
    distribution = printable(point.dist.name if point.dist else point.value, 60)
    try:
        with bounded(LOADING_S):
            opener: Callable[[MeterSpec], Meter] = point.load()
    # Whatever a module of a stranger raises as it is imported, `sys.exit` included.
    except (Exception, SystemExit) as error:
        reason = reason_of(error, MOST_SAID)
        raise MeterError(
            f"the meter of distribution {distribution} cannot be loaded: {reason}",
            where=where,
            hint=f"Repair or remove it: python -m pip uninstall {distribution}",
        ) from error
    return opener
