"""From a user's name or path of a model to its Artifact."""

from __future__ import annotations

from pathlib import Path

from harness.errors import Where
from harness.model.artifact import MANIFEST, Artifact, find_artifact, load_artifact
from harness.model.goldens import Bounds
from harness.model.graph import read_graph
from harness.model.manifest import read_file, read_manifest
from harness.model.subgraphs import MOST_BYTES
from harness.project import find_project
from harness.text import printable


def inspect_model(path: Path) -> Artifact:
    """Make an Artifact from a `.tflite` file that has no manifest.

    Raises:
        ModelError: the file cannot be read, or is not a TFLite model that can be run: see
            `read_graph`.
    """
    return described(path, read_file(path, MOST_BYTES, Where(model=path.stem)))


def described(path: Path, content: bytes) -> Artifact:
    """As `inspect_model`, of a file that was read."""
    graph = read_graph(content, name=path.stem, file=str(path))
    return Artifact(
        name=printable(path.stem),
        model=printable(path.stem),
        dtype=graph.inputs[0].dtype,
        path=path,
        content=content,
        inputs=graph.inputs,
        outputs=graph.outputs,
        operators=tuple(operator.kind for operator in graph.operators),
        per_channel_dense=graph.per_channel_dense,
        stateful=graph.stateful,
        bounds=Bounds(),
        macs=graph.macs,
    )


def resolve_model(name: str, root: Path | None = None) -> Artifact:
    """Load a model by a name that `find_artifact` knows, or by the path of a `.tflite` file.

    A file in an artifact folder comes with its manifest and goldens. A model's name stands for its
    int8 file.

    Args:
        root: folder of the artifacts; the project's own if None.

    Raises:
        UnknownName, ModelError: as `find_artifact` and `inspect_model`.
    """
    path = Path(name)
    if path.suffix != ".tflite" and not (path.suffix and path.is_file()):
        return find_artifact(root or find_project().artifacts, name)
    if (path.parent / MANIFEST).is_file():
        folder = path.resolve().parent
        return load_artifact(folder, _dtype_of(path, folder))
    return inspect_model(path)


def _dtype_of(path: Path, folder: Path) -> str:
    """The dtype of a file in an artifact folder, which may have been renamed."""
    tables = read_manifest(folder).get("dtypes")
    for dtype, table in tables.items() if isinstance(tables, dict) else ():
        if isinstance(table, dict) and table.get("file") == path.name:
            return str(dtype)
    return path.stem.removeprefix(f"{folder.name}_")
