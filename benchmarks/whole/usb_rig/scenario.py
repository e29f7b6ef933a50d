"""Scenarios of the rig: what is done, what is expected of it, and what happened."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.whole.usb_rig.bench import Rig
from harness.errors import HilError
from harness.text import WIDTH, printable, table, wrapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`act` returns what happened, in words, and raises Unexpected where it was something else.

    `behind` names the scenario that has to come before it, whose traces it needs.
    """

    name: str
    expected: str
    act: Callable[[Rig], str]
    behind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a scenario ended."""

    scenario: Scenario
    ok: bool
    happened: str
    seconds: float


class Unexpected(Exception):
    """Something else happened; the text says what."""


def expect(truth: object, what: str) -> None:
    """Raises Unexpected where it is not so."""
    if not truth:
        raise Unexpected(what)


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Act beside the block, which is over when both are."""
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def attempt(scenario: Scenario, rig: Rig) -> Outcome:
    """Act, and judge."""
    begun = time.monotonic()
    try:
        happened, ok = scenario.act(rig), True
    except (Unexpected, HilError, OSError, subprocess.SubprocessError) as error:
        happened, ok = str(error), False
    return Outcome(scenario=scenario, ok=ok, happened=happened, seconds=time.monotonic() - begun)


def chosen(scenarios: Sequence[Scenario], names: Sequence[str]) -> list[Scenario]:
    """Those of the names and what they need, in their own order; all without names.

    Raises:
        ValueError: there is none of a name.
    """
    known = {scenario.name: scenario for scenario in scenarios}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no scenario {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    wanted = {*names, *(known[name].behind for name in names)}
    return [scenario for scenario in scenarios if not names or scenario.name in wanted]


def report(outcomes: Sequence[Outcome]) -> str:
    """The table, and below it what happened in each."""
    headings = ("scenario", "expected", "s", "")
    rows = [
        (
            outcome.scenario.name,
            outcome.scenario.expected,
            f"{outcome.seconds:.0f}",
            "well" if outcome.ok else "FAILED",
        )
        for outcome in outcomes
    ]
    return "\n".join([table(headings, tuple(rows)), *(_told(outcome) for outcome in outcomes)])


def _told(outcome: Outcome) -> str:
    text = printable(" ".join(outcome.happened.split()), 400)
    return "\n    ".join([f"{outcome.scenario.name}:", *wrapped(text, WIDTH - 4)])
