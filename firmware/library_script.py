"""PlatformIO script of library.json: the protocol, one runtime and the generated model.

What they are comes by environment variables, which the harness sets for a board's build command.
"""

import os
import re
from pathlib import Path

from SCons.Script import DefaultEnvironment

Import("env")  # noqa: F821 (given by SCons)

folder = os.environ.get("HIL_MODEL_DIR", "")
board, runtime = os.environ.get("HIL_BOARD_ID", ""), os.environ.get("HIL_RUNTIME_ID", "")
if not (folder and board and runtime):
    print("Error: HIL_MODEL_DIR, HIL_BOARD_ID and HIL_RUNTIME_ID are not set: build with `hil`")
    env.Exit(1)  # noqa: F821
text = Path(folder, "bakenn_sources.cmake").read_text()


def items(name):
    """Items of BAKENN_MODEL_`name` in bakenn_sources.cmake."""
    match = re.search(rf"set\(BAKENN_MODEL_{name}\s(.*?)\)", text, re.DOTALL)
    found = match.group(1).split() if match else []
    return [item.strip('"').replace("${CMAKE_CURRENT_LIST_DIR}", folder) for item in found]


runtimes = ["-<runtime/>", f"+<runtime/{runtime}*.cpp>"]
payload = os.environ.get("HIL_MAX_PAYLOAD", "1024")
env.Replace(SRC_FILTER=["+<*>", "-<port/>", "+<port/linked.cpp>", *runtimes])  # noqa: F821
env.Append(  # noqa: F821
    CPPDEFINES=[
        ("HIL_BOARD", f'\\"{board}\\"'),
        ("HIL_MAX_PAYLOAD", payload),
        *items("COMPILE_DEFINITIONS"),
        *(["HIL_PROFILE"] if os.environ.get("HIL_PROFILING") else []),
    ],
    CXXFLAGS=["-std=gnu++17"],
)
# For the model alone: a project's own files do not see these folders.
model = env.Clone()  # noqa: F821
model.Append(CPPPATH=[os.path.join(os.getcwd(), "src"), *items("INCLUDE_DIRS")])
objects = [
    model.Object(
        target=os.path.join("$BUILD_DIR", "hil_model", os.path.relpath(source, folder) + ".o"),
        source=source,
    )
    for source in [*sorted(map(str, Path(folder).glob("*.cpp"))), *items("SOURCES")]
]
DefaultEnvironment().Append(PIOBUILDFILES=objects)
