"""A board that a run holds from its first use of it to the last, and not only while it is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType

from harness.errors import PoolError
from harness.pool.hold import Held

Hold = Callable[[], AbstractContextManager[Held | None]]


class Keeper:
    """Keeps a board held between its uses by one run, until the end of a `with` block.

    Outside of such a block it keeps nothing: each use holds and lets go. It keeps one board at a
    time: another one is held only after the one before was let go of. So a run never waits for a
    board while it keeps one that somebody else may wait for.
    """

    def __init__(self) -> None:
        self._keeps = False
        self._used = False
        self._in_doubt = False
        self._board_id = ""
        self._held: Held | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Keeper:
        self._keeps = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._keeps = False
        self._forgotten().__exit__(kind, error, traceback)

    @contextmanager
    def use(self, board_id: str, hold: Hold) -> Iterator[Held | None]:
        """Hold a board for the length of the block at least.

        Args:
            hold: holds it; may be entered again within.

        Raises:
            BoardBusy, PoolError: as `hold` does; of a place that was taken away meanwhile at the
                end of the block, if nothing else went wrong in it.
        """
        if not self._keeps or self._used:
            with hold() as held:
                yield held
            return
        held = self._taken(board_id, hold)
        self._used, self._in_doubt = True, True
        try:
            yield held
        finally:
            self._used = False
        self._in_doubt = False
        if held is not None and held.trouble() is not None:
            self.let_go()

    def let_go(self) -> None:
        """Let go of the board now. Idempotent.

        Raises:
            PoolError: its place was taken away, or the coordinator does not answer.
        """
        self._forgotten().close()

    def _taken(self, board_id: str, hold: Hold) -> Held | None:
        if self._board_id == board_id and self._still_there():
            return self._held
        self.let_go()
        with ExitStack() as stack:
            self._held = stack.enter_context(hold())
            self._stack, self._board_id = stack.pop_all(), board_id
        return self._held

    def _still_there(self) -> bool:
        """Whether a place is still this run's, and its board there: asked after an error."""
        if self._held is None or not self._in_doubt:
            return True
        try:
            self._held.check()
        except PoolError as error:
            # What it means to the use before was said there. The board is queued for anew.
            self._forgotten().__exit__(PoolError, error, None)
            return False
        return True

    def _forgotten(self) -> ExitStack:
        stack, self._stack = self._stack, ExitStack()
        self._board_id, self._held, self._in_doubt = "", None, False
        return stack
