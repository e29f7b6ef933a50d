"""Artifacts: the `.tflite` files, goldens and manifests that `models/` wrote, read and checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from harness.errors import ModelError, UnknownName, Where
from harness.model.goldens import Bounds, Goldens, Probe, derive
from harness.model.manifest import (
    DAMAGED,
    MOST_GOLDENS,
    beside,
    golden_arrays,
    model_file,
    read_manifest,
)
from harness.model.manifest import MANIFEST as MANIFEST
from harness.model.manifest import SCHEMA as SCHEMA
from harness.model.state import stateful_operators
from harness.model.tensor import ACTIVATIONS, TensorSpec, dequantize
from harness.text import printable
from harness.tolerance import Stated, parse_tolerance

DEFAULT_DTYPE = "int8"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Artifact:
    """One `.tflite` file and what its manifest says of it.

    `name` is the file's stem (`sine_int8`), `model` its family (`sine`). `operators` holds one
    TFLite operator name per node. `goldens` is None for files without a manifest and for dtypes
    without goldens. `activation` is the function that the host applies to the outputs: `softmax`,
    `sigmoid` or None. `labels` names the classes. `macs` counts multiply-accumulates per inference.
    `stateful`: the model keeps state from one invoke to the next.
    `tolerance` is the manifest's, as `--hil-tolerance` states one.
    """

    name: str
    model: str
    dtype: str
    path: Path
    content: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: tuple[str, ...]
    per_channel_dense: bool
    bounds: Bounds
    goldens: Goldens | None = None
    float_path: Path | None = None
    activation: str | None = None
    labels: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    macs: int | None = None
    stateful: bool = False
    tolerance: Stated = Stated()

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.content).hexdigest()


def _spec(table: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(
        shape=tuple(table["shape"]),
        dtype=table["dtype"],
        scale=float(table["scale"] or 0.0),
        zero_point=int(table["zero_point"] or 0),
        name=table["name"],
    )


def _probe(table: Mapping[str, Any]) -> Probe:
    return Probe(
        what=table["what"], x=tuple(table["x"]), y=tuple(table["y"]), within=float(table["within"])
    )


def _tolerance(text: Any) -> Stated:
    if not isinstance(text, str):
        raise TypeError(f"tolerance is {text!r}, not a text like 1lsb")
    return Stated(items=parse_tolerance(text), by="the manifest")


def _golden_inputs(
    held: Mapping[str, NDArray[Any]], table: Mapping[str, Any], where: Where
) -> NDArray[Any]:
    if table["bases"] is None:
        inputs = held["int8_inputs"]
    else:
        bases, count = held["int8_bases"], table["count"]
        if not 0 < count <= MOST_GOLDENS // max(1, bases[:1].nbytes):
            raise ModelError(f"{count} golden inputs are too many", where=where)
        inputs = derive(bases, count)
    if hashlib.sha256(inputs.tobytes()).hexdigest() != table["inputs_sha256"]:
        raise ModelError("golden inputs are not those the outputs were computed for", where=where)
    return inputs


def _load_goldens(
    folder: Path, manifest: Mapping[str, Any], dtype: str, spec: TensorSpec, where: Where
) -> Goldens:
    table = manifest["goldens"]
    held = golden_arrays(folder, table, where)
    inputs = _golden_inputs(held, table, where)
    domain = manifest.get("domain")
    inside = None
    if domain is not None and "truth" in held:
        reals = dequantize(inputs, spec).reshape(len(inputs), -1)
        inside = ((reals >= domain[0]) & (reals <= domain[1])).all(axis=1)
    return Goldens(
        inputs=inputs,
        outputs=held[table["outputs"][dtype]],
        float_outputs=held.get("float_outputs"),
        truth=held.get("truth"),
        in_domain=inside,
        produced_by=table["produced_by"],
        labels=held.get("labels"),
    )


def load_artifact(folder: Path, dtype: str = DEFAULT_DTYPE) -> Artifact:
    """Load one dtype of the model in `folder`; every file is checked against its SHA-256.

    Raises:
        ModelError: a file is absent, changed or malformed.
        UnknownName: the manifest has no such dtype.
    """
    manifest = read_manifest(folder)
    where = Where(model=f"{folder.name}_{dtype}")
    try:
        tables = manifest["dtypes"]
        if dtype not in tables:
            raise UnknownName(f"dtype of model {folder.name}", dtype, list(tables))
        table = tables[dtype]
        path = beside(folder, table["file"], where)
        content = model_file(folder, table, where)
        inputs = tuple(_spec(item) for item in table["inputs"])
        outputs = tuple(_spec(item) for item in table["outputs"])
        _check_described(content, table, inputs, outputs, where)
        goldens = None
        if dtype in manifest["goldens"]["outputs"]:
            goldens = _load_goldens(folder, manifest, dtype, inputs[0], where)
        return Artifact(
            name=path.stem,
            model=_name(manifest["model"]),
            dtype=dtype,
            path=path,
            content=content,
            inputs=inputs,
            outputs=outputs,
            operators=tuple(table["operators"]),
            per_channel_dense=bool(table["per_channel_dense"]),
            bounds=Bounds() if goldens is None else Bounds(**manifest["bounds"]),
            goldens=goldens,
            float_path=_float_path(folder, tables, where),
            activation=_activation(table["activation"]),
            labels=tuple(printable(_text(label)) for label in manifest["labels"]),
            probes=tuple(_probe(probe) for probe in manifest["probes"]),
            macs=int(table["macs"]),
            stateful=bool(stateful_operators(table["operators"])),
            tolerance=_tolerance(table.get("tolerance", "")),
        )
    except DAMAGED as error:
        said = printable(repr(error), 300)
        raise ModelError(f"manifest in {folder} is malformed: {said}", where=where) from error


def _text(item: Any) -> str:
    if not isinstance(item, str):
        raise TypeError(f"{item!r} is no text")
    return item


def _name(item: Any) -> str:
    """A model's name, which stands in files, and in names of them."""
    if not _NAME.fullmatch(_text(item)):
        raise ValueError(f"{item!r} is no name of a model")
    return str(item)


