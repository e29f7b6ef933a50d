"""One firmware for several models: what it must have so that each can be brought over the link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SwapRefused, Where
from harness.firmware.arena import ArenaPlan, plan_arena
from harness.firmware.tflm import distinct_operators
from harness.link.loading import MOST_INITIALIZERS, Brought
from harness.model.artifact import Artifact
from harness.model.graph import read_graph
from harness.model.tensor import TensorSpec

ROUND_BYTES = 1024
"""The room for a model is a multiple of this: one of about the same size finds the firmware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapPlan:
    """What a firmware has for models that come over the link: the union or the most of all.

    `own` is the model that is linked in, the smallest; `sha256s` are those of all, and `paths` are
    their files. `specs` counts inputs and outputs together; `outputs_bytes` is for models with
    several outputs, 0 where none has.
    """

    own: Artifact
    sha256s: frozenset[str]
    paths: tuple[Path, ...] = ()
    operators: tuple[str, ...]
    arena: ArenaPlan
    model_bytes: int
    input_bytes: int
    outputs_bytes: int
    specs: int
    variables: bool

    @property
    def identity(self) -> str:
        """What of it goes into the firmware, as text."""
        sizes = (self.model_bytes, self.input_bytes, self.outputs_bytes, self.specs)
        return repr((self.operators, sizes, self.variables))

    @property
    def ram_bytes(self) -> int:
        """What the models together take of RAM, beside the arena."""
        return self.model_bytes + self.input_bytes + self.outputs_bytes


def plan_swap(
    models: Sequence[Artifact], *, arena_bytes: int | None = None, helium: bool = False
) -> SwapPlan:
    """What one firmware must have for these models.

    Args:
        arena_bytes: size of the arena, instead of the largest planned.
        helium: whether the board's core has Helium.

    Raises:
        ModelError: as `distinct_operators`.
        SwapRefused: one of them cannot be brought to any board.
    """
    graphs = [read_graph(model.content, name=model.name) for model in models]
    for model, graph in zip(models, graphs, strict=True):
        if len(graph.initializers) > MOST_INITIALIZERS:
            raise SwapRefused(
                f"the model has {len(graph.initializers)} subgraphs that assign variables, and a "
                f"board keeps {MOST_INITIALIZERS}",
                where=Where(model=model.name),
            )
    several = [_bytes(model.outputs) for model in models if len(model.outputs) > 1]
    kinds = {name for model in models for name in distinct_operators(model)}
    largest = max(len(model.content) for model in models)
    return SwapPlan(
        own=min(models, key=lambda model: (len(model.content), model.sha256)),
        sha256s=frozenset(model.sha256 for model in models),
        paths=tuple(model.path for model in models),
        operators=tuple(sorted(kinds)),
        arena=_largest_arena(models, arena_bytes, helium),
        model_bytes=-(-largest // ROUND_BYTES) * ROUND_BYTES,
        input_bytes=max(_bytes(model.inputs) for model in models),
        outputs_bytes=max(several, default=0),
        specs=max(len(model.inputs) + len(model.outputs) for model in models),
        variables=any(graph.variables for graph in graphs),
    )


def _bytes(specs: Sequence[TensorSpec]) -> int:
    return sum(spec.size_bytes for spec in specs)


def _largest_arena(models: Sequence[Artifact], arena_bytes: int | None, helium: bool) -> ArenaPlan:
    if arena_bytes is not None:
        return ArenaPlan(size_bytes=arena_bytes, source="as asked for")
    plans = [(plan_arena(model, helium=helium), model.name) for model in models]
    largest, name = max(plans, key=lambda item: item[0].size_bytes)
    return ArenaPlan(
        size_bytes=largest.size_bytes,
        source=f"the most of {len(models)} models, that of {name}: {largest.source}",
    )


def brought(artifact: Artifact) -> Brought:
    """A model as it is brought to a board.

    Raises:
        ModelError: its file is none.
    """
    graph = read_graph(artifact.content, name=artifact.name)
    return Brought(
        content=artifact.content,
        name=artifact.name,
        stateful=graph.stateful,
        quantized=artifact.dtype in ("int8", "int16"),
        variables=graph.variables,
        initializers=graph.initializers,
    )
