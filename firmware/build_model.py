"""PlatformIO `pre:` script: compile the generated model in $HIL_MODEL_DIR into the firmware.

The folder holds .cpp files and .c files; where there is a list by BakeNN, it says which of C. It
lies outside of src_dir, because PlatformIO throws a build folder away when the list of files in
src_dir changes.
"""

import os
import re
from pathlib import Path

Import("env")  # noqa: F821 (given by SCons)


def cmake_list(text, name):
    """Items of BAKENN_MODEL_`name` in bakenn_sources.cmake."""
    match = re.search(rf"set\(BAKENN_MODEL_{name}\s(.*?)\)", text, re.DOTALL)
    items = match.group(1).split() if match else []
    return [item.strip('"').replace("${CMAKE_CURRENT_LIST_DIR}/", "") for item in items]


DEFINES = "${_defines(CPPDEFPREFIX, CPPDEFINES, CPPDEFSUFFIX, __env__, TARGET, SOURCE)}"

# runtime/tflm_log.cpp defines the same. mbed links whole libraries, so that both would be there.
for name in ("debug_log", "system_setup"):
    env.AddBuildMiddleware(  # noqa: F821
        lambda node: None, f"*/tensorflow/lite/micro/{name}.c*"
    )
folder = Path(os.environ.get("HIL_MODEL_DIR", ""))
if not os.environ.get("HIL_MODEL_DIR") or not any(folder.glob("*.cpp")):
    print("Error: HIL_MODEL_DIR must name a folder with a generated model, such as model_aot.cpp")
    env.Exit(1)  # noqa: F821
folder = folder.resolve()
listing = folder / "bakenn_sources.cmake"
text = listing.read_text() if listing.is_file() else ""
others = [] if text else sorted(path.name for path in folder.glob("*.c"))
sources = sorted(path.name for path in folder.glob("*.cpp")) + cmake_list(text, "SOURCES") + others
# Only for these files: in everyone's include path, a model elsewhere would recompile everything.
include = [str(folder / item) for item in cmake_list(text, "INCLUDE_DIRS") or ["."]]
flags = [f"-D{item}" for item in cmake_list(text, "COMPILE_DEFINITIONS")]
env.Replace(HIL_MODEL_DEFINES=flags)  # noqa: F821 (for provenance.py)
# That of our sources: Arduino cores choose an older one for theirs. The last -std counts.
src_flags = str(env.GetProjectOption("build_src_flags", ""))  # noqa: F821
standards = re.findall(r"-std=\S+", src_flags)[-1:] or ["-std=gnu++17"]
for source in sources:
    standard = standards if source.endswith(".cpp") else []
    built = env.Object(  # noqa: F821
        target=os.path.join("$BUILD_DIR", "model", source + ".o"),
        source=str(folder / source),
        CPPPATH=["$PROJECT_SRC_DIR", *include, "$HIL_LIBRARY_INCLUDES"],
        _CPPDEFFLAGS=" ".join(["$_HIL_DEFFLAGS", *flags, *standard]),
        _HIL_DEFFLAGS=DEFINES,
    )
    env.Append(PIOBUILDFILES=[built])  # noqa: F821
