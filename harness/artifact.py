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

from harness.compare import Bounds
from harness.errors import ModelError, TensorError, UnknownName, Where
from harness.tensor import TensorSpec

MANIFEST = "manifest.json"
SCHEMA = 1
DEFAULT_DTYPE = "int8"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Goldens:
    """Reference outputs for stated inputs.

    `inputs` (k, ...) and `outputs` (k, ...) are the model's int8; `float_outputs` the float model's
    reals and `truth` the true function's for the same inputs, None where there is none.
    `in_domain` (k,) says which inputs lie where `truth` was trained for.
    """

    inputs: NDArray[np.int8]
    outputs: NDArray[np.int8]
    float_outputs: NDArray[np.float32] | None
    truth: NDArray[np.float32] | None
    in_domain: NDArray[np.bool_] | None
    produced_by: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Artifact:
    """One `.tflite` file and what its manifest says of it.

    `name` is the file's stem (`sine_int8`), `model` its family (`sine`). `operators` holds one
    TFLite operator name per node. `goldens` are absent for files without a manifest, and for dtypes
    they were not made for.
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

    @property
    def sha256(self) -> str:
        """Of the file, in hex."""
        return hashlib.sha256(self.content).hexdigest()


def _spec(table: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(
        shape=tuple(table["shape"]),
        dtype=table["dtype"],
        scale=float(table["scale"] or 0.0),
        zero_point=int(table["zero_point"] or 0),
        name=table["name"],
    )


def _checked_bytes(path: Path, sha256: str, where: Where) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", where=where) from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise ModelError(
            f"{path} is not the file its manifest describes: SHA-256 {actual[:12]}, "
            f"manifest {sha256[:12]}",
            where=where,
            hint="Restore both from git, or train the model again: hil train NAME",
        )
    return content


def _load_goldens(folder: Path, manifest: Mapping[str, Any], where: Where) -> Goldens:
    table = manifest["goldens"]
    path = folder / table["file"]
    _checked_bytes(path, table["sha256"], where)
    with np.load(path, allow_pickle=False) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    domain = manifest.get("domain")
    inside = None
    if domain is not None and "truth" in held:
        reals = held["inputs_real"].reshape(len(held["inputs_real"]), -1)
        inside = ((reals >= domain[0]) & (reals <= domain[1])).all(axis=1)
    return Goldens(
        inputs=held["int8_inputs"],
        outputs=held["int8_outputs"],
        float_outputs=held.get("float_outputs"),
        truth=held.get("truth"),
        in_domain=inside,
        produced_by=table["produced_by"],
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
    """One dtype of the model in `folder`, every file checked against the manifest's SHA-256.

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
        goldens = None
        if manifest["goldens"]["dtype"] == dtype:
            goldens = _load_goldens(folder, manifest, where)
        return Artifact(
            name=path.stem,
            model=manifest["model"],
            dtype=dtype,
            path=path,
            content=_checked_bytes(path, table["sha256"], where),
            inputs=tuple(_spec(item) for item in table["inputs"]),
            outputs=tuple(_spec(item) for item in table["outputs"]),
            operators=tuple(table["operators"]),
            per_channel_dense=bool(table["per_channel_dense"]),
            bounds=Bounds(**manifest["bounds"]) if dtype == DEFAULT_DTYPE else Bounds(),
            goldens=goldens,
            float_path=folder / tables["float32"]["file"] if "float32" in tables else None,
        )
    except (LookupError, TypeError, ValueError, zipfile.BadZipFile, TensorError) as error:
        raise ModelError(f"manifest in {folder} is malformed: {error!r}", where=where) from error


def list_models(root: Path) -> list[str]:
    """Folders under `root` that hold a manifest, sorted."""
    return sorted(path.parent.name for path in root.glob(f"*/{MANIFEST}"))


def find_artifact(root: Path, name: str) -> Artifact:
    """Resolve what a user may call a model.

    Args:
        root: folder of artifact folders.
        name: a model (`sine`, meaning its int8 file), a file's stem (`sine_float32`), or the path
            of an artifact folder.

    Raises:
        UnknownName: nothing of that name; lists what there is.
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
