"""Compiled objects by the content that they were made from, for all builds of PlatformIO.

An object is found again by what its compiler is, by the words of its command line that decide the
code, and by the whole preprocessed source: every header as it was included, every macro as it was
filled in. Nothing is guessed from names or times of files. `scons_objects.py` asks.

Every entry says what it is an object of and carries a digest of both: an entry that is damaged, cut
short or put in the place of another one is removed, and the source is compiled.

This file is also loaded by SCons, without the rest of the harness: it imports the standard library
alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

VARIABLE = "HIL_OBJECT_CACHE"
OFF = "off"

MOST_BYTES = 500_000_000
"""Of all objects. Those of one TFLite Micro firmware take 30 MB, of an `aot` firmware 1 MB."""

IDLE_S = 30 * 86_400.0
"""Objects that nothing asked for in this time are removed."""

LARGEST_BYTES = 64_000_000
"""Larger objects are not kept."""

UNFINISHED_S = 3600.0
"""A part that was written longer ago is what a killed build left."""

CLOCK_STEP_NS = 50_000_000
"""Times of files are those of the kernel's clock, which ticks a hundred times in a second."""

_MAGIC = b"hil object 1\n"
_PART = ".part"
_DIGEST = 32

Places = Sequence[tuple[str, str]]
"""Folders and what the compiler is to call them; of several that match the last one counts."""

# These decide what the preprocessor writes, where, and nothing else.
_PAIRS = (
    *("-o", "-I", "-D", "-U", "-isystem", "-iquote", "-idirafter", "-include", "-imacros"),
    *("-iprefix", "-iwithprefix", "-iwithprefixbefore", "-MF", "-MT", "-MQ"),
)
_JOINED = tuple(word for word in _PAIRS if word != "-o")
_DEPENDENCIES = re.compile(r"-M(M|D|MD|P|G|F.*|T.*|Q.*)?$")
# They read or write more than the source and the object, or there is nothing to preprocess.
_REFUSED = re.compile(
    r"-(E|S|P|###|save-temps.*|coverage|ftest-coverage|fprofile-.*|fauto-profile.*|gsplit-dwarf"
    r"|fstack-usage|fcallgraph-info.*|fdump-.*|d[A-Z].*|fplugin.*|wrapper|aux-info|Wa,.*|Xassembler"
    r"|fmodules.*|fpch-.*|include-pch|B.*)$|--?specs=|--coverage$|@"
)
_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".C")
_LINE = re.compile(rb'^# \d+ "((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
# The assembler reads more files.
_READS = re.compile(rb"\.\s*inc(bin|lude)\b")

# Of the environment, beside what the preprocessor looks at.
_VARIABLES = ("COMPILER_PATH", "GCC_EXEC_PREFIX", "GCC_COMPARE_DEBUG")


def expanded(words: Sequence[str], folder: Path) -> list[str] | None:
    """A command with the words of the files that it names as `@file`; None if one is not there.

    Args:
        folder: that relative names belong to.
    """
    found: list[str] = []
    for word in words:
        if not word.startswith("@"):
            found.append(word)
            continue
        try:
            found += shlex.split((folder / word[1:]).read_text())
        except (OSError, ValueError):
            return None
    return found


def preprocessing(words: Sequence[str]) -> list[str] | None:
    """The command that preprocesses what another one compiles; None if it is not to be kept.

    Args:
        words: of a command of GCC, as for `execve`.
    """
    if "-c" not in words or sum(word.endswith(_SOURCES) for word in _plain(words)) != 1:
        return None
    if any(_REFUSED.match(word) for word in words[1:]):
        return None
    kept, skip = [], False
    for word in words:
        if not skip and word not in ("-c", "-o") and not _DEPENDENCIES.match(word):
            kept.append(word)
        skip = not skip and word in ("-o", "-MF", "-MT", "-MQ")
    return [*kept, "-E"]


def _plain(words: Sequence[str]) -> Iterator[str]:
    """Words that stand for themselves, without those that belong to an option."""
    skip = True  # The compiler.
    for word in words:
        if not skip and not word.startswith("-"):
            yield word
        skip = not skip and word in _PAIRS


def deciding(words: Sequence[str], ours: Iterable[str]) -> list[str]:
    """Words of a compiler's command that decide the code of what is preprocessed already.

    Args:
        ours: words that say what folders are to be called; `key_of` has their effect.
    """
    left_out = {*ours, *_plain(words)}
    kept, skip = [], True
    for word in words:
        joined = word.startswith(_JOINED) or _DEPENDENCIES.match(word)
        if not skip and not joined and word not in ("-c", "-o") and word not in left_out:
            kept.append(word)
        skip = not skip and word in _PAIRS
    return kept


def prefix_maps(places: Places) -> list[str]:
    """Words by which GCC calls folders by other names: no object says where it was compiled."""
    return [f"-ffile-prefix-map={folder}={name}" for folder, name in places]


def renamed(path: bytes, places: Places) -> bytes:
    """A path as the compiler writes it under `prefix_maps`."""
    for folder, name in reversed(places):
        if path.startswith(old := os.fsencode(folder)):
            return os.fsencode(name) + path[len(old) :]
    return path


def files_of(text: bytes) -> set[bytes]:
    """The files that a preprocessed source was made of."""
    named = {match[1].replace(b"\\\\", b"\\") for match in _LINE.finditer(text)}
    return {name for name in named if not name.startswith(b"<") and not name.endswith(b"//")}


def key_of(
    compiler: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    text: bytes,
    places: Places,
) -> str | None:
    """What an object is kept by; None if more decides it than is given here.

    Args:
        compiler: a digest of all programs that it consists of.
        words: see `deciding`.
        text: the preprocessed source.
    """
    if _READS.search(text):
        return None

    def line(match: re.Match[bytes]) -> bytes:
        start = match.start(1) - match.start()
        return match[0][:start] + renamed(match[1], places) + b'"'

    said = [f"{name}={environment.get(name, '')}" for name in _VARIABLES]
    digest = hashlib.sha256("\0".join((compiler, *said, *words, "")).encode(errors="replace"))
    digest.update(_LINE.sub(line, text))
    return digest.hexdigest()


def changed_since(files: Iterable[bytes], folder: Path, since_ns: int) -> bool:
    """Whether a file was written since, so that it is not known which state of it was compiled.

    Args:
        folder: that relative names belong to.
        since_ns: by the clock of `time.time_ns`.
    """
    for name in files:
        path = os.path.join(os.fsencode(folder), name)
        try:
            found = os.stat(path)
        except OSError:
            return True
        # The time of a file can be set at will, that of its change cannot.
        if max(found.st_mtime_ns, found.st_ctime_ns) >= since_ns - CLOCK_STEP_NS:
            return True
        if os.path.exists(path + b".gch"):
            return True
    return False


def load(folder: Path, key: str) -> bytes | None:
    """An object that was kept, from now on used; None if there is none, or it is damaged."""
    place = _place(folder, key)
    try:
        entry = place.read_bytes()
        content = _content(entry, key)
        if content is None:
            place.unlink(missing_ok=True)
        else:
            os.utime(place)
    except OSError:
        return None
    return content


def keep(folder: Path, key: str, content: bytes) -> bool:
    """Keep an object, in one step; return False where it could not be: builds do not need it."""
    if len(content) > LARGEST_BYTES:
        return False
    place = _place(folder, key)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=place.parent, suffix=_PART)
    except OSError:
        return False
    try:
        with open(handle, "wb") as file:
            file.write(_MAGIC + _digest(key, content) + zlib.compress(content, 1))
        os.replace(part, place)
    except OSError:
        with suppress(OSError):
            os.unlink(part)
        return False
    return True


