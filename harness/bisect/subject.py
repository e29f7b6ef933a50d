"""What of a git folder is measured, and how `hil` is told to measure the work tree of a step."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness.bisect.bytecode import bytecode_environment
from harness.bisect.repository import git_environment
from harness.errors import WrongUse
from harness.settings import SETTINGS

PLACE = "{tree}"
"""Stands for the work tree of a step in what is to be measured."""

_INTERPRETER = "tensorflow/lite/micro/micro_interpreter.h"
_CMSIS_NN = "Include/arm_nnfunctions.h"


class Kind(Enum):
    """What a git folder is; the value says what is measured of it."""

    OWN = "each step's own harness, firmware and models"
    PROJECT = "this harness, each step's firmware and models"
    TFLM = "this harness, each step as TFLite Micro"
    KERNELS = "this harness, each step as CMSIS-NN within the folder of --tflm"
    NAMED = f"this harness, each step where {PLACE} stands"


def kind_of(files: Sequence[str], asked: Sequence[str]) -> Kind | None:
    """What a folder is, by the names of its files; None if nothing of it would be measured.

    Args:
        asked: what is to be measured, as said by the user.
    """
    names = set(files)
    if {"platformio.ini", "harness/cli/__init__.py"} <= names:
        return Kind.OWN
    if "platformio.ini" in names and any(name.startswith("firmware/src/") for name in names):
        return Kind.PROJECT
    if any(PLACE in word for word in asked):
        return Kind.NAMED
    if names & {_INTERPRETER, f"src/{_INTERPRETER}"}:
        return Kind.TFLM
    return Kind.KERNELS if _CMSIS_NN in names else None


# The folder of `-c` code is the current one, whose harness would come first.
_START = """\
import sys
root = sys.argv.pop(1)
sys.path[0] = root
import harness
if not harness.__file__.startswith(root + "/"):
    sys.exit("hil: there is no harness in this commit")
from harness.cli import main
sys.exit(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured. `harness` is the root of the running harness, `state` the folder for what
    steps build. `given` are settings as options of `hil`; an option without a value has None.
    `library` takes the place of the folder of --tflm.
    """

    kind: Kind
    harness: Path
    state: Path
    given: tuple[tuple[str, str | None], ...]
    library: Path | None = None

    def root(self, tree: Path) -> Path:
        """The folder of the harness that a step runs."""
        return tree if self.kind is Kind.OWN else self.harness

    def command(self, name: str, tree: Path, *more: str, takes: Sequence[str]) -> list[str]:
        """The command line of `hil NAME` for a step.

        Args:
            tree: the folder that was named, in the step's work tree.
            takes: options that the command takes; others that were given are left out.
        """
        root = self.root(tree)
        words = [sys.executable, "-c", _START, str(root), name]
        given = self.given
        library = PLACE if self.kind is Kind.TFLM else None
        if self.library is not None:
            library = str(self.library)
        if library is not None:
            given = (*(item for item in given if item[0] != "--tflm"), ("--tflm", library))
        for option, value in given:
            if option in takes:
                words.append(option)
                words += [] if value is None else [value.replace(PLACE, str(tree))]
        return [*words, *more]

    def environment(
        self, tree: Path, environment: Mapping[str, str] = os.environ
    ) -> dict[str, str]:
        """The environment of a step: settings come as options only."""
        settings = {setting.variable for setting in SETTINGS}
        kept = git_environment(environment).items()
        made = {name: text for name, text in kept if name not in settings}
        root = self.root(tree)
        before = made.get("PYTHONPATH")
        made["PYTHONPATH"] = os.pathsep.join([str(root), *([before] if before else [])])
        made["HIL_STATE_DIR"] = str(self.state)
        if self.kind in (Kind.OWN, Kind.PROJECT):
            made.pop("HIL_PROJECT_DIR", None)
        if self.kind is Kind.PROJECT:
            made["HIL_PROJECT_DIR"] = str(tree)
        return bytecode_environment(self.state, made) if self.kind is Kind.OWN else made


def refuse_nothing(kind: Kind | None, folder: Path, tflm: str | None) -> Kind:
    """The kind of a folder, if something of it is measured.

    Raises:
        WrongUse: nothing is; the text says what would be.
    """
    if kind is None:
        raise WrongUse(
            f"--in {folder}: nothing of this folder would be measured: it is no checkout of the "
            "harness, no firmware with a platformio.ini, no TFLite Micro and no CMSIS-NN",
            hint=f"Say where it goes with {PLACE}, as in: -- --model {PLACE}/model.tflite",
        )
    if kind is Kind.KERNELS and tflm is None:
        raise WrongUse(
            f"--in {folder}: this is CMSIS-NN: it is measured within TFLite Micro",
            hint="Name a tree of TFLite Micro's sources: -- --runtime tflm --tflm DIR",
        )
    return kind
