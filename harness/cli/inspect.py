"""`hil inspect`: a model file on one page, and what each runtime and board will do with it.

TFLM takes as long to load as the rest: it is started first, and what takes time is imported
meanwhile.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.board.runtimes import TFLM as TFLM_ID
from harness.cli.command import EXIT_USAGE, Command
from harness.cli.machine import add_json, print_json
from harness.cli.settings import add_settings, sources_of
from harness.errors import ModelError
from harness.firmware.frame import TFLM
from harness.firmware.server import SERVERS
from harness.model.wheels import tflm_installed
from harness.outcome import Outcome
from harness.project import find_project

if TYPE_CHECKING:
    from harness.board.registry import Board


def inspect(options: argparse.Namespace) -> int:
    """Look at a model file: what is in it, and what each runtime and board will do with it."""
    # NumPy's threads, one for each core, take longer to start than what is computed here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ExitStack() as stack:
        asks = tflm_installed()
        if asks and _is_file(options.file):
            SERVERS[TFLM].start()
        from harness.firmware.probe import Question, ask_tflm

        content = _content(options.file)
        question = stack.enter_context(Question(content)) if asks and content is not None else None
        from harness.firmware.aot_pass import prepare
        from harness.firmware.look import as_data, as_page
        from harness.firmware.verdict import Ability, verdicts
        from harness.model.inspect import facts_of
        from harness.model.resolve import resolve_model

        artifact = resolve_model(options.file, find_project().artifacts)
        facts = facts_of(artifact)
        boards = _boards(options)
        with suppress(ModelError):
            prepare(artifact.content)  # While TFLM is busy; kept for the verdict.
        answer = question.answer() if question is not None else ask_tflm(artifact.content)
    found = verdicts(artifact, boards, answer=answer, limits_of=partial(_limits, options))
    if options.json:
        print_json("inspect", as_data(facts, answer, found))
    else:
        print(as_page(facts, answer, found))
    runs = any(item.ability is not Ability.CANNOT for item in found)
    return Outcome.PASSED.exit_status if runs else EXIT_USAGE


def _is_file(file: str) -> bool:
    return file.endswith(".tflite") and os.path.isfile(file)


def _content(file: str) -> bytes | None:
    """Bytes of a file, so that TFLM can be asked at once; None where it is none, or a name."""
    from harness.model.subgraphs import MOST_BYTES

    try:
        if _is_file(file) and os.path.getsize(file) <= MOST_BYTES:
            return Path(file).read_bytes()
    except OSError:
        pass  # Said where the model is resolved.
    return None


def _boards(options: argparse.Namespace) -> list[Board]:
    named = [name for item in options.board or () for name in item.split(",") if name]
    if not named:
        return []
    from harness.cli.work import rig_file

    _, registry = rig_file(sources_of(options))
    return [registry[name] for name in named]


def _limits(options: argparse.Namespace, board: Board) -> tuple[str, ...]:
    """What the TFLM library of a board's environment computes wrongly, as far as known."""
    if TFLM_ID not in board.env:
        return ()
    from harness.firmware.tflm_library import library_for
    from harness.settings import TFLM as LIBRARY

    return library_for(find_project(), board.env[TFLM_ID], sources_of(options)[LIBRARY]).cannot


def register(command: Command) -> None:
    """Hook the command in."""
    parser = command(inspect)
    parser.add_argument("file", metavar="FILE", help="a .tflite file, or a name of `hil models`")
    parser.add_argument(
        "--board", nargs="+", action="extend", metavar="ID", help="say it of these boards"
    )
    add_json(parser)
    add_settings(parser, "inspect")
