"""From a recipe to a written artifact."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models import artifact, goldens, interpret
from models.convert import convert, with_static_batch
from models.quiet import import_tensorflow
from models.recipe import METRICS, Array, Examples, Recipe
from models.tflite_file import summarize
from models.train import Progress, Trained, predict, train

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """Where an artifact was written, its manifest, and how far int8 is from its references."""

    directory: Path
    manifest: dict[str, Any]
    errors: dict[str, float]


def produce(
    recipe: Recipe, *, variant: str, schedule: str, seed: int, output: Path, progress: Progress
) -> Produced:
    """Train, convert, compute goldens, check the bounds and write `output`/MODEL_ID/.

    Raises:
        TrainingDiverged: the loss was not finite.
        BoundsExceeded: the int8 model is outside its bounds; an older artifact stays as it was.
    """
    data = recipe.dataset(seed)
    tf = import_tensorflow()
    trained = train(
        tf,
        recipe,
        variant=variant,
        schedule=schedule,
        seed=seed,
        data=data,
        progress=progress,
    )
    files = convert(
        tf,
        with_static_batch(tf.keras, trained.model),
        representative=recipe.representative(data),
    )
    summaries = {dtype: summarize(content) for dtype, content in files.items()}
    golden = goldens.compute(recipe, files, summaries["int8"], data.test.x)
    errors = goldens.errors(recipe, golden, summaries["int8"])
    goldens.check(recipe.bounds[variant], errors)

    model_id = recipe.model_id(variant)
    packed = goldens.pack(golden)
    manifest = {
        "schema": SCHEMA,
        "model": model_id,
        "recipe": recipe.name,
        "variant": variant,
        "schedule": schedule,
        "seed": seed,
        "recipe_sha256": artifact.recipe_sha256(
            recipe, variant=variant, schedule=schedule, seed=seed
        ),
        "dtypes": {
            dtype: {
                "file": f"{model_id}_{dtype}.tflite",
                "sha256": artifact.file_sha256(content),
                "size_bytes": len(content),
                **asdict(summaries[dtype]),
                "metrics": _metrics(recipe, _outputs(dtype, content, data.test), data.test),
            }
            for dtype, content in files.items()
        },
        "goldens": {
            "file": artifact.GOLDENS,
            "sha256": artifact.file_sha256(packed),
            "dtype": "int8",
            "count": len(golden.int8_inputs),
            "produced_by": f"tflite-micro {interpret.tflm_version()}",
        },
        "bounds": asdict(recipe.bounds[variant]),
        "domain": None if recipe.domain is None else list(recipe.domain),
        "metrics": _metrics(recipe, predict(trained.model, data.test.x), data.test),
        "training": _training(trained),
        "produced_by": _versions(),
    }
    directory = output / model_id
    contents = {f"{model_id}_{dtype}.tflite": content for dtype, content in files.items()}
    artifact.write(directory, {**contents, artifact.GOLDENS: packed}, manifest)
    return Produced(directory=directory, manifest=manifest, errors=errors)


def _outputs(dtype: str, content: bytes, test: Examples) -> Array:
    # int8 is judged as the board will run it. TFLite Micro runs no dynamic-range model.
    run = interpret.tflm if dtype == "int8" else interpret.litert
    return interpret.on_reals(content, run)(test.x)


def _metrics(recipe: Recipe, outputs: Array, test: Examples) -> dict[str, float]:
    return {name: METRICS[name](outputs, test.y) for name in recipe.metrics}


def _training(trained: Trained) -> dict[str, Any]:
    return {
        "epochs": len(trained.loss),
        "loss": list(trained.loss),
        "val_loss": list(trained.val_loss),
    }


def _versions() -> dict[str, str]:
    packages = ("tensorflow", "keras", "numpy", "ai-edge-litert", "tflite-micro")
    found = {name.replace("-", "_"): version(name) for name in packages}
    return {**found, "python": platform.python_version()}
