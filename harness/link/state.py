"""What a board does with a model's state: reset before each sample, or kept over a sequence."""

from __future__ import annotations

from harness.errors import ProtocolError, located
from harness.link.link import Link, LinkOptions
from harness.link.protocol import Capability, Hello, Op, StateMode, parse_state

RESET, KEPT = "reset", "kept"
"""What became of the state between the invokes of a measurement, as latency.csv has it."""


class BoardState:
    """The state on the board, by op STATE. Where HELLO announces none, nothing is sent."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._mode: StateMode | None = None
        self.present = False
        """Whether the model keeps state, by the last HELLO."""

    def greeted(self, hello: Hello, options: LinkOptions | None = None) -> None:
        """Have samples independent of one another from now on, whatever the board did before."""
        self.present = bool(hello.capabilities & Capability.STATE)
        self._mode = None
        self.per_sample(options)

    def per_sample(self, options: LinkOptions | None = None) -> None:
        """Have the state reset before each invoke, outside of what is timed."""
        if self.present and self._mode is not StateMode.RESET_BEFORE_EACH:
            self._set(StateMode.RESET_BEFORE_EACH, options)

    def reset(self) -> None:
        """Reset the state now, and go on as before."""
        if self.present:
            self._set(self._mode or StateMode.RESET_BEFORE_EACH)

    def begin_sequence(self) -> None:
        """Reset the state now, and keep it from one invoke to the next."""
        if self.present:
            self._set(StateMode.KEEP)

    def end_sequence(self, samples: int) -> None:
        """Check that the state went through these samples and nothing else.

        Raises:
            ProtocolError: it did not, so that the outputs are not this sequence's.
        """
        if not self.present:
            return
        invokes = self._set(StateMode.RESET_BEFORE_EACH)
        if invokes != samples:
            raise ProtocolError(
                f"the model's state went through {invokes} invokes in a sequence of {samples}: "
                "something else spoke to the board, or its firmware counts wrongly",
                where=self._link.where,
            )

    def _set(self, mode: StateMode, options: LinkOptions | None = None) -> int:
        self._mode = None  # Unknown until it is answered.
        reply = self._link.request(Op.STATE, bytes((mode,)), options=options)
        with located(self._link.where):
            invokes = parse_state(reply)
        self._mode = mode
        return invokes
