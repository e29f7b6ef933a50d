"""How a data set runs: sample by sample, or sequence by sequence where a model keeps state."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import TensorError
from harness.model.artifact import Artifact
from harness.model.dataset import DataSet
from harness.model.streams import Streams

PER_SAMPLE, PER_SEQUENCE = "sample", "sequence"
"""Before what a model's state is reset, as evaluation.csv has it."""

MOST_IN_SEQUENCE = 1 << 28
"""Bytes of inputs of one sequence that is kept together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walk:
    """The first `count` samples of a data set, for one model.

    `streams` are the sequences within which state is kept; None where there is none to keep, or the
    data say nothing of sequences. `state` is PER_SAMPLE or PER_SEQUENCE, None for a model without
    state.
    """

    count: int
    streams: Streams | None
    state: str | None

    @property
    def kept(self) -> bool:
        """Whether state is kept from one sample of a sequence to the next."""
        return self.streams is not None

    def resumable(self, done: int) -> bool:
        """Whether outputs of the first `done` samples are all that the rest needs."""
        return done >= self.count or self.streams is None or self.streams.begins(done)

    def block(self, start: int, most: int) -> int:
        """The end of a block of at most `most` samples, or of one sequence."""
        stop = start + most if self.streams is None else self.streams.block(start, most)
        return min(self.count, stop)

    def parts(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What is sent in one go: a block, or each sequence in it."""
        return [(start, stop)] if self.streams is None else self.streams.bounds(start, stop)


def walk_of(artifact: Artifact, data: DataSet, count: int) -> Walk:
    """How the first samples of a data set run.

    Raises:
        TensorError: a sequence is too long to be kept together.
    """
    streams = data.streams if artifact.stateful else None
    if streams is not None:
        _refuse_too_long(data, streams, count)
    state = None
    if artifact.stateful:
        state = PER_SAMPLE if streams is None else PER_SEQUENCE
    return Walk(count=count, streams=streams, state=state)


def _refuse_too_long(data: DataSet, streams: Streams, count: int) -> None:
    most = MOST_IN_SEQUENCE // data.layout.size_bytes
    for start, stop in streams.bounds(0, count):
        if stop - start > most:
            raise TensorError(
                f"{data.source}: sequence {streams.name_at(start)!r} has {stop - start} samples of "
                f"{data.layout.size_bytes} bytes; {most} at most can be kept together",
                hint="Cut it into several sequences.",
            )
