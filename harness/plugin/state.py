"""State of one run of the plugin, and what it reads off a test item."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.board.registry import Board, Registry, load_registry
from harness.board.rigfile import Quarantine, RigFile, load_rig
from harness.errors import (
    BoardStatus,
    BuildFailed,
    HilError,
    ModelError,
    StaleFirmware,
)
from harness.files import refuse_overwriting
from harness.link.speed import SlowLines
from harness.measure.baseline import load_baselines
from harness.measure.energy_gate import Energies, load_energies
from harness.measure.limits import Limit
from harness.measure.operator_gate import with_profiles
from harness.measure.place import check_place, inputs_of
from harness.measure.runs import Baselines
from harness.measure.tables import EnergyRow, LatencyRow
from harness.model.artifact import Artifact
from harness.model.resolve import resolve_model
from harness.plugin.counts import Note, Recovery, RunCounts
from harness.plugin.options import Options, parse_options
from harness.plugin.start import MODEL_NAME, RUNTIME, board_of, parameter
from harness.pool.hold import Pool
from harness.progress import Progress, no_progress
from harness.project import Project, find_project
from harness.report.output import check_output
from harness.rig.allowance import Allowance
from harness.rig.keeper import Keeper
from harness.rig.metering import BoardMeter
from harness.rig.open import OpenBoard, RigOptions, look_at
from harness.rig.profiling import ProfilePlan
from harness.rig.recovery import lost
from harness.rig.sessions import Judging, judged_by
from harness.rig.supply import Supplies
from harness.rig.swapping import Swaps

Work = tuple[str | None, str | None]
"""Model and runtime of a test; a runtime of None is the board's own."""


@dataclass(slots=True)
class Broken:
    """What a board broke of, and whether a report that counts has said so."""

    error: HilError
    reported: bool


