"""`hil models`, `layers`, `train` and `loss`: what there is to run, and how it is made."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from harness.board.registry import load_registry
from harness.board.runtimes import TFLM
from harness.cli.command import Command
from harness.cli.machine import add_json, print_json
from harness.errors import ModelError, RigError
from harness.firmware.arena import plan_arena
from harness.firmware.host import rehearse
from harness.firmware.runtimes import VIRTUAL
from harness.firmware.support import shortage
from harness.firmware.verdict import refuse_unrunnable
from harness.model.artifact import list_models
from harness.model.features import save_pictures
from harness.model.resolve import resolve_model
from harness.process import answer_of, run
from harness.project import Project, find_project
from harness.terminal import say
from harness.text import table


def models(options: argparse.Namespace) -> int:
    """List models: size, MACs and arena of the int8 form, and the boards that it fits."""
    project = find_project()
    registry = load_registry()
    rows: list[dict[str, Any]] = []
    unreadable: list[str] = []
    for name in list_models(project.artifacts):
        try:
            artifact = resolve_model(name, project.artifacts)
        except ModelError as error:
            unreadable.append(str(error))
            continue
        arena = plan_arena(artifact).size_bytes
        size = len(artifact.content)
        short = {
            board.id: shortage(board, model_bytes=size, arena_bytes=arena)
            for board in registry.boards
        }
        rows.append(
            {
                "model": name,
                "bytes": size,
                "macs": artifact.macs,
                "arena_bytes": arena,
                "fits": [board_id for board_id, lack in short.items() if lack is None],
                "lacks": {board_id: lack for board_id, lack in short.items() if lack},
            }
        )
    untrained = _untrained(project)
    if options.json:
        content = {"models": rows, "unreadable": unreadable, "untrained": untrained}
        print_json("models", content)
        return 0
    print(table(("model", "bytes", "MACs", "arena", "boards"), [*map(_model_line, rows)]))
    notes = [
        f"{row['model']} does not fit {board_id}: {lack}"
        for row in rows
        for board_id, lack in row["lacks"].items()
    ]
    print("\n".join([*unreadable, *notes, *map(_how_to_train, untrained)]))
    return 0


def _model_line(row: Mapping[str, Any]) -> tuple[str, ...]:
    fit, all_ = len(row["fits"]), len(row["fits"]) + len(row["lacks"])
    sizes = (str(row[name]) for name in ("bytes", "macs", "arena_bytes"))
    return (row["model"], *sizes, "all" if fit == all_ else f"{fit} of {all_}")


def _how_to_train(model: Mapping[str, str]) -> str:
    command = f"hil train {model['recipe']} --variant {model['variant']}"
    return f"{model['model']} is not trained here: {command}"


def _untrained(project: Project) -> list[dict[str, str]]:
    """Models that a recipe declares and nobody trained; none without a checkout."""
    if not (project.root / "models" / "__main__.py").is_file():
        return []
    command = [sys.executable, "-m", "models", "list", "--ids"]
    listed = answer_of(command, folder=project.root)
    if listed is None:  # A recipe under work must not hide the models that are there.
        say("recipes cannot be listed; they say why: python -m models list")
        return []
    trained = list_models(project.artifacts)
    declared = [line.split(" ") for line in listed.splitlines()]
    return [
        {"model": model, "recipe": recipe, "variant": variant}
        for model, recipe, variant in declared
        if model not in trained
    ]


def layers(options: argparse.Namespace) -> int:
    """Write what the convolutions of a model make of one golden input as pictures."""
    artifact = resolve_model(options.name, find_project().artifacts)
    refuse_unrunnable(artifact, load_registry()[VIRTUAL], TFLM)
    rehearse(artifact)  # Feature maps are taken from LiteRT in this process.
    paths = save_pictures(artifact, options.sample, options.output)
    if options.json:
        print_json("layers", {"model": artifact.name, "pictures": paths})
        return 0
    for path in paths:
        print(path)
    return 0


def train(options: argparse.Namespace) -> int:
    """Train a recipe's model and write its artifact."""
    flags = ["--if-changed"] if options.if_changed else []
    names = ("variant", "recipe", "seed", "output", "data", "weights")
    return _recipes("train", options.name, *flags, *_given(options, names))


def loss(options: argparse.Namespace) -> int:
    """Explore the loss: how wrong a guess of y = w x + b is for six points, and the way down."""
    shown = ("--json",) if options.json else ()
    return _recipes("loss", *shown, *_given(options, ("w", "b", "rate", "steps", "output")))


def _given(options: argparse.Namespace, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        value = getattr(options, name)
        if value is not None:
            yield f"--{name}={value}"


def _recipes(*arguments: str) -> int:
    """Run `python -m models`: training is no import of the harness."""
    project = find_project()
    if not (project.root / "models" / "__main__.py").is_file():
        raise RigError("there are no recipes here", hint="Train in a checkout of the project.")
    command = [sys.executable, "-m", "models", *arguments]
    with _temporary(project.state) as environment:
        return run(command, None, folder=project.root, environment=environment)


@contextmanager
def _temporary(state: Path) -> Iterator[Mapping[str, str] | None]:
    """Environment with a folder for temporary files, which TensorFlow leaves where it is killed.

    What commands that are gone have left there is removed. None where the folder cannot be made.
    """
    place = state / "training"
    with ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            for left in place.glob("*-*"):
                owner = left.name.partition("-")[0]
                if owner.isdecimal() and not _runs(int(owner)):
                    shutil.rmtree(left, ignore_errors=True)
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(
                    dir=place, prefix=f"{os.getpid()}-", ignore_cleanup_errors=True
                )
            )
        except OSError:
            yield None
        else:
            yield {**os.environ, "TMPDIR": folder}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def register(command: Command) -> None:
    """Hook the commands in."""
    add_json(command(models))
    training = command(train)
    training.add_argument("name", metavar="NAME", help="a recipe")
    training.add_argument("--variant", help="the network; default: the recipe's own")
    training.add_argument("--recipe", metavar="SCHEDULE", help="the schedule: fast or course")
    training.add_argument("--seed", type=int)
    training.add_argument(
        "--output", type=lambda text: Path(text).absolute(), metavar="DIR", help="models/artifacts"
    )
    for name, kind in (("--data", "DIR"), ("--weights", "FILE")):
        training.add_argument(
            name, type=lambda text: Path(text).absolute(), metavar=kind, help="for recipes with any"
        )
    training.add_argument("--if-changed", action="store_true", help="only if it is not current")
    guessing = command(loss)
    add_json(guessing)
    guessing.add_argument("--w", metavar="W", help="the slope guessed; default: 3")
    guessing.add_argument("--b", metavar="B", help="the intercept guessed; default: -1")
    guessing.add_argument("--rate", metavar="RATE", help="learning rate of the way down; 0.09")
    guessing.add_argument("--steps", metavar="N", help="of the way down; default: 50")
    guessing.add_argument(
        "--output",
        type=lambda text: Path(text).absolute(),
        metavar="FILE",
        help="figure of the loss by w and b, PNG or SVG",
    )
    inside = command(layers)
    add_json(inside)
    inside.add_argument("name", metavar="MODEL", help="name, folder or file")
    inside.add_argument("--sample", type=int, default=0, metavar="N", help="golden input, from 0")
    inside.add_argument("--output", type=Path, default=Path("reports/layers"), metavar="DIR")
