"""PlatformIO `post:` script: write compiler and flags to $BUILD_DIR/provenance.json.

Only flags that change the code: no include paths, warnings, debug information or names. So two
clones and two machines write the same.
"""

import json
import os
import re
import subprocess

Import("env")  # noqa: F821 (given by SCons)

# Switches of kernel libraries and interpreters. The cores' own defines say what the board is.
DEFINES = re.compile(
    r"NDEBUG$|TF_LITE_|CMSIS_NN|ARM_NN_|ARM_MATH_|ESP_NN|CONFIG_NN_|KERNELS_OPTIMIZED_|BKNN_|BAKENN_"
)
# Followed by an argument of their own.
PAIRS = ("-include", "-imacros", "-isystem", "-iprefix", "-iquote", "-idirafter", "-I", "-x")
SILENT = re.compile(r"-(W(?!a,)|w$|c$|g|I|i|M|pipe$|fdiagnostics|fmessage|f\w+-prefix-map|D|U)|@")


def words(value):
    """A flag variable's words, with what SCons refers to filled in."""
    found = []
    for item in env.Flatten(value):  # noqa: F821
        found += str(env.subst(str(item))).split()  # noqa: F821
    return found


def code_flags(value):
    """Those of a flag variable that change the code."""
    kept, skip = [], False
    for word in words(value):
        if not skip and not SILENT.match(word) and "/" not in word and word not in PAIRS:
            kept.append(word)
        skip = word in PAIRS
    return kept


def code_defines(scope):
    """The defines of an environment that choose kernels, as compiler flags."""
    found = []
    for item in scope.get("CPPDEFINES", []):
        pair = item if isinstance(item, (tuple, list)) else (item,)
        name = "=".join(str(part) for part in pair)
        if DEFINES.match(name):
            found.append(f"-D{name}")
    flags = [
        word for name in ("CCFLAGS", "CFLAGS", "CXXFLAGS") for word in words(scope.get(name, []))
    ]
    return found + [word for word in flags if word[:2] == "-D" and DEFINES.match(word[2:])]


def merged(lists):
    """All items once, in the order of their first appearance."""
    return list(dict.fromkeys(item for items in lists for item in items))


# Libraries are compiled with flags of their own on top, and so is the generated model.
built = [lib.env for lib in env.GetLibBuilders() if lib.is_built]  # noqa: F821
scopes = [env, *built]  # noqa: F821
defines = merged([*map(code_defines, scopes), env.get("HIL_MODEL_DEFINES", [])])  # noqa: F821
parts = {
    "": merged(code_flags(scope.get("CCFLAGS", [])) for scope in scopes),
    "C:": merged(code_flags(scope.get("CFLAGS", [])) for scope in scopes),
    "C++:": merged(code_flags(scope.get("CXXFLAGS", [])) for scope in scopes),
    "defines:": sorted(defines),
}
compiler = env.subst("$CC")  # noqa: F821
version = subprocess.run(
    [compiler, "-dumpfullversion"],
    env={**os.environ, **env["ENV"]},  # noqa: F821
    stdout=subprocess.PIPE,
    text=True,
    check=True,
).stdout.strip()
name = os.path.basename(compiler)
folder = env.subst("$BUILD_DIR")  # noqa: F821
os.makedirs(folder, exist_ok=True)
with open(os.path.join(folder, "provenance.json"), "w", encoding="utf-8") as file:
    json.dump(
        {
            "compiler": f"{name[:-4] if name.endswith('.exe') else name} {version}",
            "flags": " ".join(
                " ".join([key, *flags]).strip() for key, flags in parts.items() if flags
            ),
        },
        file,
    )
