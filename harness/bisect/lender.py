"""Holds the board of a search from its first step to its last, and lends it to each step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.board.registry import Board
from harness.lent import Loan
from harness.rig.keeper import Keeper
from harness.rig.options import RigOptions
from harness.terminal import say


class Lender:
    """Holds a board while it is entered, from the first step that takes it.

    Args:
        options: where the board is and how long it is waited for. Its supply is switched by each
            step: a meter is opened by one process at a time.
    """

    def __init__(
        self, board: Board, options: RigOptions, tell: Callable[[str], None] = say
    ) -> None:
        self._board = board
        plugged = options.plugged and replace(options.plugged, meter=None)
        self._keeper = Keeper()
        self._options = replace(options, plugged=plugged, keeper=self._keeper)
        self._tell = tell
        self._told = False

    def __enter__(self) -> Lender:
        self._keeper.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._keeper.__exit__(*error)  # type: ignore[arg-type]

    @contextmanager
    def lend(self, root: Path) -> Iterator[dict[str, str]]:
        """Variables for the environment of a step, which has the board for as long as the block.

        A harness from before there were loans queues for the board by itself.

        Args:
            root: folder of the harness that the step runs.

        Raises:
            BoardBusy, PoolError: the board is not to be had, or was taken away meanwhile.
        """
        if not self._options.shared(self._board):
            yield {}
        elif not (root / "harness" / "lent.py").is_file():
            self._keeper.let_go()
            self._tell_once()
            yield {}
        else:
            with self._options.hold(self._board) as held:
                pooled = self._options.pooled
                if held is None or pooled is None:
                    yield Loan(board=self._board.id, pid=os.getpid()).variables()
                else:
                    yield held.lend(self._board.id, pooled).variables()

    def _tell_once(self) -> None:
        if not self._told:
            self._told = True
            self._tell(
                f"{self._board.id}: the harness of some steps cannot take over a board that is "
                "held: those queue for it by themselves"
            )
