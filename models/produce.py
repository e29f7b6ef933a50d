"""Training a recipe and writing its artifact."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.model.artifact import SCHEMA
from harness.model.graph import Graph, read_graph
from harness.model.interpreters import TFLM_WHEEL
from harness.model.tensor import TensorSpec
from models import artifact, goldens, interpret
from models.convert import DTYPES, convert, with_static_batch
from models.quiet import import_tensorflow
from models.recipe import (
    METRICS,
    Array,
    DataError,
    Dataset,
    Examples,
    Recipe,
    Request,
    check_labels,
)
from models.train import Progress, Trained, predict, train


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """Where an artifact was written, its manifest, and how far int8 is from its references."""

    directory: Path
    manifest: dict[str, Any]
    errors: dict[str, dict[str, float]]


def produce(
    recipe: Recipe,
    *,
    request: Request,
    schedule: str,
    output: Path,
    progress: Progress,
) -> Produced:
    """Train, convert, compute goldens, check the bounds and write `output`/MODEL_ID/.

    Raises:
        DataError: data are missing or unusable, or the recipe does not use a given option.
        TrainingDiverged: the loss was not finite.
        BoundsExceeded: the int8 model is outside its bounds or misses a target; an older artifact
            stays as it was.
    """
    variant = request.variant
    _check_request(recipe, request)
    data = recipe.dataset(request)
    _check_classes(recipe, data)
    tf = import_tensorflow()
    trained = train(
        tf,
        recipe,
        request=request,
        schedule=schedule,
        data=data,
        progress=progress,
    )
    files = _forms(tf, trained, recipe.representative(data))
    graphs = {dtype: read_graph(content, name=dtype) for dtype, content in files.items()}
    golden = goldens.compute(recipe, files, graphs, data.test)
    errors = goldens.errors(recipe, golden, graphs)
    goldens.check(recipe.bounds[variant], errors)
    metrics = {
        dtype: _metrics(recipe, _outputs(dtype, content, data.test), data.test)
        for dtype, content in files.items()
    }
    _check_targets(recipe.targets.get(variant, {}), metrics)

    model_id = recipe.model_id(variant)
    bases = goldens.bases_of(recipe, data.test)
    packed = goldens.pack(golden, bases)
    history = _history(trained)
    manifest = {
        "schema": SCHEMA,
        "model": model_id,
        "recipe": recipe.name,
        "variant": variant,
        "schedule": schedule,
        "seed": request.seed,
        "recipe_sha256": artifact.recipe_sha256(
            recipe, variant=variant, schedule=schedule, seed=request.seed
        ),
        "dtypes": {
            dtype: {
                "file": f"{model_id}_{dtype}.tflite",
                "sha256": artifact.file_sha256(content),
                "size_bytes": len(content),
                **_described(graphs[dtype]),
                "activation": None,
                "metrics": metrics[dtype],
            }
            for dtype, content in files.items()
        },
        "goldens": {
            "file": artifact.GOLDENS,
            "sha256": artifact.file_sha256(packed),
            "count": len(golden.int8_inputs),
            "bases": bases,
            "inputs_sha256": goldens.inputs_sha256(golden),
            "outputs": {form: name for form, name in goldens.OUTPUTS.items() if form in files},
            "produced_by": f"{TFLM_WHEEL} {version(TFLM_WHEEL)}",
        },
        "bounds": asdict(recipe.bounds[variant]),
        "domain": None if recipe.domain is None else list(recipe.domain),
        "data": data.source,
        "labels": list(recipe.labels),
        "probes": [asdict(probe) for probe in recipe.probes],
        "metrics": _metrics(recipe, predict(trained.whole, data.test.x), data.test),
        "history": {"file": artifact.HISTORY, "sha256": artifact.file_sha256(history)},
        "produced_by": _versions(),
    }
    directory = output / model_id
    contents = {f"{model_id}_{dtype}.tflite": content for dtype, content in files.items()}
    contents |= {artifact.GOLDENS: packed, artifact.HISTORY: history}
    artifact.write(directory, contents, manifest)
    return Produced(directory=directory, manifest=manifest, errors=errors)


def _described(graph: Graph) -> dict[str, Any]:
    """What a manifest records of a file."""
    return {
        "inputs": [_tensor(spec) for spec in graph.inputs],
        "outputs": [_tensor(spec) for spec in graph.outputs],
        "operators": [operator.kind for operator in graph.operators],
        "per_channel_dense": graph.per_channel_dense,
        "macs": graph.macs,
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    absent = {} if spec.scale else {"scale": None, "zero_point": None}
    return {**asdict(spec), **absent}


def _check_request(recipe: Recipe, request: Request) -> None:
    if request.weights is not None and recipe.pretrained is None:
        raise DataError(f"{recipe.name} takes no pretrained weights: leave out --weights")
    if request.folder is not None and recipe.folder is None:
        raise DataError(f"{recipe.name} has its data built in: leave out --data")


def _check_classes(recipe: Recipe, data: Dataset) -> None:
    for name in ("train", "validation", "test"):
        part = getattr(data, name)
        if recipe.labels and isinstance(part, Examples):
            check_labels(part.y, len(recipe.labels), f"{recipe.name}, {name} set")


def _forms(tf: Any, trained: Trained, representative: Array) -> dict[str, bytes]:
    """The file of every form by its name."""
    whole = with_static_batch(tf.keras, trained.whole)
    return {dtype: convert(tf, whole, dtype, representative=representative) for dtype in DTYPES}


def _outputs(dtype: str, content: bytes, test: Examples) -> Array:
    # int8 is judged as the board will run it. TFLite Micro runs no dynamic-range model.
    run = interpret.tflm if dtype == "int8" else interpret.litert
    return interpret.on_reals(content, run)(test.x)


def _check_targets(targets: Mapping[str, float], metrics: Mapping[str, Any]) -> None:
    missed = [
        f"{form} {name} is {metrics[form][name]:.4f}, to reach {least:.4f}"
        for name, least in targets.items()
        for form in metrics
        if form == "int8" and not metrics[form][name] >= least
    ]
    if missed:
        raise goldens.BoundsExceeded("; ".join(missed))


def _metrics(recipe: Recipe, outputs: Array, test: Examples) -> dict[str, float]:
    return {name: METRICS[name](outputs, test.y) for name in recipe.metrics}


def _history(trained: Trained) -> bytes:
    """Losses and metrics after each epoch, and what a loop of one's own kept after each step."""
    epochs = {name: [_rounded(v) for v in values] for name, values in trained.epochs.items()}
    return json.dumps({"epochs": epochs, "steps": dict(trained.steps)}, allow_nan=False).encode()


def _rounded(value: float) -> float:
    # float32 holds no more digits.
    return float(f"{value:.7g}")


def _versions() -> dict[str, str]:
    packages = ("tensorflow", "keras", "numpy", "ai-edge-litert", "tflite-micro")
    found = {name.replace("-", "_"): version(name) for name in packages}
    return {**found, "python": platform.python_version()}
