"""What a command is to do with boards: board, runtime, model and rig options, resolved as one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

from harness import settings
from harness.board.registry import Board, Registry, load_registry
from harness.board.rigfile import RigFile, load_rig
from harness.cli.command import errors_noted, exit_status
from harness.cli.settings import refuse_several, sources_of
from harness.errors import HilError, ModelError, WrongUse
from harness.measure.runs import Baselines
from harness.model.artifact import Artifact
from harness.model.resolve import resolve_model
from harness.pool.hold import Pool
from harness.progress import Progress
from harness.project import Project, find_project
from harness.rig.emulated import expand_here
from harness.rig.flashed import flashed_on
from harness.rig.keeper import Keeper
from harness.rig.open import OpenBoard, RigOptions, build_ahead, look_at, open_board
from harness.rig.supply import Supplies
from harness.rig.swapping import ALWAYS, NEVER, Swaps
from harness.settings import Sources
from harness.terminal import say
from harness.text import wrapped

_ONE_MODEL = "Name one model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One board, what it is to run, and how it is opened."""

    board: Board
    runtime: str
    artifact: Artifact
    project: Project
    options: RigOptions

    def __str__(self) -> str:
        return f"{self.board.id}, {self.runtime}, {self.artifact.name}"

    @contextmanager
    def open(self, **changes: Any) -> Iterator[OpenBoard]:
        """The board opened as `open_board` does, with changes to its options."""
        options = replace(self.options, **changes)
        try:
            with open_board(self.board, self.artifact, self.project, options) as opened:
                yield opened
        finally:
            for note in (*options.slow.news(), *options.swaps.news()):
                say(note)

    @property
    def counts_functions(self) -> bool:
        """Whether QEMU runs the board, which counts the instructions of functions."""
        return self.options.counts_functions(self.board)

    def look(self) -> None:
        """Look at the model before anything is built, started or locked for it.

        Raises:
            ModelError: it cannot run on the board with the runtime.
        """
        look_at(self.board, self.artifact, self.project, self.options)

    def hold(self) -> AbstractContextManager[object]:
        """The board's lock, for longer than it is open once."""
        return self.options.hold(self.board)


def rig_file(sources: Sources) -> tuple[RigFile, Registry]:
    """The rig file that is set, and the registry with its boards."""
    registry = load_registry()
    file = load_rig(sources[settings.RIG], registry)
    return file, file.extend(registry)


def one_work(options: argparse.Namespace) -> Work:
    """What a command is to do that takes one board, one runtime and one model.

    Raises:
        WrongUse: several are set.
        UnknownName: as `works`.
        ModelError: as `works`; or the model cannot run there.
    """
    sources = sources_of(options)
    refuse_several(sources, settings.BOARD, settings.MODEL, settings.RUNTIME)
    (work,) = works(sources, options.progress)
    work.look()
    return work


def one_firmware(options: argparse.Namespace) -> list[Work]:
    """What a command is to do that takes one board and runtime, and gives it one firmware.

    Its models share that firmware, if there are several.

    Raises:
        WrongUse: as `one_work`; or models cannot be brought to the board.
        UnknownName, ModelError: as `one_work`.
    """
    sources = sources_of(options)
    refuse_several(sources, settings.BOARD, settings.RUNTIME)
    asked = works(sources, options.progress)
    for work in asked:
        work.look()
    mode = sources[settings.SWAP]
    if len(asked) > 1 and mode == NEVER:
        raise WrongUse(
            f"a board has one firmware, and that of {len(asked)} models takes them over the link",
            hint=f"{_ONE_MODEL}, or allow that they are brought: --swap auto",
        )
    if len(asked) > 1:
        asked = sharing(asked, ALWAYS, None)
        try:
            asked[0].options.swap_for(asked[0].board, asked[0].artifact)
        except WrongUse as error:
            error.hint = _ONE_MODEL
            raise
        return asked
    return sharing(asked, mode, None)


def on_what_was_flashed(work: Work, mode: str) -> Work:
    """The same, brought over the link where the board was given firmware that takes the model.

    Args:
        mode: as of `Swaps`; `always` brings it in any case, `never` not.
    """
    options = work.options
    models = [] if mode == NEVER or options.starts(work.board) else _flashed_for(work)
    if work.artifact.sha256 not in {model.sha256 for model in models}:
        return sharing([work], mode, None)[0]
    arena_bytes = options.arena_bytes
    swaps = Swaps(mode, lambda board, runtime: models, arena_bytes=arena_bytes, flashed=True)
    return replace(work, options=replace(options, swaps=swaps))


