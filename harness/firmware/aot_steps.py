"""The steps of code generated for `aot`, and hooks around them to measure each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness.firmware.aot_pass import Body
from harness.model.graph import Operator, Step

BEGIN = "hil_step_begin();"
END = "hil_step_end();"
_STEP_NAME = re.compile(r"tflite_(\d+)_")

_HOOKS = f"""
void {BEGIN.replace("()", "(void)")}
void {END.replace("()", "(void)")}
"""


def _plan_storage(plan: Any, name: str) -> Any:
    """The tensor of the plan that holds the bytes of the one named, which may be a view of it."""
    tensor = plan.tensors[name]
    while tensor.alias_of is not None:
        tensor = plan.tensors[tensor.alias_of]
    return tensor


def step_places(plan: Any, runs: Sequence[bool], *, output: str, arena: str) -> list[str]:
    """C initializers of the places of the steps' outputs, for the steps that run code.

    Args:
        output: C expression of the place of the plan's output.
        arena: of its arena.
    """
    lines = []
    for step, runs_code in zip(plan.steps, runs, strict=True):
        if not runs_code:
            continue
        tensor = _plan_storage(plan, step.outputs[0])
        place = output if tensor.storage.value == "output" else f"{arena} + {tensor.offset}"
        lines.append(f"    {{{place}, {plan.tensors[step.outputs[0]].tensor_type.nbytes}}},")
    return lines


def observed_source(source: str, runs: Sequence[bool]) -> str:
    """BakeNN's model source with a call before and after the code of each step.

    Args:
        runs: for each step of the plan in order, whether it has code; a view of another tensor
            has only a comment.

    Raises:
        ValueError: the source has another form than expected.
    """
    head, start, rest = source.partition("    (void)arena;\n")
    if not start or not rest.endswith("\n}\n"):
        raise ValueError("the body of the inference function was not found")
    pieces = rest.removesuffix("\n}\n").split("\n\n")
    if len(pieces) != len(runs):
        raise ValueError(f"{len(pieces)} pieces of code for {len(runs)} steps")
    for piece, runs_code in zip(pieces, runs, strict=True):
        if piece.lstrip().startswith("/*") is runs_code:
            raise ValueError(f"a step's code was not expected to be {piece.strip()!r}")
    hooked = [
        f"    {BEGIN}\n{piece}\n    {END}" if runs_code else piece
        for piece, runs_code in zip(pieces, runs, strict=True)
    ]
    before, function, signature = head.rpartition("\nvoid ")
    return "".join((before, _HOOKS, function, signature, start, "\n\n".join(hooked), "\n}\n"))


def model_steps(
    operations: Sequence[tuple[str, str, bool]], operators: Sequence[Operator]
) -> tuple[Step, ...]:
    """The steps that run code, each with the operators that it computes.

    BakeNN names a step after the operator it was made from (`tflite_3_max_pool_2d`), and its output
    after the tensor: a step that also computes the next operator writes that one's output. A view,
    which has no code, is added to the step before it; a view of the model's input to the first
    step that runs code.

    Args:
        operations: of each step of BakeNN's plan its name, its output, and whether it has code.

    Raises:
        ValueError: an operator has no step, or a step no operator.
    """
    steps: list[Step] = []
    views: list[int] = []
    for name, output, runs_code in operations:
        made_from = _STEP_NAME.match(name)
        if made_from is None:
            raise ValueError(f"step {name} names no operator")
        own = {int(made_from[1])} | {item.index for item in operators if item.name == output}
        if runs_code:
            steps.append(Step(operators=(*views, *sorted(own)), output=max(own)))
            views = []
        elif steps:
            last = steps[-1]
            steps[-1] = Step(operators=(*last.operators, *sorted(own)), output=last.output)
        else:
            views += sorted(own)
    covered = sorted(index for step in steps for index in step.operators)
    if covered != [item.index for item in operators]:
        raise ValueError(f"steps stand for operators {covered} of {len(operators)}")
    return tuple(steps)


def file_steps(steps: Sequence[Step], body: Body) -> tuple[Step, ...]:
    """A body's steps with the numbers that operators have in the model's file."""
    found = []
    for step in steps:
        numbers = sorted({body.origins[index] for index in step.operators} - {-1})
        found.append(Step(operators=tuple(numbers), output=body.origins[step.output]))
    return tuple(found)
