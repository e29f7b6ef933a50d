"""Build with a compiler of the system, or the one in the folder that its variable names.

toolchains.json says what each is called, and that variable.
"""

import json
import os
import re
import shutil
import subprocess
import sys

from SCons.Script import COMMAND_LINE_TARGETS, AlwaysBuild, Default, DefaultEnvironment

# There is no heap: whatever calls these ends in port/bare_heap.cpp, which says so.
ALLOCATORS = ("malloc", "calloc", "realloc", "free", "memalign")
ALLOCATORS = (*ALLOCATORS, *(f"_{name}_r" for name in ALLOCATORS))

env = DefaultEnvironment()
board = env.BoardConfig()

here = env.PioPlatform().get_dir()
with open(os.path.join(here, "toolchains.json"), encoding="utf-8") as file:
    toolchains = json.load(file)
name = board.get("build.toolchain", "arm-none-eabi")
toolchain = toolchains[name]
variable, packages = toolchain["folder"], toolchain["packages"]
found = shutil.which(f"{name}-g++", path=os.environ.get(variable) or None)
if found is None:
    sys.stderr.write(
        f"Error: {name}-g++ not found. Install it (Debian: {packages}) or set {variable}\n"
    )
    env.Exit(1)
prefix = os.path.join(os.path.dirname(found), f"{name}-")
machine = board.get("build.machine_flags")

env.Replace(
    AR=prefix + "gcc-ar",
    AS=prefix + "gcc",
    CC=prefix + "gcc",
    CXX=prefix + "g++",
    LINK=prefix + toolchain["linker"],
    RANLIB=prefix + "gcc-ranlib",
    SIZETOOL=prefix + "size",
    SIZEPROGREGEXP=r"^(?:\.vectors|\.text|\.rodata|\.ARM\.exidx|\.init_array|\.data)\s+(\d+)",
    SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.stack)\s+(\d+)",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
)
env.Append(
    ASFLAGS=machine,
    CCFLAGS=[*machine, *toolchain["flags"], "-O2", "-g", "-ffunction-sections", "-fdata-sections"],
    CFLAGS=["-std=c11"],
    CXXFLAGS=["-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"],
    LINKFLAGS=[
        *machine,
        *toolchain["flags"],
        *toolchain["link_flags"],
        "-nostartfiles",
        "-Wl,--gc-sections",
        "-Wl,--fatal-warnings",
        *(f"-Wl,--wrap={name}" for name in ALLOCATORS),
        f"-Wl,--defsym=STACK_SIZE={board.get('build.stack_bytes')}",
    ],
    LIBS=["m"],
)
# What the board's memory leaves for it: the ring of received bytes and both buffers follow from it.
env.Append(SRC_BUILD_FLAGS=[f"-DHIL_MAX_PAYLOAD={board.get('build.max_payload')}"])
if machine_header := board.get("build.machine_header", ""):
    env.Append(CPPDEFINES=[("HIL_MACHINE", env.StringifyMacro(machine_header))])
env.Replace(LDSCRIPT_PATH=os.path.join(here, board.get("build.ldscript")))


def cpp_headers(named):
    """Folders with the headers of a C++ library: ours, or those of another toolchain's compiler.

    A compiler without a C++ library takes what is in headers alone from one of the same GCC, for a
    CPU with types of the same sizes and for the same C library.
    """
    if named not in toolchains:
        return [os.path.join(here, named)]
    variable, packages = toolchains[named]["folder"], toolchains[named]["packages"]
    lender = shutil.which(f"{named}-g++", path=os.environ.get(variable) or None)
    if lender is None:
        sys.stderr.write(
            f"Error: {named}-g++ not found, whose C++ headers {name}-g++ takes. "
            f"Install it (Debian: {packages}) or set {variable}\n"
        )
        env.Exit(1)
    versions = [
        subprocess.run([gcc, "-dumpversion"], capture_output=True, text=True, check=True).stdout
        for gcc in (lender, found)
    ]
    if len({version.partition(".")[0].strip() for version in versions}) > 1:
        said = " and ".join(version.strip() for version in versions)
        sys.stderr.write(f"Error: {named}-g++ and {name}-g++ are of different GCCs: {said}\n")
        env.Exit(1)
    asked = [lender, "-xc++", "-E", "-v", os.devnull]
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stderr
    return re.findall(r"^ (\S*/c\+\+/\S*)$", listed, re.MULTILINE)


for folder in cpp_headers(headers) if (headers := board.get("build.cpp_headers", "")) else []:
    env.Append(CXXFLAGS=["-isystem", folder])
env.Append(LIBPATH=[here])  # Where a linker script finds those that it includes.

# TFLM as an Arduino library keeps what needs the core in a file that nothing else refers to.
env.AddBuildMiddleware(lambda env, node: None, "*/peripherals/*_arduino.cpp")

built = "nobuild" in COMMAND_LINE_TARGETS
program = "$BUILD_DIR/${PROGNAME}.elf" if built else env.BuildProgram()
AlwaysBuild(env.Alias("nobuild", program))
size = env.Alias("checkprogsize", program, env.VerboseAction(env.CheckUploadSize, "Checking size"))
AlwaysBuild(size)

target = board.get("upload.pyocd_target", "")
if target:
    command = f'"$PYTHONEXE" -m pyocd load --no-wait --target {target} $UPLOAD_FLAGS "$SOURCE"'
    env.Replace(UPLOADCMD=command)
    upload = env.Alias("upload", program, env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE"))
    AlwaysBuild(upload)
Default([program, size])
