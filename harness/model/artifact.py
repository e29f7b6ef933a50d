"""Artifacts: the `.tflite` files, goldens and manifests that `models/` wrote, read and checked."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError, TensorError, UnknownName, Where
from harness.model.goldens import Bounds, Goldens, Probe, derive
from harness.model.state import stateful_operators
from harness.model.tensor import TensorSpec, dequantize
from harness.tolerance import Stated, parse_tolerance

MANIFEST = "manifest.json"
SCHEMA = 2
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


def _checked_bytes(path: Path, sha256: str, where: Where) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = f"Large files are not in git. Make them: hil train {where.model}"
        raise ModelError(f"cannot read {path}: {error.strerror}", where=where, hint=hint) from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise ModelError(
            f"{path} is not the file its manifest describes: its SHA-256 is {actual[:12]}, "
            f"the manifest says {sha256[:12]}",
            where=where,
            hint="Restore both from git, or train the model again: hil train NAME",
        )
    return content


def _golden_inputs(
    held: Mapping[str, NDArray[Any]], table: Mapping[str, Any], where: Where
) -> NDArray[Any]:
    if table["bases"] is None:
        inputs = held["int8_inputs"]
    else:
        inputs = derive(held["int8_bases"], table["count"])
    if hashlib.sha256(inputs.tobytes()).hexdigest() != table["inputs_sha256"]:
        raise ModelError("golden inputs are not those the outputs were computed for", where=where)
    return inputs


def _load_goldens(
    folder: Path, manifest: Mapping[str, Any], dtype: str, spec: TensorSpec, where: Where
) -> Goldens:
    table = manifest["goldens"]
    path = folder / table["file"]
    _checked_bytes(path, table["sha256"], where)
    with np.load(path, allow_pickle=False) as arrays:
        held = {name: arrays[name] for name in arrays.files}
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


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """A folder's manifest.

    Raises:
        ModelError: absent, not JSON, or of another schema.
    """
    path = folder / MANIFEST
    where = Where(model=folder.name)
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", where=where) from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}", where=where) from error
    if not isinstance(manifest, dict):
        raise ModelError(f"{path} is not a JSON object", where=where)
    if manifest.get("schema") != SCHEMA:
        raise ModelError(
            f"{path} has schema {manifest.get('schema')}, this harness reads {SCHEMA}", where=where
        )
    return manifest


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
        path = folder / table["file"]
        inputs = tuple(_spec(item) for item in table["inputs"])
        content = _checked_bytes(path, table["sha256"], where)
        goldens = None
        if dtype in manifest["goldens"]["outputs"]:
            goldens = _load_goldens(folder, manifest, dtype, inputs[0], where)
        return Artifact(
            name=path.stem,
            model=manifest["model"],
            dtype=dtype,
            path=path,
            content=content,
            inputs=inputs,
            outputs=tuple(_spec(item) for item in table["outputs"]),
            operators=tuple(table["operators"]),
            per_channel_dense=bool(table["per_channel_dense"]),
            bounds=Bounds() if goldens is None else Bounds(**manifest["bounds"]),
            goldens=goldens,
            float_path=folder / tables["float32"]["file"] if "float32" in tables else None,
            activation=table["activation"],
            labels=tuple(manifest["labels"]),
            probes=tuple(_probe(probe) for probe in manifest["probes"]),
            macs=int(table["macs"]),
            stateful=bool(stateful_operators(table["operators"])),
            tolerance=_tolerance(table.get("tolerance", "")),
        )
    except (LookupError, TypeError, ValueError, zipfile.BadZipFile, TensorError) as error:
        raise ModelError(f"manifest in {folder} is malformed: {error!r}", where=where) from error


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
