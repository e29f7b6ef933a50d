"""Lists of what a firmware that is not ours compiles: the same for make, CMake and other programs.

Beside the generated model these are the runtime's files, and the library that it needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.firmware.platformio import Job
from harness.firmware.runtime import Runtime
from harness.firmware.tflm import distinct_operators
from harness.firmware.tflm_library import library_sources

FOR_MAKE, FOR_CMAKE, FOR_PROGRAMS = "hil_model.mk", "hil_model.cmake", "hil_model.json"
"""Written beside the model's sources."""
LISTING = "bakenn_sources.cmake"
"""BakeNN's list, where it generated the model: its C needs folders and macros."""
_MODEL, _FIRMWARE = "HIL_MODEL_DIR", "HIL_FIRMWARE_DIR"


def write_lists(model: Path, job: Job, runtime: Runtime) -> None:
    """Write the lists into the folder of the generated model."""
    lists = _lists(model, job, runtime)
    (model / FOR_MAKE).write_text(_text(lists, "{} := {}\n", "$({})", quote=""))
    (model / FOR_CMAKE).write_text(_text(lists, "set({} {})\n", "${{{}}}", quote='"'))
    (model / FOR_PROGRAMS).write_text(json.dumps(lists, indent=1))


def _text(lists: Mapping[str, Sequence[str]], line: str, variable: str, *, quote: str) -> str:
    """The lists as assignments, with variables for the folders."""
    lines = []
    for name, items in lists.items():
        words = [f"{quote}{_placed(item, variable)}{quote}" for item in items]
        lines.append(line.format(name, " ".join(words)))
    return "".join(lines)


def _lists(model: Path, job: Job, runtime: Runtime) -> dict[str, list[str]]:
    """Words by name; `{HIL_MODEL_DIR}` and `{HIL_FIRMWARE_DIR}` stand for folders."""
    listing = model / LISTING
    text = listing.read_text() if listing.is_file() else None
    names = sorted(path.name for path in model.glob("*.cpp"))
    plain = [] if text is not None else sorted(path.name for path in model.glob("*.c"))
    library = job.library
    flags = library.build_flags(bare=True) if library else ()
    return {
        "HIL_MODEL_SOURCES": [
            *(f"{{{_MODEL}}}/{name}" for name in (*names, *plain)),
            *_items(text or "", "SOURCES"),
        ],
        "HIL_MODEL_INCLUDES": _items(text or "", "INCLUDE_DIRS") or [f"{{{_MODEL}}}"],
        "HIL_MODEL_DEFINES": _items(text or "", "COMPILE_DEFINITIONS"),
        "HIL_RUNTIME_SOURCES": [
            f"{{{_FIRMWARE}}}/src/runtime/{name}" for name in sorted(runtime.sources)
        ],
        "HIL_LIBRARY_SOURCES": list(
            map(str, library_sources(library, distinct_operators(job.artifact)) if library else ())
        ),
        "HIL_LIBRARY_INCLUDES": [flag[2:] for flag in flags if flag.startswith("-I")],
        "HIL_LIBRARY_DEFINES": [flag[2:] for flag in flags if flag.startswith("-D")],
    }


def _items(text: str, name: str) -> list[str]:
    """Items of BAKENN_MODEL_`name` in BakeNN's list."""
    match = re.search(rf"set\(BAKENN_MODEL_{name}\s(.*?)\)", text, re.DOTALL)
    items = match.group(1).split() if match else []
    return [item.strip('"').replace("${CMAKE_CURRENT_LIST_DIR}", f"{{{_MODEL}}}") for item in items]


def _placed(item: str, variable: str) -> str:
    for name in (_MODEL, _FIRMWARE):
        item = item.replace(f"{{{name}}}", variable.format(name))
    return item