def _flashed_for(work: Work) -> list[Artifact]:
    """The models that the board's firmware takes; none where one of them is gone."""
    flashed = flashed_on(work.project.state, work.board.id)
    if flashed is None or flashed.runtime != work.runtime:
        return []
    try:
        return [resolve_model(str(path), work.project.artifacts) for path in flashed.models]
    except HilError as error:
        say(f"{work.board.id}: its firmware is for a model that is gone: {error.what}")
        return []


def runnable(
    asked: Sequence[Work],
    statuses: list[int],
    status_of: Callable[[HilError], int] = exit_status,
) -> list[Work]:
    """Those whose model can run. Of the others each reason is printed once, its status kept."""
    refused: dict[tuple[str, str], ModelError] = {}
    left = []
    for work in asked:
        try:
            work.look()
            left.append(work)
        except ModelError as error:
            first = refused.setdefault((work.artifact.name, error.what), error)
            if first is not error:
                boards = f"{first.where.board}, {error.where.board}"
                first.where = replace(first.where, board=boards)
    for reason in refused.values():
        with errors_noted(statuses, status_of):
            raise reason
    return left


def sharing(asked: Sequence[Work], mode: str, baselines: Baselines | None) -> list[Work]:
    """The same, with several models of a board and runtime in one firmware, as `mode` says."""

    def models(board: Board, runtime: str) -> list[Artifact]:
        return [x.artifact for x in asked if (x.board.id, x.runtime) == (board.id, runtime)]

    shared: dict[int | None, Swaps] = {}
    done = []
    for work in asked:
        arena_bytes = work.options.arena_bytes
        made = Swaps(mode, models, arena_bytes=arena_bytes, baselines=baselines)
        swaps = shared.setdefault(arena_bytes, made)
        done.append(replace(work, options=replace(work.options, swaps=swaps)))
    return done


@contextmanager
def keeping(
    asked: Sequence[Work], *, profiled: bool = False, metered: bool = False
) -> Iterator[list[Work]]:
    """Works of one board, which other runs get only after the last of them.

    Their firmware is built first: no board waits for a compiler.

    Args:
        profiled: each is built to be profiled, too.
        metered: the board is held before it is opened, for its meter.

    Raises:
        PoolError: in the end, if the board's place was taken away; only where nothing else went
            wrong.
    """
    supplies = Supplies()
    with Keeper() as keeper:
        kept = [
            replace(work, options=replace(work.options, keeper=keeper, supplies=supplies))
            for work in asked
        ]
        for work in kept if len(kept) > 1 or profiled or metered else ():
            build_ahead(work.board, work.artifact, work.project, work.options, profiled=profiled)
        yield kept


def by_board(asked: Sequence[Work]) -> list[list[Work]]:
    """What is to be done with each board, in order."""
    return [list(group) for _, group in groupby(asked, lambda work: work.board.id)]


def works(sources: Sources, progress: Progress) -> list[Work]:
    """Every board that is set with every model and runtime, in the order of a run.

    Emulated boards that ALL_EMULATED leaves out are said, with what they lack.

    Raises:
        WrongUse: a setting that cannot be.
        UnknownName, ModelError: no such board, runtime or model.
    """
    project = find_project()
    file, registry = rig_file(sources)
    common = rig_options(sources, progress)
    named, runtimes = sources[settings.BOARD], sources[settings.RUNTIME]
    expanded = expand_here(named, runtimes)
    for line in expanded.left_out:
        say("\n".join(wrapped(line)))
    boards = expanded.boards
    ports = sources.ports(boards)
    done = []
    for board_id, model, asked in product(boards, sources[settings.MODEL], runtimes or (None,)):
        board = registry[board_id]
        runtime = board.runtime(asked)
        options = replace(
            common,
            runtime=runtime,
            port=ports.get(board_id),
            plugged=file.plugged(board_id),
            neighbours=file.neighbours(board_id),
        )
        artifact = resolve_model(model, project.artifacts)
        done.append(
            Work(board=board, runtime=runtime, artifact=artifact, project=project, options=options)
        )
    return done


def rig_options(sources: Sources, progress: Progress) -> RigOptions:
    """What is set for all boards. A setting that a command does not take has its default."""
    return RigOptions(
        lock_timeout_s=sources[settings.LOCK_TIMEOUT],
        flash=sources[settings.FLASH],
        tflm=_absolute(sources[settings.TFLM]),
        arena_bytes=sources[settings.ARENA],
        check_support=not sources[settings.UNCHECKED],
        tolerance=sources.stated_tolerance,
        progress=progress,
        most_baud=sources[settings.MOST_BAUD],
        pool=Pool(
            program=sources[settings.LABGRID],
            coordinator=sources[settings.COORDINATOR],
            timeout_s=sources[settings.POOL_TIMEOUT],
        ),
    )


def _absolute(path: Path | None) -> Path | None:
    """PlatformIO runs in another folder."""
    return None if path is None else path.resolve()
