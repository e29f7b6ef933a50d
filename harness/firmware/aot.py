"""Generates the model source for the `aot` runtime: BakeNN's C, and a file that adapts it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.board.registry import Board
from harness.errors import ModelError, Where
from harness.firmware.c_source import c_bytes, c_specs, c_string
from harness.model.artifact import Artifact
from harness.model.graph import Operator, Step, read_operators

AOT_VERSION = f"bakenn {importlib.metadata.version('bakenn')}"
_MODEL = "model"
_STEP_NAME = re.compile(r"tflite_(\d+)_")

_TEMPLATE = """\
// Generated for {name} by harness/firmware/aot.py.
extern "C" {{
#include "bknn_model.h"
}}
#include "runtime/aot.h"
{include}
namespace {{

alignas(16) uint8_t arena[BKNN_MODEL_ARENA_SIZE > 0 ? BKNN_MODEL_ARENA_SIZE : 1];
alignas(16) uint8_t input[BKNN_MODEL_INPUT_BYTES];
alignas(16) uint8_t output[BKNN_MODEL_OUTPUT_BYTES];

void Infer() {{
  bknn_model_infer(BKNN_MODEL_ARENA_SIZE > 0 ? arena : nullptr,
                   reinterpret_cast<const int8_t*>(input), reinterpret_cast<int8_t*>(output));
}}

const TensorSpec inputs[] = {{
{inputs}
}};
const TensorSpec outputs[] = {{
{outputs}
}};

}}  // namespace

namespace runtime {{

extern const AotModel kAotModel = {{
    Infer,
    input,
    sizeof input,
    output,
    sizeof output,
    BKNN_MODEL_ARENA_SIZE,
    BKNN_MODEL_ARENA_SIZE,
    {{inputs, sizeof inputs / sizeof inputs[0]}},
    {{outputs, sizeof outputs / sizeof outputs[0]}},
    {{{sha256}}},
    {{{build_id}}},
    "{version}",
    "{kernels}",
    {model_name},
}};
{steps}
}}  // namespace runtime
"""

_STEPS = """
namespace {{

const StepPlace places[] = {{
{places}
}};
uint32_t values[{count}];

}}  // namespace

extern const GeneratedSteps kSteps = {{places, values, {count}}};
"""

_HOOKS = """
void hil_step_begin(void);
void hil_step_end(void);
"""


def kernel_names(manifest: str) -> str:
    """Kernel libraries that BakeNN selected, such as `CMSIS-NN 4.0.0 + portable C`.

    Args:
        manifest: text of BakeNN's manifest, which names an implementation for each step
            (`cmsis_nn.linear_s8.v4.0.0`).
    """
    steps = json.loads(manifest)["backend"]["selections"]
    used = [step["implementation"] for step in steps]
    names = []
    for prefix, name in (("cmsis_nn.", "CMSIS-NN"), ("esp_nn.", "ESP-NN")):
        versions = {item.partition(".v")[2] for item in used if item.startswith(prefix)}
        names += [f"{name} {version}" for version in sorted(versions)]
    known = ("cmsis_nn.", "esp_nn.")
    if any(not item.startswith(known) for item in used):
        names.append("portable C")
    return " + ".join(names)


def _plan_storage(plan: Any, name: str) -> Any:
    """The tensor of the plan that holds the bytes of the one named, which may be a view of it."""
    tensor = plan.tensors[name]
    while tensor.alias_of is not None:
        tensor = plan.tensors[tensor.alias_of]
    return tensor


def step_places(plan: Any, runs: Sequence[bool]) -> str:
    """C initializers of the places of the steps' outputs, for the steps that run code."""
    lines = []
    for step, runs_code in zip(plan.steps, runs, strict=True):
        if not runs_code:
            continue
        tensor = _plan_storage(plan, step.outputs[0])
        place = "output" if tensor.storage.value == "output" else f"arena + {tensor.offset}"
        lines.append(f"    {{{place}, {plan.tensors[step.outputs[0]].tensor_type.nbytes}}},")
    return "\n".join(lines)


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
        f"    hil_step_begin();\n{piece}\n    hil_step_end();" if runs_code else piece
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


def generate_aot(
    artifact: Artifact, board: Board, *, build_id: str, folder: Path, profile: bool = False
) -> tuple[Step, ...]:
    """Write the model's C and `model_aot.cpp` into an empty folder.

    Args:
        build_id: 16 bytes in hex; the firmware reports it in HELLO.
        profile: for a firmware that measures each step.

    Returns:
        With `profile` the steps of an inference in order; else none.

    Raises:
        ModelError: BakeNN refuses the model; the text names the operator or tensor.
    """
    import bakenn  # 0.2 s: only where it compiles

    target = bakenn.resolve_target(board.aot_target)
    options = bakenn.CBackendOptions(
        kernel_policy=bakenn.KernelPolicy.STATIC_PRIORITY,
        enable_cmsis_nn="dsp" in target.features,
        target=target,
    )
    where = Where(board=board.id, model=artifact.name)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            made = bakenn.compile_tflite(
                artifact.content, folder, name=_MODEL, backend_options=options
            )
    except (bakenn.BakeNNError, ValueError) as error:
        raise ModelError(
            f"runtime aot cannot compile the model: {error}",
            where=where,
            hint=f"Its operators: {', '.join(dict.fromkeys(artifact.operators))}. "
            "Runtime tflm may run it.",
        ) from error
    manifest = (folder / f"bknn_{_MODEL}_manifest.json").read_text()
    steps: tuple[Step, ...] = ()
    places = ""
    if profile:
        try:
            steps, places = _observe(made.plan, json.loads(manifest), artifact, folder)
        except ValueError as error:
            raise ModelError(
                f"{AOT_VERSION}'s code cannot be profiled: {error}", where=where
            ) from error
    source = _TEMPLATE.format(
        name=artifact.name,
        model_name=c_string(artifact.name),
        inputs=c_specs(artifact.inputs),
        outputs=c_specs(artifact.outputs),
        sha256=c_bytes(bytes.fromhex(artifact.sha256)),
        build_id=c_bytes(bytes.fromhex(build_id)),
        version=AOT_VERSION,
        kernels=kernel_names(manifest),
        include='#include "runtime/steps.h"\n' if profile else "",
        steps=_STEPS.format(places=places, count=len(steps)) if profile else "",
    )
    (folder / "model_aot.cpp").write_text(source)
    return steps


def _observe(
    plan: Any, manifest: Mapping[str, Any], artifact: Artifact, folder: Path
) -> tuple[tuple[Step, ...], str]:
    """Instrument the generated source; returns the steps, and initializers of their outputs."""
    runs = [operation.get("emits_kernel", True) for operation in manifest["operations"]]
    operations = [
        (step.name, step.outputs[0], runs_code)
        for step, runs_code in zip(plan.steps, runs, strict=True)
    ]
    steps = model_steps(operations, read_operators(artifact))
    path = folder / f"bknn_{_MODEL}.c"
    path.write_text(observed_source(path.read_text(), runs))
    return steps, step_places(plan, runs)
