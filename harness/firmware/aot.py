"""Generates the model source for the `aot` runtime: BakeNN's C, and a file that joins it.

`aot_pass` divides the model into parts for BakeNN and operators of our own; the generated
`model_aot.cpp` calls them one after the other.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.board.registry import Board
from harness.board.runtimes import AOT
from harness.errors import ModelError, RigError, Where
from harness.firmware.aot_kernels import convolutions_by_cmsis_nn, with_our_add
from harness.firmware.aot_memory import Places, place_tensors
from harness.firmware.aot_own import Own
from harness.firmware.aot_pass import Body, Part, Prepared, prepare
from harness.firmware.aot_proof import prove
from harness.firmware.aot_steps import (
    BEGIN,
    END,
    file_steps,
    model_steps,
    observed_source,
    step_places,
)
from harness.firmware.c_source import c_comment, c_string
from harness.firmware.compiled import buffers, model_table
from harness.firmware.t32 import has_mve
from harness.model.artifact import Artifact
from harness.model.graph import Step, read_graph
from harness.text import printable

AOT_VERSION = f"bakenn {importlib.metadata.version('bakenn')}"
LISTING = "bakenn_sources.cmake"
"""BakeNN's list of C sources, which firmware/build_model.py reads."""

_TEMPLATE = """\
// Generated for {name} by harness/firmware/aot.py.
extern "C" {{
{headers}
}}
#include "runtime/aot.h"
#include "runtime/aot_operators.h"
#include "runtime/cmsis_nn.h"
{include}
namespace {{

{buffers}
{constants}
void Infer() {{
{calls}
}}

{table}{steps}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """What BakeNN made of a body: the C names begin with `prefix`."""

    prefix: str
    plan: Any
    manifest: str
    listing: str
    arena_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    """C of one part: what it calls, the steps that are measured in it, and their outputs."""

    calls: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    places: tuple[str, ...] = ()


def kernel_names(*manifests: str) -> str:
    """Kernel libraries that BakeNN selected, such as `CMSIS-NN 4.0.0 + portable C`.

    Args:
        manifests: texts of BakeNN's manifests, which name an implementation for each step
            (`cmsis_nn.linear_s8.v4.0.0`).
    """
    steps = [step for text in manifests for step in json.loads(text)["backend"]["selections"]]
    used = [step["implementation"] for step in steps]
    names = []
    for prefix, name in (("cmsis_nn.", "CMSIS-NN"), ("esp_nn.", "ESP-NN")):
        versions = {item.partition(".v")[2] for item in used if item.startswith(prefix)}
        names += [f"{name} {version}" for version in sorted(versions)]
    known = ("cmsis_nn.", "esp_nn.")
    if any(not item.startswith(known) for item in used) or not manifests:
        names.append("portable C")
    return " + ".join(names)


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
        ModelError: `aot` cannot run the model; the text names the operator or tensor.
    """
    where = Where(board=board.id, model=artifact.name)
    prepared = prepare(artifact.content, where=where)
    prove(prepared, artifact)
    try:
        compiled = {
            body: _compile(body, number, board, folder)
            for number, body in enumerate(prepared.bodies)
        }
        places = place_tensors(prepared)
        codes = [_code(part, compiled, places, folder, profile) for part in prepared.parts]
    except ValueError as error:
        raise ModelError(
            f"{AOT_VERSION}'s code cannot be profiled: {error}", where=where
        ) from error
    except _CompileError as error:
        raise ModelError(
            f"runtime aot cannot compile the model: {error}",
            where=where,
            hint=f"Its operators: {', '.join(dict.fromkeys(artifact.operators))}. "
            "Runtime tflm may run it.",
        ) from error
    _write_listing([item.listing for item in compiled.values()], folder)
    text = _source(artifact, prepared, tuple(compiled.values()), places, codes, build_id)
    (folder / "model_aot.cpp").write_text(text)
    return tuple(step for code in codes for step in code.steps)


class _CompileError(Exception):
    """BakeNN refused a body."""


def _compile(body: Body, number: int, board: Board, folder: Path) -> _Compiled:
    """Write BakeNN's C of one body into the folder, beside that of others."""
    import bakenn  # 0.2 s: only where it compiles

    name = f"model_{number}" if number else "model"
    try:
        target = bakenn.resolve_target(board.aot_target)
    except ValueError as error:
        raise RigError(
            f"aot_target of board {board.id}: {printable(str(error))}",
            hint="portable32 is for any core: docs/boards.md",
        ) from error
    options = bakenn.CBackendOptions(
        kernel_policy=bakenn.KernelPolicy.STATIC_PRIORITY,
        enable_cmsis_nn="dsp" in target.features,
        target=target,
    )
    # In the folder, which is removed with all that is in it where a build was killed.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".made-") as fresh:
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()),
                convolutions_by_cmsis_nn(mve=has_mve(board.core)),
            ):
                made = bakenn.compile_tflite(
                    body.content, fresh, name=name, backend_options=options
                )
        except (bakenn.BakeNNError, ValueError) as error:
            if isinstance(cause := error.__cause__ or error.__context__, OSError):
                # As on a full disk: that says nothing of the model.
                raise RigError(
                    f"cannot write the generated source into {folder}: {cause.strerror or cause}"
                ) from error
            raise _CompileError(str(error)) from error
        listing = (Path(fresh) / LISTING).read_text()
        manifest = (Path(fresh) / f"bknn_{name}_manifest.json").read_text()
        header = (Path(fresh) / f"bknn_{name}.h").read_text()
        kernels = Path(fresh) / f"bknn_{name}_kernels.c"
        kernels.write_text(with_our_add(kernels.read_text()))
        shutil.copytree(fresh, folder, dirs_exist_ok=True)
    size = re.search(r"_ARENA_SIZE (\d+)u", header)
    return _Compiled(
        prefix=f"bknn_{name}",
        plan=made.plan,
        manifest=manifest,
        listing=listing,
        arena_bytes=int(size[1]) if size else 0,
    )


