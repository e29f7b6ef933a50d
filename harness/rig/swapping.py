"""Which models of a run share one firmware of a board, and which are built each for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.board.registry import Board
from harness.errors import HilError, SwapRefused, Where, WrongUse
from harness.firmware.build import cannot_swap
from harness.firmware.runtimes import runtime_of
from harness.firmware.support import shortage
from harness.firmware.swap import SwapPlan, plan_swap
from harness.firmware.t32 import has_mve
from harness.measure.runs import Baselines
from harness.measure.tables import FLASH, RAM
from harness.model.artifact import Artifact

AUTO, ALWAYS, NEVER = "auto", "always", "never"

Models = Callable[[Board, str], Sequence[Artifact]]
"""The models that a run has for a board and a runtime, without those that cannot run there."""

_NEVER_SWAP = "Build each model into firmware of its own: --hil-swap=never"


def _none(board: Board, runtime: str) -> Sequence[Artifact]:
    return ()


class Swaps:
    """What is brought to the boards of one run.

    Args:
        mode: `auto` brings several models where board and runtime take them and all fits, and
            builds each otherwise; `always` is an error there, and brings a single one too.
        arena_bytes: size of the arena, instead of the largest that is planned.
        baselines: what runs are held against. `auto` builds each model where they are of models
            that were linked in: no other could be compared with them.
        flashed: the board was given firmware for these models: they are brought to it by `auto`,
            too, even a single one, and where nothing may be uploaded.
    """

    def __init__(
        self,
        mode: str = NEVER,
        models: Models = _none,
        *,
        arena_bytes: int | None = None,
        baselines: Baselines | None = None,
        flashed: bool = False,
    ) -> None:
        self._flashed = flashed
        self._baselines = baselines
        self._mode = mode
        self._models = models
        self._arena_bytes = arena_bytes
        self._plans: dict[tuple[str, str], SwapPlan | None] = {}
        self._alone: set[tuple[str, str, str]] = set()
        self._news: list[str] = []

    def plan_for(
        self, board: Board, runtime: str, artifact: Artifact, *, ours: bool
    ) -> SwapPlan | None:
        """What the firmware takes to which this model is brought; None: it is built in.

        Args:
            ours: this run starts the board or may upload to it.

        Raises:
            WrongUse: it is always to be brought, and cannot be.
        """
        if self._mode == NEVER or (board.id, runtime, artifact.sha256) in self._alone:
            return None
        key = board.id, runtime
        if key not in self._plans:
            self._plans[key] = self._plan(board, runtime, ours)
        plan = self._plans[key]
        if plan is not None and artifact.sha256 not in plan.sha256s:
            return None
        return plan

    def give_up(
        self, board: Board, runtime: str, error: HilError, artifact: Artifact | None = None
    ) -> None:
        """Build models for a board, or one of them, each for itself from now on; say so.

        Raises:
            HilError: the error, where models are always to be brought.
        """
        if self._mode == ALWAYS:
            error.hint = error.hint or _NEVER_SWAP
            raise error
        what = "each model is built" if artifact is None else f"{artifact.name} is built"
        self._news.append(f"{board.id}, {runtime}: {what}: {error.what}")
        if artifact is None:
            self._plans[board.id, runtime] = None
        else:
            self._alone.add((board.id, runtime, artifact.sha256))

    def news(self) -> list[str]:
        """Notes that were not told yet, each once."""
        news, self._news = self._news, []
        return news

    def _held_to_flash(self, board: Board, runtime: str) -> bool:
        runs = self._baselines.runs if self._baselines else ()
        places = {
            run.key.model_in
            for run in runs
            if (run.key.board, run.key.runtime) == (board.id, runtime)
        }
        return FLASH in places and RAM not in places

    def _plan(self, board: Board, runtime: str, ours: bool) -> SwapPlan | None:
        models = {model.sha256: model for model in self._models(board, runtime)}
        few = self._mode == AUTO and len(models) < 2 and not self._flashed
        if not models or few:
            return None
        why = cannot_swap(board, runtime)
        if not why and self._mode == AUTO and self._held_to_flash(board, runtime):
            why = "its baselines are of models that were linked in"
        if not why and not (ours or self._flashed):
            why = "this run neither starts the board nor uploads to it"
        if not why:
            try:
                plan = plan_swap(
                    tuple(models.values()),
                    arena_bytes=self._arena_bytes,
                    helium=has_mve(board.core),
                )
            except SwapRefused as error:
                why = error.what
            else:
                why = _lacking(board, plan)
        if not why:
            return plan
        if self._mode == ALWAYS:
            raise WrongUse(
                f"models cannot be brought to it: {why}",
                where=Where(board=board.id),
                hint=_NEVER_SWAP,
            )
        if runtime_of(runtime, board).swaps:
            self._news.append(f"{board.id}, {runtime}: each model is built: {why}")
        return None


def _lacking(board: Board, plan: SwapPlan) -> str:
    """Which memory of a board is too small for all models together; empty if it may do."""
    ram_bytes = plan.arena.size_bytes + plan.ram_bytes
    lacking = shortage(board, model_bytes=len(plan.own.content), arena_bytes=ram_bytes)
    return "" if lacking is None else f"all of them together may not fit: {lacking}"
