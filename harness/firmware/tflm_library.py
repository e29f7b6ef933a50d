"""Finds the TFLM library, in a folder or pinned in platformio.ini, and prepares it for PlatformIO.

A folder holds either a library in PlatformIO's form (`library.json` or `library.properties`), or a
source tree as upstream's `create_tflm_tree.py` exports it. For a tree a `library.json` is written.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import toml
from harness.errors import RigError
from harness.firmware.support import LSTM_STATE, PER_CHANNEL_DENSE
from harness.firmware.tflm import resolver_method
from harness.project import Project

LIBRARIES_FILE = Path(__file__).with_name("libraries.toml")
EXPORT = "tensorflow/lite/micro/tools/project_generation/create_tflm_tree.py"

_INTERPRETER = "tensorflow/lite/micro/micro_interpreter.h"
_FLATBUFFERS = "third_party/flatbuffers/include/flatbuffers/flatbuffers.h"
_KERNELS = "tensorflow/lite/micro/kernels"
_MANIFESTS = ("library.json", "library.properties")
_SUFFIXES = {".c", ".cc", ".cpp", ".h", ".S", *(Path(name).suffix for name in _MANIFESTS)}
_INCLUDES = (
    ".",
    "third_party/flatbuffers/include",
    "third_party/gemmlowp",
    "third_party/kissfft",
    "third_party/ruy",
    "third_party/cmsis_nn",
    "third_party/cmsis_nn/Include",
    "third_party/cmsis/CMSIS/Core/Include",
)
_DEFINES = ("-DTF_LITE_STATIC_MEMORY",)
_CMSIS_NN_DEFINES = ("-DCMSIS_NN", "-DARM_NN_ENABLE_F16=0", "-DARM_NN_ENABLE_F32=0")
# TFLM's core. A checkout has programs, tests and other cores' files beside it. Log and time differ
# by target: runtime/tflm_log.cpp has our log, and nothing here needs the time.
_MICRO = "tensorflow/lite/micro"
_FILTER = (
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
_SIGNAL = ("signal/micro/kernels/*.cc", "signal/src/*.cc", "signal/src/kiss_fft_wrappers/*.cc")
"""Kernels of the signal operators and what they compute with: all, or none."""
_NO_KERNEL = re.compile(r"_test|_flexbuffers_generated_data|^test_|_testdata")
_ALWAYS = ("kernel_util", "micro_tensor_utils")
_KERNEL_HEADER = re.compile(r'#include "tensorflow/lite/micro/kernels/(\w+)\.h"')
_CMSIS_NN = re.compile(r"^(?:[A-Za-z_][\w \*]*?\b)?(arm_\w+)\(|^const \w+ (\w+)\[", re.MULTILINE)
"""What a source of CMSIS-NN defines: functions, and tables of constants."""
_PIN = re.compile(r"(?:[\w.-]+/)?(?P<name>[\w.-]+)@(?P<version>[\w.+-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A TFLM library.

    `folder` is None for a library that platformio.ini pins and PlatformIO fetches. `root` is the
    folder that contains `tensorflow/`. `wrapped`: a source tree without a manifest. `digest` covers
    all sources, and is empty for a pinned library. `cannot` lists what it computes wrongly, see
    `harness.firmware.support`. `arduino`: it needs macros of the Arduino core.
    """

    name: str
    version: str
    cannot: tuple[str, ...]
    folder: Path | None = None
    root: Path | None = None
    wrapped: bool = False
    arduino: bool = False
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def build_flags(self, *, bare: bool) -> tuple[str, ...]:
        """Flags for library, firmware and generated model alike.

        Args:
            bare: whether the environment has no framework, and so lacks the macros of the Arduino
                core by which Arduino libraries choose their optimized kernels.
        """
        if self.arduino and bare:
            return ("-DARDUINO=10819", "-DARDUINO_EXCLUDE_CODE")
        if not self.wrapped or self.root is None:
            return ()
        folders = (self.root / name for name in _INCLUDES)
        includes = (f"-I{folder}" for folder in folders if folder.is_dir())
        optimized = (self.root / _KERNELS / "cmsis_nn").is_dir()
        return (*_DEFINES, *(_CMSIS_NN_DEFINES if optimized else ()), *includes)