def _place(folder: Path, key: str) -> Path:
    return folder / key[:2] / key[2:]


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()


def _content(entry: bytes, key: str) -> bytes | None:
    start = len(_MAGIC) + _DIGEST
    if entry[: len(_MAGIC)] != _MAGIC:
        return None
    packed = zlib.decompressobj()
    try:
        content = packed.decompress(entry[start:], LARGEST_BYTES + 1)
    except zlib.error:
        return None
    return content if _digest(key, content) == entry[len(_MAGIC) : start] else None


def folder_of(state: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where objects are kept; None if they are not to be."""
    said = environment.get(VARIABLE, "")
    if said == OFF:
        return None
    return Path(said).absolute() if said else state / "objects"


def prune(
    folder: Path,
    *,
    most_bytes: int = MOST_BYTES,
    idle_s: float = IDLE_S,
    clock: Callable[[], float] = time.time,
) -> int:
    """Remove objects not used for long, and beyond a size those used least recently.

    Other processes may use the folder meanwhile. Nothing but entries and their parts is removed.

    Returns:
        How many were removed.
    """
    now = clock()
    found, removed = [], 0
    for path, part in _entries(folder):
        with suppress(OSError):
            about = path.stat()
            if about.st_mtime < now - (UNFINISHED_S if part else idle_s):
                path.unlink()
                removed += 1
            elif not part:
                found.append((about.st_mtime, about.st_size, path))
    over = sum(size for _, size, _ in found) - most_bytes
    for _, size, path in sorted(found):
        if over <= 0:
            break
        with suppress(OSError):
            path.unlink()
            removed += 1
        over -= size
    return removed


_NAME = re.compile(r"[0-9a-f]{62}$")


def _entries(folder: Path) -> Iterator[tuple[Path, bool]]:
    """All entries and parts of entries; for a part the second is true."""
    for first in range(256):
        with suppress(OSError), os.scandir(folder / f"{first:02x}") as inner:
            for entry in inner:
                part = entry.name.endswith(_PART)
                if part or _NAME.match(entry.name):
                    yield Path(entry.path), part