def _write_listing(listings: Sequence[str], folder: Path) -> None:
    """One list of sources, include folders and definitions for all bodies."""
    lines = []
    for kind in ("SOURCES", "INCLUDE_DIRS", "COMPILE_DEFINITIONS"):
        items: dict[str, None] = {}
        for listing in listings:
            found = re.search(rf"set\(BAKENN_MODEL_{kind}\s(.*?)\)", listing, re.DOTALL)
            items.update(dict.fromkeys(found[1].split() if found else ()))
        lines.append("\n  ".join([f"set(BAKENN_MODEL_{kind}", *items]) + "\n)\n")
    (folder / LISTING).write_text("".join(lines))


def _code(
    part: Part, compiled: dict[Body, _Compiled], places: Places, folder: Path, profile: bool
) -> _Code:
    if isinstance(part, Body):
        return _body_code(part, compiled[part], places, folder, profile)
    calls = tuple(
        re.sub(r"@(\d+)", lambda found: places.of[int(found[1])], call) for call in part.calls
    )
    return _as_one_step(calls, part, places) if profile else _Code(calls=calls)


def _body_code(body: Body, made: _Compiled, places: Places, folder: Path, profile: bool) -> _Code:
    source, target = places.of[body.source], places.of[body.target]
    arena = f"arena + {places.shared_bytes}"
    used = arena if made.arena_bytes else "nullptr"
    macro = made.prefix.upper()
    given, taken = f"reinterpret_cast<const int8_t*>{source}", f"reinterpret_cast<int8_t*>{target}"
    if body.repeats == 1:
        calls: tuple[str, ...] = (f"{made.prefix}_infer({used}, {given}, {taken});",)
        return (
            _observed(body, made, calls, (target, arena), folder) if profile else _Code(calls=calls)
        )
    calls = (
        f"for (uint32_t row = 0; row < {body.repeats}; ++row) {{",
        f"  {made.prefix}_infer({used}, {given} + row * {macro}_INPUT_BYTES, "
        f"{taken} + row * {macro}_OUTPUT_BYTES);",
        "}",
    )
    return _as_one_step(calls, body, places) if profile else _Code(calls=calls)


def _as_one_step(calls: Sequence[str], part: Part, places: Places) -> _Code:
    """Calls measured together."""
    step = Step(operators=part.operators, output=part.operators[-1])
    target = part.outputs[-1]
    return _Code(
        calls=(BEGIN, *calls, END),
        steps=(step,),
        places=(f"    {{{places.of[target]}, {places.sizes[target]}}},",),
    )


def _observed(
    body: Body, made: _Compiled, calls: tuple[str, ...], at: tuple[str, str], folder: Path
) -> _Code:
    """A body whose source is instrumented, step by step."""
    operations = json.loads(made.manifest)["operations"]
    runs = [operation.get("emits_kernel", True) for operation in operations]
    named = [
        (step.name, step.outputs[0], runs_code)
        for step, runs_code in zip(made.plan.steps, runs, strict=True)
    ]
    operators = read_graph(body.content, name=made.prefix).operators
    path = folder / f"{made.prefix}.c"
    path.write_text(observed_source(path.read_text(), runs))
    return _Code(
        calls=calls,
        steps=file_steps(model_steps(named, operators), body),
        places=tuple(step_places(made.plan, runs, output=at[0], arena=at[1])),
    )


def _with_variant(literal: str) -> str:
    """A C string in which the compiler puts CMSIS-NN's variant behind its name."""
    return re.sub(r"(CMSIS-NN [\w.]+)", r'\1" HIL_CMSIS_NN_VARIANT "', literal)


def _source(
    artifact: Artifact,
    prepared: Prepared,
    compiled: Sequence[_Compiled],
    places: Places,
    codes: Sequence[_Code],
    build_id: str,
) -> str:
    """Text of model_aot.cpp."""
    steps = [step for code in codes for step in code.steps]
    listed = "\n".join(place for code in codes for place in code.places)
    own = [part for part in prepared.parts if isinstance(part, Own)]
    arena_bytes = places.shared_bytes + max((item.arena_bytes for item in compiled), default=0)
    table = model_table(
        AOT,
        artifact,
        build_id=build_id,
        arena_bytes=arena_bytes,
        version=AOT_VERSION,
        kernels=_with_variant(c_string(kernel_names(*(item.manifest for item in compiled)))),
    )
    return _TEMPLATE.format(
        name=c_comment(artifact.name),
        headers="\n".join(f'#include "{item.prefix}.h"' for item in compiled),
        include='#include "runtime/steps.h"\n' if steps else "",
        buffers=buffers(artifact.inputs, artifact.outputs, arena_bytes),
        constants="".join(f"{text}\n" for item in own for text in item.constants),
        calls="\n".join(f"  {call}" for code in codes for call in code.calls),
        table=table,
        steps=_STEPS.format(places=listed, count=len(steps)) if steps else "",
    )
