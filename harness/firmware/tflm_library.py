"""Finds the TFLM library, in a folder or pinned in platformio.ini, and prepares it for PlatformIO.

A folder holds either a library in PlatformIO's form (`library.json` or `library.properties`), or a
source tree: a checkout of upstream, or what its `create_tflm_tree.py` exports. For a tree a
`library.json` is written.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import toml
from harness.errors import RigError
from harness.firmware.support import LSTM_STATE, PER_CHANNEL_DENSE
from harness.firmware.tflm_sources import (
    DOWNLOADS,
    KERNELS,
    REQUIRED,
    THIRD_PARTY,
    includes,
    is_optimized,
    missing_kernels,
    source_filter,
    third_party,
)
from harness.firmware.toolchain import TOOLCHAINS
from harness.project import Project
from harness.text import printable

LIBRARIES_FILE = Path(__file__).with_name("libraries.toml")
EXPORT = "tensorflow/lite/micro/tools/project_generation/create_tflm_tree.py"
FETCH = "make -f tensorflow/lite/micro/tools/make/Makefile third_party_downloads"

_INTERPRETER = "tensorflow/lite/micro/micro_interpreter.h"
_DOWNLOADED = len(DOWNLOADS.split("/"))
_MANIFESTS = ("library.json", "library.properties")
_SUFFIXES = {".c", ".cc", ".cpp", ".h", ".S", *(Path(name).suffix for name in _MANIFESTS)}
_DEFINES = ("-DTF_LITE_STATIC_MEMORY",)
_CMSIS_NN_DEFINES = ("-DCMSIS_NN", "-DARM_NN_ENABLE_F16=0", "-DARM_NN_ENABLE_F32=0")
_HELIUM_DEFINES = ("-DKERNELS_OPTIMIZED_FOR_SPEED",)
"""What upstream's Makefile defines unless it is told otherwise. Only kernels with Helium ask for
it: SVDF refuses without, and FULLY_CONNECTED sums its weights at each inference."""
_PIN = re.compile(r"(?:[\w.-]+/)?(?P<name>[\w.-]+)@(?P<version>[\w.+-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A TFLM library.

    `folder` is None for a library that platformio.ini pins and PlatformIO fetches. `root` is the
    folder that contains `tensorflow/`. `wrapped`: a source tree without a manifest. `digest` covers
    all sources, and is empty for a pinned library. `cannot` lists what it computes wrongly, see
    `harness.firmware.support`. `arduino`: it needs macros of the Arduino core. `plain`: of a source
    tree the reference kernels are taken also where it has CMSIS-NN's. `helium`: the core has it.
    """

    name: str
    version: str
    cannot: tuple[str, ...]
    folder: Path | None = None
    root: Path | None = None
    wrapped: bool = False
    arduino: bool = False
    plain: bool = False
    helium: bool = False
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
        folders = (f"-I{folder}" for folder in includes(self.root))
        return (*_DEFINES, *self.kernel_defines, *folders)

    @property
    def kernel_defines(self) -> tuple[str, ...]:
        """Macros by which a source tree's optimized kernels are taken, as compiler flags."""
        if not self.optimized:
            return ()
        return (*_CMSIS_NN_DEFINES, *(_HELIUM_DEFINES if self.helium else ()))

    @property
    def optimized(self) -> bool:
        """Whether a source tree's kernels by CMSIS-NN are taken."""
        return not self.plain and self.root is not None and is_optimized(self.root)

    def missing_kernels(self, operators: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `operators` that a source tree lacks; of another library it is not known."""
        if not self.wrapped or self.root is None:
            return ()
        return missing_kernels(self.root, operators, plain=self.plain)


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
            hint="Pin one as owner/name@version, or name a folder: --hil-tflm=DIR",
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


def headers_from(ini: str, env: str) -> str:
    """The cross compiler whose C++ headers an environment takes; empty for its own compiler's.

    Args:
        ini: text of platformio.ini.
    """
    lender = option_of(ini, env, "board_build.cpp_headers")
    return lender if lender in TOOLCHAINS else ""


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


# To SCons, the shell that it calls or an ini file.
_NO_PATH = re.compile(r"""[^ -~\w]|[$`"';&|<>!#%\\*?{}]""")


def find_library(folder: Path, cache: Path) -> Library:
    """The TFLM library in a folder.

    Args:
        cache: folder for digests, so that unchanged sources are not read again.

    Raises:
        RigError: there is none, or it is incomplete (the text says which file is missing), or its
            path has characters that mean something to PlatformIO or a shell.
    """
    if _NO_PATH.search(str(folder)):
        raise RigError(
            f"the TFLM folder {printable(str(folder))!r} cannot be given to PlatformIO",
            hint="It would read characters of its path as code: name it by a plain link to it.",
        )
    roots = [root for root in (folder, folder / "src") if (root / _INTERPRETER).is_file()]
    if not roots:
        raise RigError(
            f"no TFLM library in {folder}: neither it nor its src/ has {_INTERPRETER}",
            hint="Name a folder with a PlatformIO or Arduino library of TensorFlow Lite Micro, or "
            f"a tree that upstream's {EXPORT} made.",
        )
    root = roots[0]
    wrapped = not any((folder / name).is_file() for name in _MANIFESTS)
    lacking = [name for name in REQUIRED if wrapped and third_party(root, name) is None]
    if lacking:
        raise RigError(
            f"the TFLM sources in {folder} come without {' and '.join(lacking)}, neither in "
            f"third_party nor in {DOWNLOADS}",
            hint=f"In a checkout of tflite-micro run {FETCH}, or {EXPORT}, which makes a tree with "
            "all that they need.",
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
        for source in (root / KERNELS).glob(pattern)
        if word not in source.read_text(errors="replace")
    )


def _digest(folder: Path, cache: Path) -> str:
    """Digest of names and contents; files are read again only if a name, size or time changed."""
    paths = sorted(path for path in _files(folder) if path.suffix in _SUFFIXES)
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


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, but of a checkout's downloads only those that TFLM includes.

    They also hold compilers and emulators.
    """
    for path in folder.rglob("*"):
        inner = path.relative_to(folder).as_posix()
        if not inner.startswith(f"{DOWNLOADS}/") or inner.split("/")[_DOWNLOADED] in THIRD_PARTY:
            yield path


def _key(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def work_name(env: str, library: Library | None) -> str:
    """Name of an environment's working folder: one per library, or PlatformIO would wipe it."""
    return f"{env}-{_key(library.folder)}" if library and library.folder else env


def write_wrapper(library: Library, operators: tuple[str, ...], folder: Path) -> Path:
    """Write a manifest that makes a source tree a PlatformIO library.

    Args:
        operators: their kernels are compiled, others are not.

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
            "srcFilter": source_filter(library.root, operators, plain=library.plain),
            "flags": ["-std=gnu++17", "-DNDEBUG", "-w"],
            "libLDFMode": "off",
        },
    }
    _write_if_changed(folder / "library.json", json.dumps(manifest, indent=1))
    return folder


def library_sources(library: Library, operators: tuple[str, ...]) -> tuple[Path, ...]:
    """The files of a source tree that PlatformIO would compile by `write_wrapper`'s manifest."""
    if library.root is None or not library.wrapped:
        raise ValueError(f"{library} is no source tree")
    from platformio.fs import match_src_files

    names = match_src_files(
        str(library.root),
        source_filter(library.root, operators, plain=library.plain),
        ("c", "cc", "cpp"),
    )
    return tuple(library.root / name for name in names)


def write_override(env: str, library: Library, operators: tuple[str, ...], folder: Path) -> Path:
    """Write a PlatformIO configuration by which an environment uses a library from a folder."""
    named = write_wrapper(library, operators, folder / "library")
    return write_config(folder / "library.ini", f"[env:{env}]\nlib_deps = symlink://{named}\n")


def write_config(path: Path, text: str) -> Path:
    """Write a file for PlatformIO, which compiles anew what depends on a file that was touched."""
    _write_if_changed(path, text)
    return path


def _write_if_changed(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
