"""A look at a model, on one page: what is in its file, and what each runtime will do with it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.firmware.probe import Answer, ask_tflm
from harness.firmware.verdict import RuntimeVerdict, verdict
from harness.model.artifact import Artifact
from harness.model.inspect import Facts, facts_of
from harness.model.tensor import TensorSpec
from harness.text import WIDTH, shortened, wrapped

if TYPE_CHECKING:
    from harness.board.registry import Board

Lines = Iterable[tuple[str, str]]
"""What the page says, each with its label, which is empty where a line goes on."""

_LONGEST_NAME = 40
_LABEL_WIDTH = 11


def page_of(artifact: Artifact, board: Board, runtime: str) -> str:
    """The page for people, with the verdict on one runtime of a board."""
    answer = ask_tflm(artifact.content)
    found = verdict(artifact, runtime, board, answer=answer)
    return as_page(facts_of(artifact), answer, (found,))


def as_page(facts: Facts, answer: Answer | None, found: Sequence[RuntimeVerdict]) -> str:
    """The page for people, WIDTH columns wide."""
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
    width, last = _LABEL_WIDTH, ""
    for label, text in lines:
        shown = "" if label == last else label
        last = label
        if len(shown) > width - 2:
            yield from wrapped(shown)
            shown = ""
        # The hash is one word, and as wide as what is left.
        hanging = "  " if text.startswith("- ") else ""
        for piece in textwrap.wrap(
            text, WIDTH - width, subsequent_indent=hanging, break_on_hyphens=False
        ):
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
    if facts.uncalled:
        others = ", ".join(map(str, facts.uncalled))
        yield "note", f"subgraph 0 alone is run; nothing calls {others}, as of other signatures"
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


def as_data(facts: Facts, answer: Answer | None, found: Sequence[RuntimeVerdict]) -> dict[str, Any]:
    """The same for programs."""
    used = answer.allocations if answer is not None else None
    return {
        "model": {
            **asdict(facts),
            "operators": dict(facts.operators),
            "weights": dict(facts.weights),
            "hybrid": None if facts.hybrid is None else str(facts.hybrid),
        },
        "host_arena_bytes": None if used is None else used.head + used.tail,
        "verdicts": [{**asdict(item), "ability": item.ability.value} for item in found],
    }
