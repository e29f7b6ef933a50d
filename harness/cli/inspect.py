"""`hil inspect`: a model file on one page, and what each runtime and board will do with it.

TFLM takes as long to load as the rest: it is started first, and what takes time is imported
meanwhile.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.command import EXIT_USAGE, Command
from harness.cli.settings import add_settings, sources_of
from harness.firmware.probe import Question
from harness.model.flatbuffer import MOST_BYTES
from harness.model.wheels import tflm_version
from harness.outcome import Outcome
from harness.project import find_project
from harness.settings import TFLM
from harness.text import WIDTH, shortened, wrapped

if TYPE_CHECKING:
    from harness.board.registry import Board
    from harness.firmware.probe import Answer
    from harness.firmware.verdict import RuntimeVerdict
    from harness.model.inspect import Facts
    from harness.model.tensor import TensorSpec

Lines = Iterable[tuple[str, str]]
"""What the page says, each with its label, which is empty where a line goes on."""

_LONGEST_NAME = 40


def inspect(options: argparse.Namespace) -> int:
    """Look at a model file: what is in it, and what each runtime and board will do with it."""
    with ExitStack() as stack:
        content = _content(options.file)
        question = None
        if content is not None and tflm_version() is not None:
            question = stack.enter_context(Question(content))
        from harness.firmware.probe import ask_tflm
        from harness.firmware.verdict import Ability, verdicts
        from harness.model.inspect import facts_of
        from harness.model.resolve import resolve_model

        artifact = resolve_model(options.file, find_project().artifacts)
        facts = facts_of(artifact)
        boards = _boards(options)
        answer = question.answer() if question is not None else ask_tflm(artifact.content)
    found = verdicts(artifact, boards, answer=answer, limits_of=partial(_limits, options))
    print(_as_json(facts, answer, found) if options.json else _as_page(facts, answer, found))
    runs = any(item.ability is not Ability.CANNOT for item in found)
    return Outcome.PASSED.exit_status if runs else EXIT_USAGE


def _content(file: str) -> bytes | None:
    """Bytes of a file, so that TFLM can be asked at once; None where it is none, or a name."""
    path = Path(file)
    try:
        if path.suffix == ".tflite" and path.is_file() and path.stat().st_size <= MOST_BYTES:
            return path.read_bytes()
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
    """What the TFLM library of a board's environment computes wrongly."""
    from harness.firmware.tflm_library import library_for

    return library_for(find_project(), board.env["tflm"], sources_of(options)[TFLM]).cannot


def _as_page(facts: Facts, answer: Answer | None, found: Sequence[RuntimeVerdict]) -> str:
    about = [*_fact_lines(facts), ("arena", _arena(answer))]
    said: dict[tuple[str, ...], list[str]] = {}
    for item in found:
        said.setdefault(tuple(_verdict_texts(item)), []).append(_label(item))
    verdicts = [(", ".join(labels), text) for texts, labels in said.items() for text in texts]
    return "\n".join((*_laid_out(about), "", *_laid_out(verdicts)))


def _label(item: RuntimeVerdict) -> str:
    return item.runtime if item.board is None else f"{item.board} ({item.runtime})"


def _laid_out(lines: Lines) -> Iterator[str]:
    """Labels in a column of their own, each said once; no line is wider than WIDTH.

    A label too long for the column stands on lines of its own.
    """
    width, last = 11, ""
    for label, text in lines:
        shown = "" if label == last else label
        last = label
        if len(shown) > width - 2:
            yield from wrapped(shown)
            shown = ""
        # The hash is one word, and as wide as what is left.
        for piece in textwrap.wrap(text, WIDTH - width, break_on_hyphens=False) or [""]:
            yield f"{shown:{width}}{piece}".rstrip()
            shown = ""


def _fact_lines(facts: Facts) -> Lines:
    yield "file", f"{facts.file}, {facts.size_bytes} B"
    yield "sha256", facts.sha256
    kinds = ", ".join(f"{count} {kind}" for kind, count in facts.operators)
    more = f" in {facts.subgraphs} subgraphs" if facts.subgraphs > 1 else ""
    total = sum(count for _, count in facts.operators)
    yield "operators", f"{total}{more}: {kinds}" if kinds else "none"
    if facts.custom:
        yield "custom", ", ".join(facts.custom)
    for label, specs in (("input", facts.inputs), ("output", facts.outputs)):
        for number, spec in enumerate(specs):
            yield (label if len(specs) == 1 else f"{label} {number}"), _spec_text(spec)
    if facts.batch is not None and facts.batch > 1:
        yield "batch", f"{facts.batch}: a sample is one batch"
    else:
        yield "batch", "1" if facts.batch else "none"
    yield "state", _state(facts)
    yield "MACs", f"{facts.macs} per inference"
    sizes = [f"{count} B of {dtype}" for dtype, count in facts.weights]
    yield "weights", ", ".join(sizes) or "none"
    if facts.per_channel_dense:
        yield "note", "Dense layers have a scale for each output: TFLM of 2024 or later"
    if facts.hybrid is not None:
        yield "note", f"hybrid: {facts.hybrid} has integer weights and float32 inputs"


def _state(facts: Facts) -> str:
    if not facts.stateful:
        return "none: an answer depends on its input only"
    return f"kept by {', '.join(facts.state) or 'variable tensors'}"


def _spec_text(spec: TensorSpec) -> str:
    shape = "x".join(map(str, spec.shape)) or "scalar"
    scale = f", scale {spec.scale:.6g}, zero point {spec.zero_point}" if spec.scale else ""
    return f"{shortened(spec.name, _LONGEST_NAME)}: {spec.dtype} {shape}{scale}"


def _arena(answer: Answer | None) -> str:
    if answer is None:
        return "not known: there is no tflite-micro wheel on this machine"
    if answer.allocations is None:
        return "not known: TFLM on the host does not run the model"
    used = answer.allocations
    return f"{used.head + used.tail} B on the host: {used.head} B of activations"


def _verdict_texts(item: RuntimeVerdict) -> Iterator[str]:
    if item.changes:
        yield f"{item.ability.value}:"
        yield from (f"- {change}" for change in item.changes)
    else:
        yield str(item)
    yield from (text for text in (item.hint, item.note) if text)


def _as_json(facts: Facts, answer: Answer | None, found: Sequence[RuntimeVerdict]) -> str:
    used = answer.allocations if answer is not None else None
    page: dict[str, Any] = {
        "model": {
            **asdict(facts),
            "operators": dict(facts.operators),
            "weights": dict(facts.weights),
            "hybrid": None if facts.hybrid is None else str(facts.hybrid),
        },
        "host_arena_bytes": None if used is None else used.head + used.tail,
        "verdicts": [{**asdict(item), "ability": item.ability.value} for item in found],
    }
    return json.dumps(page, indent=1)


def register(command: Command) -> None:
    """Hook the command in."""
    parser = command(inspect)
    parser.add_argument("file", metavar="FILE", help="a .tflite file, or a name of `hil models`")
    parser.add_argument(
        "--board", nargs="+", action="extend", metavar="ID", help="say it of these boards"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_settings(parser, "inspect")
