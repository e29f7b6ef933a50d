"""`python -m models`: list recipes, train one, look at its pictures, explore a loss."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import loss
from models.artifact import DEFAULT_OUTPUT, is_current, recipe_sha256
from models.catalogue import UnknownName, find, recipes
from models.recipe import DataError, Recipe, Request

MOST_STEPS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit status 2: unknown name, 1: training failed, 130: interrupted."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except UnknownName as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="the recipes, their variants and schedules")
    listing.set_defaults(run=_list)
    listing.add_argument(
        "--ids", action="store_true", help="print model, recipe and variant, one line for each"
    )
    train = commands.add_parser("train", help="train a recipe and write its artifact")
    train.set_defaults(run=_train)
    _recipe_arguments(train)
    train.add_argument(
        "--output",
        type=Path,
        default=DEFAULT_OUTPUT,
        help="folder in which to write the model's folder (default: models/artifacts)",
    )
    train.add_argument("--weights", type=Path, metavar="FILE", help="pretrained weights")
    train.add_argument(
        "--if-changed",
        action="store_true",
        help="train only if the recipe or a file of its artifact changed",
    )
    showing = commands.add_parser(
        "pictures", help="training pictures, as augmentation changes them"
    )
    showing.set_defaults(run=_pictures, weights=None)
    _recipe_arguments(showing)
    showing.add_argument("--output", type=Path, metavar="FILE", required=True, help="a PNG")
    guessing = commands.add_parser(
        "loss", help="how wrong a guess of y = w x + b is, and the way down"
    )
    guessing.set_defaults(run=_loss)
    guessing.add_argument("--w", type=_number, default=3.0, help="the slope guessed")
    guessing.add_argument("--b", type=_number, default=-1.0, help="the intercept guessed")
    guessing.add_argument("--rate", type=_number, default=0.09, help="learning rate of the descent")
    guessing.add_argument("--steps", type=_count, default=50, metavar="N")
    guessing.add_argument("--output", type=Path, metavar="FILE", help="figure, PNG or SVG")
    guessing.add_argument("--json", action="store_true", help="as JSON, for programs")
    return parser


def _recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--variant", help="the network; the recipe's default if not given")
    parser.add_argument("--recipe", dest="schedule", help="the schedule, such as fast or course")
    parser.add_argument("--seed", type=int, help="seeds the data, the weights and the shuffling")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="where the data lie, if not in the usual places"
    )


def _number(text: str) -> float:
    try:
        return loss.finite(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_STEPS:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {MOST_STEPS}")
    return number


def _loss(options: argparse.Namespace) -> int:
    path = loss.descend(options.w, options.b, rate=options.rate, steps=options.steps)
    if options.output is not None:
        try:
            loss.draw(options.w, options.b, path, options.output)
        except (OSError, ValueError) as error:
            return _not_drawn(str(error), as_json=options.json)
    if options.json:
        found = loss.data(options.w, options.b, path, options.rate)
        print(json.dumps({"schema": 1, "command": "loss", **found}, indent=1))
    else:
        for text in loss.report(options.w, options.b, path, options.rate):
            print(text)
    if options.output is not None:
        print(f"wrote {options.output}", file=sys.stderr if options.json else sys.stdout)
    if not path.diverged:
        return 0
    print(
        f"error: the loss grows: take a learning rate above 0 and below {loss.largest_rate():.3f}",
        file=sys.stderr,
    )
    return 1


def _not_drawn(what: str, *, as_json: bool) -> int:
    """Say that there is no figure; to a program as docs/json.md has errors."""
    print(f"error: {what}", file=sys.stderr)
    if as_json:
        where = dict.fromkeys(("board", "port", "model", "hint"))
        error = {"error": "NotWritten", "what": what, **where}
        print(json.dumps({"schema": 1, "command": "loss", "errors": [error]}, indent=1))
    return 2


def _list(options: argparse.Namespace) -> int:
    if options.ids:
        for recipe in recipes().values():
            for variant in recipe.variants:
                print(recipe.model_id(variant), recipe.name, variant)
        return 0
    for name, recipe in sorted(recipes().items()):
        variants = ", ".join(
            f"{variant} (default)" if variant == recipe.default_variant else variant
            for variant in recipe.variants
        )
        print(f"{name}: {recipe.summary}")
        schedules = ", ".join(recipe.schedules) or "nothing to train"
        print(f"  variants: {variants}\n  recipes: {schedules}")
        if recipe.folder is not None:
            print(f"  --data DIR: {recipe.folder}")
    return 0


def _wanted(options: argparse.Namespace) -> tuple[Recipe, str, Request]:
    """The recipe, its schedule, and what is asked of it.

    Raises:
        UnknownName: no such recipe, variant or schedule.
    """
    recipe = find(options.name)
    variant = _choose("variant", options.variant, recipe.default_variant, recipe.variants)
    known = recipe.schedules or (recipe.default_schedule,)
    schedule = _choose("recipe", options.schedule, recipe.default_schedule, known)
    seed = recipe.default_seed if options.seed is None else options.seed
    request = Request(variant=variant, seed=seed, folder=options.data, weights=options.weights)
    return recipe, schedule, request


def _train(options: argparse.Namespace) -> int:
    recipe, schedule, request = _wanted(options)
    name = recipe.model_id(request.variant)
    directory = options.output / name
    sha256 = recipe_sha256(recipe, variant=request.variant, schedule=schedule, seed=request.seed)
    if options.if_changed and is_current(directory, sha256):
        print(f"{name}: current, nothing to do ({directory})")
        return 0
    return _produce(recipe, request, schedule, options.output)


def _pictures(options: argparse.Namespace) -> int:
    recipe, schedule, request = _wanted(options)
    try:
        from PIL import Image

        from models.pictures import sheet

        pixels = sheet(recipe, request=request, schedule=schedule)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.squeeze()).save(options.output, format="png")
    except ModuleNotFoundError as error:
        return _lacking(error)
    except (DataError, OSError) as error:
        print(f"error: {recipe.model_id(request.variant)}: {error}", file=sys.stderr)
        return 1
    print(f"wrote {options.output}")
    return 0


def _lacking(error: ModuleNotFoundError) -> int:
    print(
        f"error: training needs the package {error.name}; install the [train] extra",
        file=sys.stderr,
    )
    return 1


def _produce(recipe: Recipe, request: Request, schedule: str, output: Path) -> int:
    variant = request.variant
    print(
        f"{recipe.model_id(variant)}: {variant}, recipe {schedule}, seed {request.seed}", flush=True
    )
    try:
        from models.goldens import BoundsExceeded
        from models.produce import produce
        from models.train import TrainingDiverged

        produced = produce(
            recipe, request=request, schedule=schedule, output=output, progress=_show_progress
        )
    except ModuleNotFoundError as error:
        return _lacking(error)
    except (TrainingDiverged, BoundsExceeded, DataError) as error:
        print(f"error: {recipe.model_id(variant)}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        what = f"cannot write {output}: {error.strerror or error}"
        print(f"error: {recipe.model_id(variant)}: {what}", file=sys.stderr)
        return 1
    for line in table(produced.manifest):
        print(line)
    for form, found in produced.errors.items():
        for name, value in found.items():
            print(f"{form} {name}: {value:.4f} (allowed {produced.manifest['bounds'][name]})")
    print(f"wrote {produced.directory}")
    return 0


def _choose(kind: str, wanted: str | None, default: str, known: Any) -> str:
    if wanted is not None and wanted not in known:
        raise UnknownName(kind, wanted, known)
    return default if wanted is None else wanted


def _show_progress(epoch: int, epochs: int, loss: float, val_loss: float) -> None:
    text = f"epoch {epoch}/{epochs}  loss {loss:.5f}  val_loss {val_loss:.5f}"
    if sys.stdout.isatty():
        print(f"\r{text}", end="\n" if epoch == epochs else "", flush=True)
    elif epoch % max(1, epochs // 5) == 0 or epoch == epochs:
        print(text, flush=True)


def table(manifest: dict[str, Any]) -> list[str]:
    """Size and test metrics of every form, as lines of text."""
    names = list(manifest["metrics"])
    whole = manifest["dtypes"]["float32"]["size_bytes"]
    rows = [["form", "bytes", "of float32", *(f"test {name}" for name in names)]]
    rows.append(["keras", "", "", *(f"{manifest['metrics'][name]:.5f}" for name in names)])
    for dtype, entry in manifest["dtypes"].items():
        size = entry["size_bytes"]
        metrics = [f"{entry['metrics'][name]:.5f}" for name in names]
        rows.append([dtype, str(size), f"{size / whole - 1:+.1%}", *metrics])
    return [f"{row[0]:14}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows]


if __name__ == "__main__":
    sys.exit(main())
