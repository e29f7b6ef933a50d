"""A checkout that is to be measured: its models, its harness, and the command that measures it."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import WrongUse
from harness.text import listed, printable
from harness.toml import load

ROOT = Path(__file__).resolve().parents[2]
"""The checkout that this package lies in: of the action, its own."""
MOST_MODELS = 200
DETAILS = ("--profile", "--functions")
"""Options of `hil bench` that a comparison has operators and functions by."""
_NAME = "tinyml-hil"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be measured, the same in both checkouts.

    `models` are names from `hil models`, or paths and patterns in the checkout; `tflm` is a folder
    in the checkout, or an absolute one; `extra` are further options of `hil bench`, and `details`
    those that are left out where the checkout's own harness does not know them.
    """

    boards: tuple[str, ...]
    models: tuple[str, ...]
    runtimes: tuple[str, ...] = ()
    tflm: str = ""
    extra: tuple[str, ...] = ()
    details: tuple[str, ...] = DETAILS


def wanted_of(
    *, boards: str, models: str, runtimes: str, tflm: str, extra: str, details: str
) -> Wanted:
    """The same, from texts as a workflow gives them: lists with spaces, commas or line ends.

    Raises:
        WrongUse: no board or no model; quotes that do not end.
    """
    found = Wanted(
        boards=_items(boards),
        models=_items(models),
        runtimes=_items(runtimes),
        tflm=tflm.strip(),
        extra=_words(extra),
        details=_words(details),
    )
    if not found.boards or not found.models:
        raise WrongUse("name at least one board and one model")
    return found


def _items(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise WrongUse(f"arguments {printable(text)}: {error}") from None


def models_in(tree: Path, models: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names, and absolute paths of the files that are there; and which of `models` are not.

    Raises:
        WrongUse: a path leads out of the checkout, or there are more than MOST_MODELS files.
    """
    found: dict[str, None] = {}
    absent = []
    for model in models:
        if "/" not in model and not model.endswith(".tflite"):
            found[model] = None
            continue
        files = _files(tree, model)
        found.update(dict.fromkeys(map(str, files)))
        if not files:
            absent.append(model)
    if len(found) > MOST_MODELS:
        raise WrongUse(f"{len(found)} models are more than {MOST_MODELS}")
    return list(found), absent


def _files(tree: Path, pattern: str) -> list[Path]:
    """Files and artifact folders that a pattern names, in order of name."""
    root = tree.resolve()
    if Path(pattern).is_absolute():
        raise WrongUse(f"model {printable(pattern)}: name it as it lies in the repository")
    names = sorted(glob.glob(pattern, root_dir=root, recursive=True))
    paths = [(root / name).resolve() for name in names]
    if out := [name for name, path in zip(names, paths, strict=True) if root not in path.parents]:
        raise WrongUse(f"models outside of the repository: {printable(listed(out, 3))}")
    return paths


def own_harness(tree: Path) -> bool:
    """Whether a checkout is one of this harness, which then measures itself.

    A commit may change both ends of the protocol, or what is measured, so that no other commit's
    harness can talk to its firmware.
    """
    return (tree / "platformio.ini").is_file() and _project(tree).get("name") == _NAME


def other_dependencies(tree: Path) -> bool:
    """Whether such a checkout needs other packages than this one: an environment of its own."""
    return _needs(ROOT) != _needs(tree)


def _needs(tree: Path) -> tuple[object, ...]:
    project = _project(tree)
    extras = project.get("optional-dependencies")
    simulators = extras.get("sim") if isinstance(extras, dict) else None
    return project.get("dependencies"), project.get("requires-python"), simulators


def _project(tree: Path) -> dict[str, object]:
    file = tree / "pyproject.toml"
    if not file.is_file():
        return {}
    project = load(file, str(file)).get("project")
    return project if isinstance(project, dict) else {}


def tflm_of(tree: Path, tflm: str) -> Path | None:
    """The folder with TFLite Micro of a checkout; None if none is named.

    Raises:
        WrongUse: it is not there.
    """
    if not tflm:
        return None
    folder = (tree / tflm).resolve()
    if not folder.is_dir():
        raise WrongUse(f"no folder {printable(tflm)} with TFLite Micro in {tree}")
    return folder


def bench_command(
    hil: Path,
    wanted: Wanted,
    models: Sequence[str],
    tflm: Path | None,
    csv: Path,
    details: Sequence[str],
) -> list[str]:
    """The command that measures everything in a checkout."""
    command = [str(hil), "bench", "--board", *wanted.boards, "--model", *models]
    if wanted.runtimes:
        command += ["--runtime", *wanted.runtimes]
    if tflm is not None:
        command += ["--tflm", str(tflm)]
    return [*command, "--csv", str(csv), *details, *wanted.extra]
