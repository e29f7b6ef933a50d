"""What each runtime and board will do with a model, said before anything is built or started."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from harness.board.packages import MOST_SAID
from harness.board.runtimes import OWN
from harness.errors import ModelError, Where
from harness.firmware.probe import ABORTS, CRASHES, NO_KERNEL, Answer, Refusal, ask_tflm
from harness.firmware.runtime import Look, Question
from harness.firmware.runtimes import VIRTUAL, runtime_of, takes, usable_runtimes
from harness.model.artifact import Artifact
from harness.model.graph import Graph, read_graph
from harness.model.resolve import inspect_model
from harness.model.subgraphs import read_subgraphs
from harness.text import printable

if TYPE_CHECKING:
    from harness.board.registry import Board


class Ability(Enum):
    """Whether a runtime can run a model; the value is what is said."""

    RUNS = "runs"
    CHANGED = "runs after these changes"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeVerdict:
    """What one runtime, on one board if one is named, will do with a model.

    `runtime` is an id, or VIRTUAL where no board is named. `changes` are sentences. A
    `reason` begins with the operator, by number and kind, where one is to blame; `hint` says what
    to do. `note` is a doubt about a model that is not refused: little memory is left.
    `everywhere` says that no runtime can: TFLM, which judges all, does not run the model.
    """

    runtime: str
    board: str | None = None
    ability: Ability = Ability.RUNS
    changes: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""
    note: str = ""
    everywhere: bool = False

    def __str__(self) -> str:
        if self.ability is Ability.CANNOT:
            return f"cannot, because {self.reason}"
        return ": ".join((self.ability.value, *(["; ".join(self.changes)] if self.changes else [])))

    def error(self, where: Where) -> ModelError:
        """The error for whoever wants to run the model all the same."""
        how = "" if self.everywhere else f" with {self.runtime}"
        what = f"this model cannot run{how}, because {self.reason}"
        return ModelError(what, where=where, hint=self.hint)


def verdicts_of(path: Path, boards: Sequence[Board] = ()) -> tuple[RuntimeVerdict, ...]:
    """The verdicts on a `.tflite` file: see `verdicts`.

    Raises:
        ModelError: it cannot be read, or is none that any runtime could run.
    """
    artifact = inspect_model(path)
    return verdicts(artifact, boards, answer=ask_tflm(artifact.content))


def verdicts(
    artifact: Artifact,
    boards: Sequence[Board] = (),
    *,
    answer: Answer | None,
    limits_of: Callable[[Board], tuple[str, ...]] = lambda board: (),
) -> tuple[RuntimeVerdict, ...]:
    """What each runtime will do with a model, or each one of each board.

    A runtime of a distribution that does not take a board, or cannot be loaded, is left out; the
    latter is said.

    Args:
        answer: TFLM's on the host; None where there is no TFLM on this machine.
        limits_of: what the TFLM library of a board computes wrongly.
    """
    added = usable_runtimes()
    if not boards:
        runtimes = (*sorted(OWN), *added, VIRTUAL)
        return tuple(verdict(artifact, runtime, answer=answer) for runtime in runtimes)
    return tuple(
        verdict(artifact, runtime, board, answer=answer, limits_of=limits_of)
        for board in boards
        for runtime in dict.fromkeys(
            (*board.runtimes, *(name for name, made in added.items() if takes(made, board)))
        )
    )


def verdict(
    artifact: Artifact,
    runtime: str,
    board: Board | None = None,
    *,
    answer: Answer | None,
    limits_of: Callable[[Board], tuple[str, ...]] = lambda board: (),
) -> RuntimeVerdict:
    """What a runtime will do with a model, on any board or on one.

    Args:
        answer: TFLM's on the host; None where there is no TFLM on this machine.
        limits_of: what the TFLM library of a board computes wrongly.

    Raises:
        RigError: a runtime that a distribution brings cannot be loaded, or fails.
        WrongUse: it does not run on the board.
    """
    made = RuntimeVerdict(runtime=runtime, board=board.id if board else None)
    graph = read_graph(artifact.content, name=artifact.name)
    question = Question(
        artifact=artifact, graph=graph, board=board, answer=answer, limits_of=limits_of
    )
    try:
        _refuse_what_tflm_refuses(artifact, graph, answer)
        look = runtime_of(runtime, board).look(question)
        if look.reason:
            raise ModelError(printable(look.reason, MOST_SAID), hint=printable(look.hint))
        if board is not None:
            _refuse_too_large(look, board)
    except ModelError as error:
        reason = _numbered(_PREFIX.sub("", error.what), graph)
        hint = " ".join(error.hint.split())
        return replace(
            made,
            ability=Ability.CANNOT,
            reason=reason,
            hint=hint,
            everywhere=answer is not None and answer.refusal is not None,
        )
    return replace(
        made,
        ability=Ability.CHANGED if look.changes else made.ability,
        changes=look.changes,
        note=look.note,
    )


_PREFIX = re.compile(r"runtime \w+ cannot (run|compile) (the model: )?")
_UNNUMBERED = re.compile(r"operator (?P<kind>\S+) (?!\()")


def _numbered(reason: str, graph: Graph) -> str:
    """The reason with the number of the operator that it calls by its kind only."""
    match = _UNNUMBERED.match(reason)
    named = [operator for operator in graph.operators if match and operator.kind == match["kind"]]
    return f"{named[0]} {reason[match.end() :]}" if match and named else reason


def _refuse_what_tflm_refuses(artifact: Artifact, graph: Graph, answer: Answer | None) -> None:
    """TFLM on the host judges every board: what it does not run, nothing can be compared with.

    Raises:
        ModelError: in TFLM's own words.
    """
    if answer is None or answer.refusal is None:
        return
    refusal = answer.refusal
    hint = next((hint for words, hint in _CURES if words in refusal.sentence), _ANY_CURE)
    if refusal.sentence.startswith(ABORTS):
        hint = f"{_least_scale(artifact.content)}{hint}"
    raise ModelError(f"{_blamed(refusal, graph)}{refusal.sentence}", hint=hint)


def _least_scale(content: bytes) -> str:
    """A tensor whose scale is too small to be right; TFLM aborts where it cannot represent it."""
    tensors = (tensor for graph in read_subgraphs(content) for tensor in graph.tensors)
    least = min((t for t in tensors if t.scale > 0), key=lambda t: t.scale, default=None)
    if least is None or least.scale > 1e-6:
        return ""
    return f"Tensor {least.index} ({least.name!r}) has a scale of {least.scale:.3g}. "


_CURES = (
    (
        "Hybrid",
        "Convert to full int8, with a representative dataset and "
        "target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8].",
    ),
    (
        "filter type: INT8 not supported",
        "Convert to full int8: set a representative dataset for the converter.",
    ),
    (
        "dequantize_common",
        "TFLM has no float16: convert to float32, without "
        "target_spec.supported_types = [tf.float16], or to full int8.",
    ),
    (NO_KERNEL, "Convert the model without this operator, or replace it by others."),
    (ABORTS, "Convert the model again, with data that represent every input."),
    ("does not end", "Use a smaller model, or one whose WHILE ends with any input."),
    (CRASHES, "The file is damaged, or made to crash it. Convert the model again."),
)
"""What to do, by words in what TFLM said."""

_ANY_CURE = (
    "Give the operator tensors that TFLM takes: often int8, int32 instead of int64, "
    "or fewer dimensions. Or convert the model without it."
)


def _blamed(refusal: Refusal, graph: Graph) -> str:
    """The operator that TFLM names, by its number; empty where it names none."""
    if refusal.number is not None:
        return f"operator {refusal.number} ({refusal.kind}): "
    # Of an operator that it does not know, it says the kind only; CUSTOM stands for any name.
    for operator in graph.operators:
        if operator.kind == refusal.kind or (operator.custom and refusal.kind == "CUSTOM"):
            return f"{operator}: "
    return f"operator {refusal.kind}: " if refusal.kind else ""


def _refuse_too_large(look: Look, board: Board) -> None:
    """Raise ModelError where the model alone is larger than a memory of the board."""
    for memory, needed, available in (
        ("flash", look.flash_bytes, board.flash_bytes),
        ("RAM", look.ram_bytes, board.ram_bytes),
    ):
        if available is not None and needed > available:
            raise ModelError(
                f"the model alone takes {needed} bytes of {memory}, and {board.id} has {available}",
                hint="Use a smaller or quantized model, or a board with more memory.",
            )


def refuse_unrunnable(artifact: Artifact, board: Board, runtime: str) -> None:
    """Look at a model before anything is built, started or locked for a board.

    Raises:
        ModelError: the runtime cannot run it; the text says why and what to do.
    """
    from harness.firmware.host import of_this_project  # 0.02 s

    answer = None if of_this_project(artifact) else ask_tflm(artifact.content)
    found = verdict(artifact, runtime, board, answer=answer)
    if found.ability is Ability.CANNOT:
        raise found.error(Where(board=board.id, model=artifact.name))