def pinned_library(ini: str, env: str, libraries: Path = LIBRARIES_FILE) -> Library:
    """The library that an environment's lib_deps pins.

    Args:
        ini: text of platformio.ini.
        libraries: what is known of libraries that can be pinned.

    Raises:
        RigError: it pins none, or the libraries file is wrong.
    """
    match = _PIN.search(option_of(ini, env, "lib_deps"))
    if match is None:
        raise RigError(
            f"environment {env} of platformio.ini pins no TFLM library in lib_deps",
            hint="Pin one as owner/name@version, or name a folder: --hil-tflm DIR",
        )
    pin = match.group(0).split("/")[-1]
    facts = _known_libraries(libraries).get(pin, _Facts())
    return Library(
        name=match["name"], version=match["version"], cannot=facts.cannot, arduino=facts.arduino
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    cannot: tuple[str, ...] = ()
    arduino: bool = False


def _known_libraries(path: Path) -> dict[str, _Facts]:
    """What a libraries file says of libraries, by name and version."""
    name = f"libraries file {path}"
    tables = toml.load(path, name)
    return {pin: toml.record(_Facts, tables[pin], name, (pin,)) for pin in tables}


def is_bare(ini: str, env: str) -> bool:
    """Whether an environment has no framework, such as Arduino's.

    Args:
        ini: text of platformio.ini.
    """
    return not option_of(ini, env, "framework")


def option_of(ini: str, env: str, option: str) -> str:
    """An environment's option, inherited or its own; empty if it has none.

    Args:
        ini: text of platformio.ini.
    """
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(ini)
    return _inherited(parser, f"env:{env}", option)


def _inherited(parser: configparser.RawConfigParser, section: str, option: str) -> str:
    if parser.has_option(section, option):
        return parser.get(section, option)
    parents = re.split(r"[,\s]+", parser.get(section, "extends", fallback=""))
    found = (_inherited(parser, parent, option) for parent in parents if parent)
    return next(filter(None, found), "")


def library_for(project: Project, env: str, folder: Path | None) -> Library:
    """The library that an environment is built with: from a folder, or the one that it pins.

    Raises:
        RigError: as `find_library` and `pinned_library`.
    """
    if folder is not None:
        return find_library(folder, project.state / "libraries")
    return pinned_library((project.root / "platformio.ini").read_text(), env)


def find_library(folder: Path, cache: Path) -> Library:
    """The TFLM library in a folder.

    Args:
        cache: folder for digests, so that unchanged sources are not read again.

    Raises:
        RigError: there is none, or it is incomplete; the text says which file is missing.
    """
    roots = [root for root in (folder, folder / "src") if (root / _INTERPRETER).is_file()]
    if not roots:
        raise RigError(
            f"no TFLM library in {folder}: neither it nor its src/ has {_INTERPRETER}",
            hint="Name a folder with a PlatformIO or Arduino library of TensorFlow Lite Micro, or "
            f"a tree that upstream's {EXPORT} made.",
        )
    root = roots[0]
    wrapped = not any((folder / name).is_file() for name in _MANIFESTS)
    if wrapped and not (root / _FLATBUFFERS).is_file():
        raise RigError(
            f"the TFLM sources in {folder} come without {_FLATBUFFERS}",
            hint=f"In a checkout of tflite-micro run {EXPORT}: it makes a tree with all they need.",
        )
    digest = _digest(folder, cache)
    name, version = ("tflite-micro tree", digest[:8]) if wrapped else _manifest(folder)
    return Library(
        name=name,
        version=version,
        cannot=_limits(root),
        folder=folder,
        root=root,
        wrapped=wrapped,
        arduino=(folder / "library.properties").is_file(),
        digest=digest,
    )


def _manifest(folder: Path) -> tuple[str, str]:
    described: dict[str, Any] = {}
    try:
        if (folder / "library.json").is_file():
            described = json.loads((folder / "library.json").read_text())
        else:
            lines = (folder / "library.properties").read_text().splitlines()
            described = dict(line.split("=", 1) for line in lines if "=" in line)
        return str(described["name"]), str(described["version"])
    except (ValueError, LookupError, TypeError) as error:
        raise RigError(
            f"the manifest of the library in {folder} is malformed: {error!r}"
        ) from error


def _limits(root: Path) -> tuple[str, ...]:
    """What kernels never mention: scales per channel of Dense layers, the hidden state of LSTMs."""
    wanted = (
        (PER_CHANNEL_DENSE, "fully_connected_common.c*", "per_channel"),
        (LSTM_STATE, "cmsis_nn/unidirectional_sequence_lstm.c*", "hidden_state"),
    )
    return tuple(
        limit
        for limit, pattern, word in wanted
        for source in (root / _KERNELS).glob(pattern)
        if word not in source.read_text(errors="replace")
    )


def _digest(folder: Path, cache: Path) -> str:
    """Digest of names and contents; files are read again only if a name, size or time changed."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    index = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        index.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    kept = cache / f"{_key(folder)}.json"
    if kept.is_file():
        known: dict[str, str] = json.loads(kept.read_text())
        if known["index"] == index.hexdigest():
            return known["digest"]
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode() + content)
    cache.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{digest.hexdigest()[:8]}.part")
    part.write_text(json.dumps({"index": index.hexdigest(), "digest": digest.hexdigest()}))
    part.rename(kept)
    return digest.hexdigest()


def _key(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def work_name(env: str, library: Library | None) -> str:
    """Name of an environment's working folder: one per library, or PlatformIO would wipe it."""
    return f"{env}-{_key(library.folder)}" if library and library.folder else env


def source_filter(root: Path, operators: tuple[str, ...]) -> list[str]:
    """PlatformIO's srcFilter for a source tree: TFLM's core and the kernels of `operators`.

    To compile all kernels would take five minutes. CMSIS-NN's kernel replaces the reference kernel
    of the same name where the tree has it.
    """
    sources = {
        path.stem: path
        for folder in (root / _KERNELS, root / _KERNELS / "cmsis_nn")
        for path in sorted(folder.glob("*.c*"))
        if not _NO_KERNEL.search(path.stem)
    }
    texts = {stem: path.read_text(errors="replace") for stem, path in sources.items()}
    registrations = _registrations(root, operators)
    chosen = _kernel_closure(root / _KERNELS, texts, registrations)
    files = [sources[stem] for stem in sorted(chosen)]
    files += _cmsis_nn_closure(root, [texts[stem] for stem in sorted(chosen)])
    files += _signal_sources(root, registrations)
    return [*_FILTER, *(f"+<{path.relative_to(root).as_posix()}>" for path in files)]


def _registrations(root: Path, operators: tuple[str, ...]) -> tuple[str, ...]:
    """Names X of the functions Register_X that a tree's resolver calls for the operators."""
    resolver = root / _MICRO / "micro_mutable_op_resolver.h"
    text = resolver.read_text(errors="replace") if resolver.is_file() else ""
    called = dict(_REGISTERED.findall(text))
    return tuple(called.get(resolver_method(operator), operator) for operator in operators)


_REGISTERED = re.compile(
    r"TfLiteStatus (Add\w+)\((?:(?!TfLiteStatus).)*?\bRegister_(\w+)\(", re.DOTALL
)
"""A method of the resolver, and the registration in its default argument or its body."""


def _registering(registrations: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\bRegister_(?:{'|'.join(registrations)})\(\)\s*{{")


def _signal_sources(root: Path, registrations: tuple[str, ...]) -> list[Path]:
    """The sources of all signal operators if the model uses one: they are few and short."""
    paths = [path for pattern in _SIGNAL for path in sorted(root.glob(pattern))]
    sources = [path for path in paths if not _NO_KERNEL.search(path.stem)]
    registers = _registering(registrations)
    used = any(registers.search(path.read_text(errors="replace")) for path in sources)
    return sources if used else []


def _kernel_closure(
    folder: Path, texts: dict[str, str], registrations: tuple[str, ...]
) -> set[str]:
    """Stems of the sources that register the operators, and of those they include.

    A header stands for the sources that begin with its name: `conv.h` for `conv` and `conv_common`.
    """
    registers = _registering(registrations)
    left = [stem for stem, text in texts.items() if registers.search(text)]
    left += [stem for stem in _ALWAYS if stem in texts]
    chosen: set[str] = set()
    while left:
        stem = left.pop()
        if stem in chosen:
            continue
        chosen.add(stem)
        text = texts[stem]
        header = folder / f"{stem}.h"
        if header.is_file():
            text += header.read_text(errors="replace")
        for name in _KERNEL_HEADER.findall(text):
            left += [other for other in texts if other == name or other.startswith(f"{name}_")]
    return chosen


def _cmsis_nn_closure(root: Path, texts: list[str]) -> list[Path]:
    """The files of CMSIS-NN with what sources call or read, directly or through others."""
    files = {
        path: path.read_text(errors="replace")
        for path in sorted((root / "third_party/cmsis_nn/Source").rglob("*.c"))
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


def write_wrapper(library: Library, operators: tuple[str, ...], folder: Path) -> Path:
    """Write a manifest that makes a source tree a PlatformIO library.

    Args:
        operators: as TFLM registers their kernels, which are compiled; others are not.

    Returns:
        The folder that lib_deps should name; for a library with a manifest that library's own.
    """
    if library.folder is None or library.root is None:
        raise ValueError(f"{library} has no folder")
    if not library.wrapped:
        return library.folder
    manifest = {
        "name": "tflite-micro",
        "version": "0.0.0",
        "build": {
            "srcDir": str(library.root),
            "srcFilter": source_filter(library.root, operators),
            "flags": ["-std=gnu++17", "-DNDEBUG", "-w"],
            "libLDFMode": "off",
        },
    }
    _write_if_changed(folder / "library.json", json.dumps(manifest, indent=1))
    return folder


def write_override(env: str, library: Library, operators: tuple[str, ...], folder: Path) -> Path:
    """Write a PlatformIO configuration by which an environment uses a library from a folder."""
    named = write_wrapper(library, operators, folder / "library")
    path = folder / "library.ini"
    _write_if_changed(path, f"[env:{env}]\nlib_deps = symlink://{named}\n")
    return path


def _write_if_changed(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
