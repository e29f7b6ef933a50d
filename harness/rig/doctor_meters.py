"""Checks of the meters that a rig file names: each is looked for, and asked which one it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.board.meters import MeterSpec
from harness.board.rigfile import Plugged
from harness.errors import HilError, LockBusy
from harness.rig.doctor import Finding
from harness.text import printable, reason_of

if TYPE_CHECKING:
    from harness.meter.meter import Identity

ANSWERS_S = 15.0
"""For all meters at a time to say which they are; a PPK2 takes below 1 s."""

Look = Callable[[str, MeterSpec], "Identity | None"]
"""Asks the meter of a board which it is."""


def ask(board: str, spec: MeterSpec) -> Identity | None:
    """As `look_at_meter`."""
    from harness.meter.meter import look_at_meter  # NumPy is loaded for it.

    return look_at_meter(spec, board=board)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSeen:
    """What was seen of a board's meter.

    `identity` is None where it was not told: `problem` says why and `cure` what to do, or `holder`
    who uses it just now; without either its kind says nothing of itself.
    """

    board: str
    spec: MeterSpec
    identity: Identity | None = None
    problem: str = ""
    cure: str = ""
    holder: str = ""


def look_at_meters(
    boards: Sequence[Plugged],
    *,
    look: Look = ask,
    deadline_s: float = ANSWERS_S,
) -> tuple[MeterSeen, ...]:
    """Ask all meters of a rig at a time. Nothing is measured, and no power switched."""
    asked = [_Asked(board.id, board.meter, look) for board in boards if board.meter is not None]
    until = time.monotonic() + deadline_s
    return tuple(each.seen(until, deadline_s) for each in asked)


def meter_findings(seen: Sequence[MeterSeen]) -> Iterator[Finding]:
    """A point for each meter; each is needed, since the rig file names it."""
    for each in seen:
        yield Finding(
            point=f"meter of {each.board}",
            ok=not each.problem,
            detail=_detail(each),
            cure=each.cure,
        )


def _detail(seen: MeterSeen) -> str:
    name = printable(seen.spec.name, 60)
    if seen.problem:
        return f"{name}: {seen.problem}"
    if seen.holder:
        return f"{name}: in use by {seen.holder}; not asked"
    found = seen.identity
    if found is None:
        return f"{name}: its package is there; it does not say which instrument is"
    firmware = f", firmware {printable(found.firmware, 40)}" if found.firmware else ""
    day = f"calibrated {found.calibrated}" if found.calibrated else "no calibration in the rig file"
    return f"{found}{firmware}" if found.simulated else f"{found}{firmware}, {day}"


class _Asked:
    """A meter that is asked in a thread of its own: drivers may wait as long as they like."""

    def __init__(self, board: str, spec: MeterSpec, look: Look) -> None:
        self._board = board
        self._spec = spec
        self._look = look
        self._seen: MeterSeen | None = None
        self._thread = threading.Thread(target=self._ask, name=f"look-{board}", daemon=True)
        self._thread.start()

    def seen(self, until: float, deadline_s: float) -> MeterSeen:
        """What it said, waited for until that time."""
        self._thread.join(max(0.0, until - time.monotonic()))
        return self._seen or self._with(
            problem=f"does not answer within {deadline_s:g} s",
            cure="Unplug it, plug it in again, and end what else may use it",
        )

    def _ask(self) -> None:
        try:
            self._seen = self._with(identity=self._look(self._board, self._spec))
        except LockBusy as busy:
            self._seen = self._with(holder=printable(busy.holder, 200))
        except HilError as error:
            self._seen = self._with(problem=printable(error.what, 300), cure=error.hint)
        except BaseException as error:  # Of a driver, sys.exit included: a point of its own.
            self._seen = self._with(problem=f"{type(error).__name__}: {reason_of(error)}")

    def _with(self, **said: object) -> MeterSeen:
        return MeterSeen(board=self._board, spec=self._spec, **said)  # type: ignore[arg-type]
