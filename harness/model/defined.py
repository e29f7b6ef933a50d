"""Which elements of a model's outputs its last operators define: the others are left as they were.

TFLM's kernels leave memory that they do not write as another operator left it. What it holds
differs between a board and this machine, and says nothing about either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.model.samples import Layout
from harness.model.subgraphs import Node, read_subgraphs


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """An output of which another output, `by`, says how much of it is defined.

    The first `by` times `width` elements are, or all if `by` is not 0 where `width` is None. Both
    outputs are positions among the model's.
    """

    output: int
    by: int
    width: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Defined:
    """What is defined of a model's outputs: all but what `partial` leaves out."""

    partial: tuple[Partial, ...] = ()
    layout: Layout | None = None

    def of(self, samples: NDArray[Any]) -> NDArray[Any]:
        """Samples of all outputs, as `Layout` has them, with 0 for what is not defined.

        What is defined is said by the samples themselves: a board that counts otherwise than this
        machine differs in the count.
        """
        if self.layout is None:
            return samples
        kept = samples.copy()
        columns = self.layout.columns(kept)
        for item in self.partial:
            rows = columns[item.output].reshape(len(kept), -1)
            said = columns[item.by].reshape(len(kept), -1)[:, 0]
            place = np.arange(rows.shape[1])[np.newaxis]
            if item.width is None:
                known = np.broadcast_to(said[:, np.newaxis] != 0, rows.shape)
            else:
                counted = np.clip(np.nan_to_num(said), 0, rows.shape[1])
                known = place < counted[:, np.newaxis] * item.width
            columns[item.output][...] = np.where(known, rows, 0).reshape(columns[item.output].shape)
        return kept

    def __str__(self) -> str:
        """What is not compared, for people; empty if all is."""
        if self.layout is None:
            return ""
        names = self.layout.names
        counts = dict.fromkeys(names[item.by] for item in self.partial if item.width)
        flags = dict.fromkeys(
            (names[item.output], names[item.by]) for item in self.partial if not item.width
        )
        said = [f"elements beyond {name} are not compared" for name in counts]
        said += [f"{output} is not compared where {flag} is false" for output, flag in flags]
        return "; ".join(said)


ALL = Defined()

_PARTIAL: Mapping[str, tuple[tuple[int, int, int | None], ...]] = {
    # Boxes, classes and scores; with the fast suppression nothing is written beyond the count.
    "TFLite_Detection_PostProcess": ((0, 3, 4), (1, 3, 1), (2, 3, 1)),
    # The frames of the first calls are not complete.
    **dict.fromkeys(("SignalStacker", "SignalFramer"), ((0, 1, None),)),
}
"""Outputs of an operator that are defined in part: the output, what says how much, and the width
of what is counted."""


def defined_outputs(content: bytes, layout: Layout) -> Defined:
    """What a model file defines of its outputs.

    Only an output that the operator itself writes is known to be undefined in part, and only where
    the count or flag is an output too.

    Args:
        layout: of all outputs.

    Raises:
        Malformed: it is no `.tflite` file.
    """
    main = read_subgraphs(content)[0]
    partial = tuple(
        item for node in main.nodes if node.custom for item in _partial(node, main.outputs)
    )
    return Defined(partial=partial, layout=layout) if partial else ALL


def _partial(node: Node, outputs: tuple[int, ...]) -> list[Partial]:
    found = []
    for output, by, width in _PARTIAL.get(node.kind, ()):
        ends = node.outputs[output : output + 1], node.outputs[by : by + 1]
        if all(end and end[0] in outputs for end in ends):
            positions = [position for position, end in enumerate(outputs) if end == ends[0][0]]
            at = outputs.index(ends[1][0])
            found += [Partial(output=item, by=at, width=width) for item in positions]
    return found
