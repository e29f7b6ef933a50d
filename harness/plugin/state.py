"""State of one run of the plugin, and what it reads off a test item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.board.registry import Registry
from harness.board.rigfile import Quarantine, RigFile
from harness.measure.limits import Limit
from harness.measure.runs import Baselines
from harness.measure.tables import LatencyRow
from harness.plugin.options import Options
from harness.plugin.tally import Tally
from harness.progress import Progress, no_progress
from harness.project import Project
from harness.rig.open import OpenBoard, RigOptions
from harness.rig.sessions import Judging, judged_by

BOARD_ID = "_hil_board_id"
MODEL_NAME = "_hil_model_name"
RUNTIME = "_hil_runtime"

Work = tuple[str | None, str | None]
"""Model and runtime of a test; a runtime of None is the board's own."""


@dataclass(slots=True)
class Broken:
    """What a board broke of, and whether a report that counts has said so."""

    error: BaseException
    reported: bool


@dataclass(slots=True)
class RunState:
    """State of one run: what was asked for, the board that is open, what came of it so far.

    `broken` is by board and work; a work of None stands for all. `release` closes the board that
    is open. `retries` and `rows` are those that no report has carried yet. `measured` is the last
    run of the open board. `progress` shows what takes a while.
    """

    options: Options
    registry: Registry
    file: RigFile
    project: Project
    tally: Tally
    broken: dict[tuple[str, Work | None], Broken] = field(default_factory=dict)
    opened: OpenBoard | None = None
    release: Callable[[], None] | None = None
    retries: int = 0
    retries_seen: int = 0
    rows: list[LatencyRow] = field(default_factory=list)
    commit: str | None = None
    progress: Progress = no_progress
    baselines: Baselines | None = None
    measured: str | None = None

    def options_for(self, board_id: str, runtime: str | None) -> RigOptions:
        """Rig options with what is said of one board, and a runtime."""
        options = self.options
        return RigOptions(
            lock_timeout_s=options.lock_timeout_s,
            flash=options.flash,
            tflm=options.tflm,
            arena_bytes=options.arena_bytes,
            check_support=not options.unchecked,
            runtime=runtime,
            port=options.ports.get(board_id),
            plugged=self.file.plugged(board_id),
            neighbours=self.file.neighbours(board_id),
            progress=self.progress,
        )

    def limits_for(self, opened: OpenBoard) -> list[Limit]:
        """The rig file's limits for the model on the board."""
        plugged = self.file.plugged(opened.declared.id)
        budgets: Mapping[str, float] = plugged.budget_us if plugged else {}
        names = dict.fromkeys((opened.artifact.name, opened.artifact.model))
        return [
            Limit(most=budgets[name], unit="us", rule=f"budget_us.{name} of the rig file")
            for name in names
            if name in budgets
        ]

    @property
    def judge(self) -> Judging | None:
        """What compares a run with its baseline, if one was asked for."""
        if self.baselines is None:
            return None
        return judged_by(self.baselines, track=self.options.track)

    def count_retries(self) -> None:
        """Remember what the open board's link has sent again since the last time."""
        if self.opened is not None:
            total = self.opened.dut.link.stats.retries
            self.retries += total - self.retries_seen
            self.retries_seen = total

    def take(self) -> tuple[int, tuple[LatencyRow, ...]]:
        """Retries and rows that no report has carried yet; the caller's report does."""
        self.count_retries()
        taken = self.retries, tuple(self.rows)
        self.retries, self.rows = 0, []
        return taken

    def broken_for(self, item: pytest.Item) -> Broken | None:
        """Why a test cannot run: its board broke, at all or with its model and runtime."""
        board_id = board_of(item)
        if board_id is None:
            return None
        return self.broken.get((board_id, None)) or self.broken.get((board_id, work_of(item)))

    def quarantine_of(self, item: pytest.Item) -> Quarantine | None:
        """The rig file's entry that covers a test on its board."""
        board_id = board_of(item)
        test = item.nodeid.partition("::")[2]
        return self.file.quarantined(board_id, test) if board_id else None


def _parameter(item: pytest.Item, name: str) -> str | None:
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get(name) if callspec else None
    return value if isinstance(value, str) else None


def board_of(item: pytest.Item) -> str | None:
    """The id of the board that a test runs on; None for a test without one."""
    return _parameter(item, BOARD_ID)


def work_of(item: pytest.Item) -> Work:
    """The model that a test runs and the runtime, as far as it has them."""
    return _parameter(item, MODEL_NAME), _parameter(item, RUNTIME)


def first_line(error: BaseException) -> str:
    """What an error says, without its hint."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def set_property(item: pytest.Item, name: str, value: object) -> None:
    """Set a test's JUnit property, in the place of an earlier value."""
    others = [pair for pair in item.user_properties if pair[0] != name]
    item.user_properties[:] = [*others, (name, value)]


def property_of(item: pytest.Item, name: str) -> Any:
    """A test's JUnit property; None where it is not set."""
    return dict(item.user_properties).get(name)
