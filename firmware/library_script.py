"""PlatformIO script of library.json: the protocol, one runtime with its library, and the model.

What they are stands in a list beside the generated model, whose folder an environment variable
names: the harness sets it for a board's build command.
"""

import json
import os
from pathlib import Path

from SCons.Script import DefaultEnvironment

Import("env")  # noqa: F821 (given by SCons)

folder, board = os.environ.get("HIL_MODEL_DIR", ""), os.environ.get("HIL_BOARD_ID", "")
if not (folder and board):
    print("Error: HIL_MODEL_DIR and HIL_BOARD_ID are not set: build with `hil`")
    env.Exit(1)  # noqa: F821
places = {"{HIL_MODEL_DIR}": folder, "{HIL_FIRMWARE_DIR}": os.getcwd()}
lists = json.loads(Path(folder, "hil_model.json").read_text())


def items(name):
    """Items of a list, with the folders that they begin with."""
    found = lists[f"HIL_{name}"]
    for mark, place in places.items():
        found = [item.replace(mark, place) for item in found]
    return found


def built(sources, within, part):
    """Objects of sources, by their paths below a folder."""
    names = [os.path.relpath(source, within).replace(os.pardir, "up") for source in sources]
    return [
        part.Object(target=os.path.join("$BUILD_DIR", "hil", name + ".o"), source=source)
        for name, source in zip(names, sources, strict=True)
    ]


runtimes = [f"+<runtime/{os.path.basename(name)}>" for name in items("RUNTIME_SOURCES")]
payload = os.environ.get("HIL_MAX_PAYLOAD", "1024")
chosen = ["+<*>", "-<port/>", "+<port/linked.cpp>", "-<runtime/>", *runtimes]
env.Replace(SRC_FILTER=chosen)  # noqa: F821
env.Append(  # noqa: F821
    CPPDEFINES=[
        ("HIL_BOARD", f'\\"{board}\\"'),
        ("HIL_MAX_PAYLOAD", payload),
        *items("MODEL_DEFINES"),
        *items("LIBRARY_DEFINES"),
        *(["HIL_PROFILE"] if os.environ.get("HIL_PROFILING") else []),
    ],
    CPPPATH=items("LIBRARY_INCLUDES"),
    CXXFLAGS=["-std=gnu++17"],
)
# For the model alone: a project's own files do not see these folders.
model = env.Clone()  # noqa: F821
model.Append(CPPPATH=[os.path.join(os.getcwd(), "src"), *items("MODEL_INCLUDES")])
library = env.Clone()  # noqa: F821
library.Append(CCFLAGS=["-w"])
root = os.path.commonpath(items("LIBRARY_SOURCES")) if items("LIBRARY_SOURCES") else folder
objects = [
    *built(items("MODEL_SOURCES"), folder, model),
    *built(items("LIBRARY_SOURCES"), root, library),
]
DefaultEnvironment().Append(PIOBUILDFILES=objects)