_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)


def _activation(item: Any) -> str | None:
    if item is not None and item not in ACTIVATIONS:
        raise ValueError(f"{item!r} is no activation")
    return None if item is None else str(item)


def _float_path(folder: Path, tables: Mapping[str, Any], where: Where) -> Path | None:
    """The float32 file, which is the one that the manifest describes, where it is there."""
    if "float32" not in tables:
        return None
    path = beside(folder, tables["float32"]["file"], where)
    if path.is_file():
        model_file(folder, tables["float32"], where)
    return path


def _check_described(
    content: bytes,
    table: Mapping[str, Any],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    where: Where,
) -> None:
    """What the manifest says of the file's tensors and operators is what the file says.

    Firmware is generated of it: a tensor that is larger than said would be written beyond its end.
    """
    from harness.model.graph import read_graph  # which knows artifacts

    graph = read_graph(content, name=str(where.model))
    for what, said, found in (
        ("inputs", inputs, graph.inputs),
        ("outputs", outputs, graph.outputs),
    ):
        same = len(said) == len(found) and all(map(TensorSpec.same_layout, said, found))
        if not same:
            raise ModelError(f"the manifest says other {what} than the file has", where=where)
    if list(table["operators"]) != [operator.kind for operator in graph.operators]:
        raise ModelError("the manifest says other operators than the file has", where=where)


def list_models(root: Path) -> list[str]:
    """Names of the folders under `root` that hold a manifest, sorted."""
    return sorted(path.parent.name for path in root.glob(f"*/{MANIFEST}"))


def find_artifact(root: Path, name: str) -> Artifact:
    """Load the artifact that a user names.

    Args:
        root: folder of artifact folders.
        name: a model (`sine`: its int8 file), a file's stem (`sine_float32`), or the path of an
            artifact folder.

    Raises:
        UnknownName: no model has this name; the error lists the known ones.
    """
    models = list_models(root)
    if name in models:
        return load_artifact(root / name)
    for model in sorted(models, key=len, reverse=True):
        if name.startswith(f"{model}_"):
            return load_artifact(root / model, name[len(model) + 1 :])
    if (Path(name) / MANIFEST).is_file():
        return load_artifact(Path(name))
    raise UnknownName("model", name, models)
