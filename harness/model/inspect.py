"""What a model file says of itself, for people and programs, before any runtime is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from harness.model.artifact import Artifact
from harness.model.graph import Graph, Operator, read_graph
from harness.model.state import stateful_operators
from harness.model.tensor import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is in a model file.

    `operators` counts the kinds of the first subgraph, in the order of their first use; `custom`
    names those that are no TFLite operators. `batch` is the first size of all inputs, None where
    they differ or have none. `state` names the operators that keep state; a variable tensor may
    keep it, too: see `stateful`. `weights` holds bytes of values in the file by dtype.
    `per_channel_dense` says whether a Dense layer has a scale for each output, and `hybrid` is the
    first layer with integer weights and float32 inputs. `uncalled` has the numbers of subgraphs
    that nothing calls: other signatures, which no runtime runs.
    """

    file: str
    sha256: str
    size_bytes: int
    operators: tuple[tuple[str, int], ...]
    custom: tuple[str, ...]
    subgraphs: int
    tensors: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch: int | None
    stateful: bool
    state: tuple[str, ...]
    macs: int
    weights: tuple[tuple[str, int], ...]
    per_channel_dense: bool
    hybrid: Operator | None
    uncalled: tuple[int, ...] = ()


def facts_of(artifact: Artifact) -> Facts:
    """The facts of a model's file.

    Raises:
        ModelError: as `read_graph`.
    """
    graph = read_graph(artifact.content, name=artifact.name)
    return Facts(
        file=artifact.path.name,
        sha256=artifact.sha256,
        size_bytes=len(artifact.content),
        operators=tuple(Counter(operator.kind for operator in graph.operators).items()),
        custom=tuple(dict.fromkeys(item.kind for item in graph.operators if item.custom)),
        subgraphs=graph.subgraphs,
        tensors=graph.tensors,
        inputs=graph.inputs,
        outputs=graph.outputs,
        batch=_batch(graph),
        stateful=graph.stateful,
        state=stateful_operators(graph.kinds),
        macs=graph.macs,
        weights=graph.weights,
        per_channel_dense=graph.per_channel_dense,
        hybrid=None if graph.hybrid is None else graph.operators[graph.hybrid],
        uncalled=graph.uncalled,
    )


def _batch(graph: Graph) -> int | None:
    firsts = {spec.shape[0] if len(spec.shape) > 1 else None for spec in graph.inputs}
    return firsts.pop() if len(firsts) == 1 else None
