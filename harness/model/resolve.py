"""From a user's name or path of a model to its Artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import ModelError, TensorError, Where
from harness.model.artifact import MANIFEST, Artifact, find_artifact, load_artifact
from harness.model.goldens import Bounds
from harness.model.graph import read_graph
from harness.model.interpreters import LiteRtInterpreter, tensor_spec
from harness.project import find_project


def inspect_model(path: Path) -> Artifact:
    """Make an Artifact from a `.tflite` file that has no manifest.

    Raises:
        ModelError: the file cannot be read, or is not a TFLite model with static shapes.
    """
    where = Where(model=path.stem)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", where=where) from error
    litert = LiteRtInterpreter(content, name=str(path), default_delegates=False).details
    try:
        return _described(path, content, litert)
    except (ValueError, IndexError, TensorError) as error:
        # A file may pass LiteRT's checks and still hold names that are not valid text.
        raise ModelError(
            f"{path} describes its tensors or operators wrongly: {error}", where=where
        ) from error


def _described(path: Path, content: bytes, litert: Any) -> Artifact:
    nodes = [node for node in litert._get_ops_details() if node["op_name"] != "DELEGATE"]
    inputs = tuple(tensor_spec(detail) for detail in litert.get_input_details())
    graph = read_graph(content, name=path.stem)
    return Artifact(
        name=path.stem,
        model=path.stem,
        dtype=inputs[0].dtype,
        path=path,
        content=content,
        inputs=inputs,
        outputs=tuple(tensor_spec(detail) for detail in litert.get_output_details()),
        operators=tuple(node["op_name"] for node in nodes),
        per_channel_dense=graph.per_channel_dense,
        stateful=graph.stateful,
        bounds=Bounds(),
    )


def resolve_model(name: str, root: Path | None = None, runtime: str | None = None) -> Artifact:
    """Load a model by a name that `find_artifact` knows, or by the path of a `.tflite` file.

    A file in an artifact folder comes with its manifest and goldens. A model's name stands for the
    file that the runtime runs.

    Args:
        root: folder of the artifacts; the project's own if None.

    Raises:
        UnknownName, ModelError: as `find_artifact` and `inspect_model`.
    """
    path = Path(name)
    if path.suffix != ".tflite":
        return find_artifact(root or find_project().artifacts, name, runtime)
    if (path.parent / MANIFEST).is_file():
        dtype = path.stem.removeprefix(f"{path.resolve().parent.name}_")
        return load_artifact(path.resolve().parent, dtype)
    return inspect_model(path)
