"""Chooses the sources of a TFLM tree that a model needs: to compile all takes five minutes.

A tree is upstream's checkout, or what its `create_tflm_tree.py` exports. A checkout also has the
code of other platforms, tests, tools and examples, and keeps libraries of others in `DOWNLOADS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.firmware.tflm import kernel_name

_MICRO = "tensorflow/lite/micro"
KERNELS = f"{_MICRO}/kernels"
DOWNLOADS = f"{_MICRO}/tools/make/downloads"
REQUIRED = ("flatbuffers", "gemmlowp", "ruy")
"""The libraries of others that TFLM's own headers include."""

_OPTIMIZED = f"{KERNELS}/cmsis_nn"
_SIGNAL = ("signal/micro/kernels", "signal/src", "signal/src/kiss_fft_wrappers")
THIRD_PARTY = {
    "flatbuffers": ("include/flatbuffers/flatbuffers.h", ("include",)),
    "gemmlowp": ("fixedpoint/fixedpoint.h", ("",)),
    "ruy": ("ruy/profiler/instrumentation.h", ("",)),
    "kissfft": ("kiss_fft.h", ("",)),
    "cmsis_nn": ("Source", ("", "Include")),
    "cmsis": ("CMSIS/Core/Include", ("CMSIS/Core/Include",)),
}
"""Libraries of others, with a file or folder to know each by, and its include folders. A checkout
also has folders of the same names with build rules alone."""

# What upstream's Makefile takes. Log and time differ by target: runtime/tflm_log.cpp has our log,
# and nothing here needs the time.
_CORE = (
    "+<tensorflow/lite/*.c*>",
    "+<tensorflow/lite/c/>",
    "+<tensorflow/lite/core/>",
    "+<tensorflow/lite/kernels/>",
    "+<tensorflow/lite/schema/>",
    "+<tensorflow/compiler/mlir/lite/>",
    f"+<{_MICRO}/*.c*>",
    f"+<{_MICRO}/arena_allocator/>",
    f"+<{_MICRO}/compression/>",
    f"+<{_MICRO}/memory_planner/>",
    f"+<{_MICRO}/tflite_bridge/>",
    "-<tensorflow/**/*test*>",
    "-<tensorflow/**/*mock*>",
    "-<tensorflow/**/*fake*>",
    f"-<{_MICRO}/debug_log.c*>",
    f"-<{_MICRO}/micro_time.c*>",
    f"-<{_MICRO}/system_setup.c*>",
)
_ALWAYS = (f"{KERNELS}/kernel_util", f"{KERNELS}/micro_tensor_utils")
_HEADER = re.compile(rf'#include "((?:{KERNELS}|signal)/[\w/]+)\.h"')
_REGISTERED = re.compile(r"\bRegister_(\w+)\(\)\s*{")
_CMSIS_NN = re.compile(r"^(?:[A-Za-z_][\w \*]*?\b)?(arm_\w+)\(|^const \w+ (\w+)\[", re.MULTILINE)
"""What a source of CMSIS-NN defines: functions, and tables of constants."""


def third_party(root: Path, name: str) -> Path | None:
    """Folder of a library of others in a tree; None if the tree comes without it."""
    known_by, _ = THIRD_PARTY[name]
    folders = (root / "third_party" / name, root / DOWNLOADS / name)
    return next((folder for folder in folders if (folder / known_by).exists()), None)


def includes(root: Path) -> list[Path]:
    """The include folders of a tree: its own, and those of the libraries that it comes with."""
    found = [root]
    for name, (_, folders) in THIRD_PARTY.items():
        folder = third_party(root, name)
        found += [folder / inner for inner in folders if folder and (folder / inner).is_dir()]
    return found


def is_optimized(root: Path) -> bool:
    """Whether a tree has kernels by CMSIS-NN, and CMSIS-NN itself."""
    return (root / _OPTIMIZED).is_dir() and third_party(root, "cmsis_nn") is not None


def source_filter(root: Path, operators: tuple[str, ...], *, plain: bool = False) -> list[str]:
    """PlatformIO's srcFilter for a source tree: TFLM's core and the kernels of `operators`.

    CMSIS-NN's kernel replaces the reference kernel of the same name where the tree has it, unless
    `plain`.
    """
    sources = _kernels(root, plain=plain)
    texts = {stem: path.read_text(errors="replace") for stem, path in sources.items()}
    chosen = sorted(_kernel_closure(root, texts, operators))
    files = [sources[stem] for stem in chosen]
    files += _cmsis_nn_closure(root, [texts[stem] for stem in chosen])
    return [*_CORE, *(f"+<{path.relative_to(root).as_posix()}>" for path in files)]


def missing_kernels(
    root: Path, operators: tuple[str, ...], *, plain: bool = False
) -> tuple[str, ...]:
    """Those of `operators` that no source of a tree registers."""
    texts = (path.read_text(errors="replace") for path in _kernels(root, plain=plain).values())
    there = {name for text in texts for name in _REGISTERED.findall(text)}
    return tuple(operator for operator in operators if kernel_name(operator) not in there)


def _kernels(root: Path, *, plain: bool = False) -> dict[str, Path]:
    """Sources of kernels and of what they call, by path without suffix, tests left out.

    A kernel by CMSIS-NN goes by the path of the reference kernel that it replaces.
    """
    return {
        f"{folder.removesuffix('/cmsis_nn')}/{path.stem}": path
        for folder in (
            KERNELS,
            *_SIGNAL,
            *(() if plain or not is_optimized(root) else (_OPTIMIZED,)),
        )
        for path in sorted((root / folder).glob("*.c*"))
        if "test" not in path.stem
    }


def _kernel_closure(root: Path, texts: dict[str, str], operators: tuple[str, ...]) -> set[str]:
    """Names of the sources that register the operators, and of those they include."""
    wanted = set(map(kernel_name, operators))
    left = [stem for stem, text in texts.items() if wanted & set(_REGISTERED.findall(text))]
    left += [stem for stem in _ALWAYS if stem in texts]
    chosen: set[str] = set()
    while left:
        stem = left.pop()
        if stem in chosen:
            continue
        chosen.add(stem)
        text = texts[stem]
        header = root / f"{stem}.h"
        if header.is_file():
            text += header.read_text(errors="replace")
        for name in _HEADER.findall(text):
            left += _behind(root, name, texts)
    return chosen


def _behind(root: Path, header: str, texts: dict[str, str]) -> Iterator[str]:
    """The sources that a header stands for.

    They begin with its name, and have no header of their own: `conv.h` is for `conv` and
    `conv_common`, and `fft_auto_scale_kernel.h` for `fft_auto_scale_common` too.
    """
    prefix = f"{header.removesuffix('_kernel')}_"
    for stem in texts:
        if stem == header:
            yield stem
        elif stem.startswith(prefix) and not (root / f"{stem}.h").is_file():
            yield stem


def _cmsis_nn_closure(root: Path, texts: list[str]) -> list[Path]:
    """The files of CMSIS-NN with what sources call or read, directly or through others."""
    folder = third_party(root, "cmsis_nn")
    files = {
        path: path.read_text(errors="replace")
        for path in (sorted((folder / "Source").rglob("*.c")) if folder else ())
    }
    defined = {
        function or table: path
        for path, text in files.items()
        for function, table in _CMSIS_NN.findall(text)
    }
    chosen: set[Path] = set()
    left = list(texts)
    while left:
        named = set(re.findall(r"\b[A-Za-z_]\w+", left.pop())) & set(defined)
        for path in {defined[name] for name in named} - chosen:
            chosen.add(path)
            left.append(files[path])
    return sorted(chosen)
