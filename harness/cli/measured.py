"""What stands behind `--` of `hil bisect`: what each step measures, and with what."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import settings
from harness.bisect.lab import Means, digest_of, tools
from harness.bisect.lender import Lender
from harness.bisect.question import Broken, Larger, Question, Slower
from harness.bisect.subject import PLACE, Kind, Subject
from harness.board.registry import Board
from harness.cli.settings import add_settings, refuse_several, settings_of, sources_of
from harness.cli.work import rig_file, rig_options
from harness.errors import WrongUse
from harness.firmware.tflm_library import find_library
from harness.model.artifact import MANIFEST
from harness.model.graph import read_operators
from harness.model.resolve import resolve_model
from harness.progress import Progress
from harness.project import Project
from harness.settings import Setting, Sources
from harness.text import printable

HARNESS = Path(__file__).resolve().parents[2]
"""The folder that the running harness is imported from."""

SESSIONS = 5
"""Of each commit on a board whose time is measured, where nobody says how many."""

_REFUSED: dict[Setting[Any], str] = {
    settings.BASELINE: "every commit is compared with GOOD",
    settings.REPORT: "each step has a CSV of its own",
    settings.PROFILE: "operators are profiled where the question needs it",
    settings.FUNCTIONS: "functions are counted where QEMU runs the board",
    settings.ENERGY: "a step is judged by time, outputs or size",
}


def measured_by(options: argparse.Namespace) -> Sources:
    """What stands behind `--`, beside the ini file and the environment."""
    parser = argparse.ArgumentParser(prog="hil bisect GOOD BAD --", allow_abbrev=False)
    add_settings(parser, "bench")
    sources = sources_of(parser.parse_args(options.measure))
    refuse_several(sources, settings.BOARD, settings.MODEL, settings.RUNTIME)
    for setting, why in _REFUSED.items():
        if sources.said(setting).source.startswith("-"):
            raise WrongUse(f"{setting.hil_flag} behind `--` means nothing here: {why}")
    return sources


def board_of(sources: Sources) -> Board:
    _, registry = rig_file(sources)
    (name,) = sources[settings.BOARD]
    board = registry[name]
    for runtime in sources[settings.RUNTIME]:
        board.runtime(runtime)
    return board


def lender_of(sources: Sources, board: Board, progress: Progress) -> Lender:
    """What holds the board for all steps."""
    file, _ = rig_file(sources)
    options = replace(
        rig_options(sources, progress),
        port=sources.ports((board.id,)).get(board.id),
        plugged=file.plugged(board.id),
    )
    return Lender(board, options)


def given_by(sources: Sources) -> tuple[tuple[str, str | None], ...]:
    """What somebody said of `hil bench`, as options; paths are absolute, but for steps' own."""
    given: list[tuple[str, str | None]] = []
    for setting in settings_of("bench"):
        said = sources.said(setting)
        named = setting in (settings.BOARD, settings.MODEL)
        if setting is settings.CSV or setting in _REFUSED or not (said.source or named):
            continue
        if setting.kind is settings.TRUTH:
            given += [(setting.hil_flag, None)] if sources[setting] else []
        else:
            given.append((setting.hil_flag, _located(setting, said.text)))
    return tuple(given)


def _located(setting: Setting[Any], text: str) -> str:
    if PLACE in text:
        return text[text.index(PLACE) :]
    is_path = setting.kind.is_path or (setting is settings.MODEL and _is_file(text))
    return os.path.abspath(text) if is_path and text else text


def _is_file(model: str) -> bool:
    path = Path(model)
    return model.endswith(".tflite") or path.is_file() or (path / MANIFEST).is_file()


def refuse_unanswerable(
    question: Question, board: Board, sources: Sources, kind: Kind, project: Project
) -> None:
    """Raise WrongUse for a question that no step could answer."""
    virtual = board.attachment == "virtual"
    if virtual and (isinstance(question, Broken | Larger) or question.profiles):
        raise WrongUse(
            f"{board.id} cannot answer: it has no firmware, and no profile",
            hint="Take an emulated board: -- --board qemu-m4",
        )
    if not isinstance(question, Slower) or question.operator is None:
        return
    (model,) = sources[settings.MODEL]
    if PLACE in model or (kind is Kind.OWN and not _is_file(model)):
        return  # Each step has its own.
    wanted = question.operator
    operators = read_operators(resolve_model(model, project.artifacts))
    known = {item.kind for item in operators} | {item.name for item in operators}
    known |= {str(item.index) for item in operators}
    if wanted not in known and wanted.upper() not in known:
        kinds = ", ".join(dict.fromkeys(item.kind for item in operators))
        raise WrongUse(
            f"--operator {printable(wanted)}: the model has no such operator, but {kinds}",
            hint="Its kind, its name or its number, as hil profile shows them.",
        )


def means_of(
    sources: Sources, board: Board, subject: Subject, project: Project, options: argparse.Namespace
) -> Means:
    exact = board.emulated and board.ns_per_instruction is not None
    said = bool(sources.said(settings.SESSIONS).source)
    return Means(
        exact=exact,
        sessions=1 if exact else sources[settings.SESSIONS] if said else SESSIONS,
        inputs=_inputs(sources, subject, project),
        samples_said=bool(sources.said(settings.SAMPLES).source),
        timeout_s=options.timeout,
        again=options.again,
    )


def _inputs(sources: Sources, subject: Subject, project: Project) -> str:
    """Digest of what is measured with and is in no step."""
    found = list(tools())
    if subject.kind is not Kind.OWN:
        found.append(
            digest_of(HARNESS / "harness", project.firmware, project.root / "platformio.ini")
        )
    (model,) = sources[settings.MODEL]
    if _is_file(model):
        path = Path(model)
        beside = path.parent if (path.parent / MANIFEST).is_file() else path
        found.append(digest_of(path if path.is_dir() else beside))
    elif subject.kind is not Kind.OWN and PLACE not in model:
        found.append(
            digest_of(project.artifacts / model) if (project.artifacts / model).is_dir() else model
        )
    tflm = sources.said(settings.TFLM).text
    if tflm and PLACE not in tflm and subject.kind is not Kind.TFLM:
        found.append(find_library(Path(tflm).resolve(), project.state / "libraries").digest)
    rig = sources[settings.RIG]
    if rig is not None and rig.is_file():
        found.append(digest_of(rig))
    return "\n".join(found)