@dataclass(slots=True)
class RunState:
    """State of one run: what was asked for, the board that is open, what came of it so far.

    `broken` is by board and work; a work of None stands for all. `looked` holds those whose model
    was looked at. A board `to_recover` met an error
    of the link and is brought back before its next test, once: see `recovered`. `release` closes
    the board that is open, and `keeper` holds it until the last of its models, with power by
    `supplies`. `retries`, `rows`
    and `recovery` are those that no report has carried yet. `measured` is the row of the last run
    of the open board, `metered` that of its energy, and `meter` its meter. `progress` shows what
    takes long.
    """

    options: Options
    registry: Registry
    file: RigFile
    project: Project
    counts: RunCounts
    broken: dict[tuple[str, Work | None], Broken] = field(default_factory=dict)
    looked: set[tuple[str, Work]] = field(default_factory=set)
    to_recover: dict[str, Broken] = field(default_factory=dict)
    recovered: set[str] = field(default_factory=set)
    opened: OpenBoard | None = None
    release: Callable[[], None] | None = None
    retries: int = 0
    retries_seen: int = 0
    rows: list[LatencyRow] = field(default_factory=list)
    energies: list[EnergyRow] = field(default_factory=list)
    recovery: Recovery | None = None
    commit: str | None = None
    progress: Progress = no_progress
    baselines: Baselines | None = None
    measured: LatencyRow | None = None
    metered: EnergyRow | None = None
    meter: BoardMeter | None = None
    energy_baselines: Energies | None = None
    slow: SlowLines = field(default_factory=SlowLines)
    swaps: Swaps = field(default_factory=Swaps)
    keeper: Keeper = field(default_factory=Keeper)
    supplies: Supplies = field(default_factory=Supplies)
    allowance: Allowance = field(default_factory=Allowance)

    def options_for(self, board_id: str, runtime: str | None) -> RigOptions:
        """Rig options with what is said of one board, and a runtime."""
        options = self.options
        return RigOptions(
            lock_timeout_s=options.lock_timeout_s,
            flash=options.flash,
            tflm=options.tflm,
            arena_bytes=options.arena_bytes,
            check_support=not options.unchecked,
            most_baud=options.most_baud,
            pool=Pool(
                program=options.labgrid,
                coordinator=options.coordinator,
                timeout_s=options.pool_timeout_s,
            ),
            slow=self.slow,
            swaps=self.swaps,
            keeper=self.keeper,
            supplies=self.supplies,
            allowance=self.allowance,
            tolerance=options.tolerance,
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

    def energy_limits_for(self, opened: OpenBoard) -> dict[str, float]:
        """The rig file's limits for the energy of the model on the board, by what says so."""
        plugged = self.file.plugged(opened.declared.id)
        budgets: Mapping[str, float] = plugged.budget_uj if plugged else {}
        names = dict.fromkeys((opened.artifact.name, opened.artifact.model))
        return {
            f"budget_uj.{name} of the rig file": budgets[name] for name in names if name in budgets
        }

    @property
    def judge(self) -> Judging | None:
        """What compares a run with its baseline, if one was asked for."""
        if self.baselines is None:
            return None
        return judged_by(self.baselines, track=self.options.track)

    def profile_plan(self, measured: LatencyRow) -> ProfilePlan:
        """How the profile of a measured run is taken and judged."""
        return ProfilePlan(
            row=measured,
            csv=self.options.csv,
            sessions=self.options.sessions,
            baselines=self.baselines,
            track=self.options.track,
        )

    def count_retries(self) -> None:
        """Remember what the open board's link has sent again since the last time."""
        if self.opened is not None:
            total = self.opened.dut.link.stats.retries
            self.retries += total - self.retries_seen
            self.retries_seen = total

    def forget_retries(self) -> None:
        """Go on counting from here."""
        if self.opened is not None:
            self.retries_seen = self.opened.dut.link.stats.retries

    def take(self, note: Note) -> Note:
        """A note with the retries, rows, recovery and slow lines that none has carried yet."""
        self.count_retries()
        taken = replace(
            note,
            retries=self.retries,
            rows=tuple(self.rows),
            energies=tuple(self.energies),
            recovery=self.recovery,
            slow=(*self.slow.news(), *self.swaps.news()),
        )
        self.retries, self.rows, self.energies, self.recovery = 0, [], [], None
        return taken

    def note_sick(self, item: pytest.Item, error: HilError) -> None:
        """A test met an error of its board or rig: the board is to be recovered, or is broken."""
        board_id = board_of(item)
        assert board_id is not None, "a test on a board"
        broken = Broken(error=error, reported=self.quarantine_of(item) is None)
        opened = self.opened is not None
        if opened and isinstance(error, BoardStatus) and error.of_request:
            return  # An answer: the test asked for what this board does not do.
        if opened and lost(error) and board_id not in self.recovered:
            self.to_recover.setdefault(board_id, broken)
            return
        of_work = isinstance(error, BuildFailed | StaleFirmware | ModelError)
        self.broken.setdefault((board_id, work_of(item) if of_work else None), broken)

    def look(self, item: pytest.Item) -> None:
        """Look at a test's model, once for each board, before anything is built or started for it.

        A model that cannot run there is broken for the board, as one whose build fails.
        """
        board_id, work = board_of(item), work_of(item)
        if board_id is None or work[0] is None or (board_id, work) in self.looked:
            return
        self.looked.add((board_id, work))
        board = self.registry[board_id]
        try:
            runtime = board.runtime(work[1] or next(iter(self.options.runtimes), None))
            artifact = resolve_model(work[0], self.project.artifacts)
            look_at(board, artifact, self.project, self.options_for(board_id, runtime))
        except ModelError as error:
            self.broken.setdefault((board_id, work), Broken(error=error, reported=False))

    def runnable_models(self, board: Board, runtime: str) -> list[Artifact]:
        """The run's models, but for those that a look finds cannot run on a board."""
        found = []
        for name in self.options.models:
            with suppress(ModelError):
                artifact = resolve_model(name, self.project.artifacts)
                look_at(board, artifact, self.project, self.options_for(board.id, runtime))
                found.append(artifact)
        return found

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


def new_state(config: pytest.Config) -> RunState:
    """The state of a run at its start.

    Raises:
        pytest.UsageError: a board, runtime, model, baseline or rig file that is none.
    """
    options = parse_options(config)
    try:
        registry = load_registry()
        file = load_rig(options.rig_file, registry)
        registry = file.extend(registry)
        for board_id in options.boards:
            for runtime in options.runtimes if options.asked else ():
                registry[board_id].runtime(runtime)
            registry[board_id]
        project = find_project()
        for name in options.models if options.asked else ():
            _check_known(name, project)
        _check_files(options, config)
        baselines = load_baselines(options.baseline) if options.baseline else None
        if baselines and options.baseline and options.profile:
            baselines = with_profiles(baselines, options.baseline)
        energies = load_energies(options.baseline) if options.baseline else None
    except HilError as error:
        raise pytest.UsageError(str(error)) from error
    state = RunState(
        options=options,
        registry=registry,
        file=file,
        project=project,
        counts=RunCounts(options.boards),
        baselines=baselines,
        energy_baselines=energies,
        allowance=Allowance(options.attribute),
    )
    state.swaps = Swaps(
        options.swap,
        state.runnable_models,
        arena_bytes=options.arena_bytes,
        baselines=baselines,
    )
    return state


def _check_files(options: Options, config: pytest.Config) -> None:
    """Refuse files that a run would destroy, or could not write what it measured to."""
    check_place(options.csv)
    others = (options.baseline, options.rig_file)
    read = [*inputs_of(options.csv), *(path for path in others if path is not None)]
    junit = junit_path(config)
    check_output(options.report, "--hil-report", [*read, *((junit,) if junit else ())])
    refuse_overwriting(junit, "--junitxml", read)


def junit_path(config: pytest.Config) -> Path | None:
    """The JUnit file that pytest was asked for; None in a worker, which writes none."""
    xml = config.getoption("xmlpath", None)
    if not xml or hasattr(config, "workerinput"):
        return None
    return Path(os.path.expandvars(xml)).expanduser().resolve()


def _check_known(name: str, project: Project) -> None:
    """Raise UnknownName for a model that is none. A file that is none is its board tests' error."""
    with suppress(ModelError):
        resolve_model(name, project.artifacts)


def work_of(item: pytest.Item) -> Work:
    """The model that a test runs and the runtime, as far as it has them."""
    return parameter(item, MODEL_NAME), parameter(item, RUNTIME)


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
