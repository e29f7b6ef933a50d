"""Counting the instructions of an invoke on an emulated board, by a plugin that QEMU loads.

The plugin is `counting.c`, compiled by this machine's compiler once for each version of QEMU.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness.errors import RigError, ToolMissing, Where
from harness.files import write_atomic
from harness.firmware.functions import CodeMap, code_map
from harness.measure.counts import MOST_BYTES, CountsError, InvokeCounts, parse_counts
from harness.process import run_told
from harness.text import printable

INVOKE = "_ZN7runtime6InvokeEv"
"""`runtime::Invoke()`: what is counted, from its first instruction to its return."""

SOURCE = Path(__file__).with_suffix(".c")
COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-std=c11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden")
_MAGIC = 0x464C4948
_COMPILE_S = 60.0
_VERSION_S = 10.0
_FIRST_OTHER_MAJOR = 9
"""From QEMU 9.0 on, plugins have another interface."""


@cache
def plugin_version(qemu: str) -> str:
    """The version of a QEMU that loads this plugin.

    Raises:
        ToolMissing: it was built without plugins, or has another interface for them.
    """
    # The option is looked at before the version is printed; the file only when a machine starts.
    command = [qemu, "-plugin", "none,fd=0", "-version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_VERSION_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RigError(f"cannot run {printable(qemu)} -version: {error}") from error
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", done.stdout)
    if done.returncode or found is None:
        raise _without_plugins(f"QEMU with plugins ({printable(done.stderr.strip())})", qemu)
    if int(found[1]) >= _FIRST_OTHER_MAJOR:
        raise _without_plugins(
            f"QEMU before {_FIRST_OTHER_MAJOR}.0 (this is {printable(found[0])})", qemu
        )
    return ".".join(found.groups())


def _without_plugins(what: str, qemu: str) -> ToolMissing:
    package = "qemu-system-misc" if "riscv" in Path(qemu).name else "qemu-system-arm"
    return ToolMissing(
        what,
        needed_for="counting the instructions of functions",
        install=f"sudo apt-get install {package}: Debian 12's QEMU 7.2 loads plugins",
    )


def compiled_plugin(folder: Path, qemu: str) -> Path:
    """The plugin as a shared library in `folder`, compiled unless it is there already, and whole.

    Raises:
        ToolMissing: no compiler, or a QEMU that cannot load it.
        RigError: it does not compile, or the folder cannot be written.
    """
    source = SOURCE.read_bytes()
    key = f"{plugin_version(qemu)} {platform.machine()} {_FLAGS}\n".encode() + source
    name = f"counting-{_digest(key)}"
    kept = (path for path in folder.glob(f"{name}-*.so") if _is_whole(path))
    return next(kept, None) or _compile(folder, name)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _is_whole(path: Path) -> bool:
    """Whether a kept library is as it was compiled: its name ends with its digest."""
    try:
        return path.stem.rpartition("-")[2] == _digest(path.read_bytes())
    except OSError:
        return False


def _compile(folder: Path, name: str) -> Path:
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise ToolMissing(
            f"a C compiler ({', '.join(COMPILERS)})",
            needed_for="counting the instructions of functions",
            install="sudo apt-get install gcc libc6-dev",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="hil-plugin-") as making:
            made = Path(making, "counting.so")
            command = [compiler, *_FLAGS, "-o", str(made), str(SOURCE)]
            status, said = run_told(command, timeout_s=_COMPILE_S)
            if status:
                raise RigError(
                    f"{compiler} does not compile QEMU's plugin {SOURCE.name}: {printable(said)}",
                    hint="It needs the C library's headers: sudo apt-get install gcc libc6-dev",
                )
            content = made.read_bytes()
        place = folder / f"{name}-{_digest(content)}.so"
        write_atomic(place, content)
        return place
    except subprocess.TimeoutExpired as error:
        raise RigError(f"{compiler} took more than {_COMPILE_S:g} s for {SOURCE.name}") from error
    except OSError as error:
        raise RigError(
            f"cannot keep QEMU's plugin in {folder}: {error.strerror or error}",
            hint="Make room, or name another state folder with HIL_STATE_DIR.",
        ) from error


class InvokeCounter:
    """Counts the invokes of one emulator: pass `option` and `fd` to it, then `read`.

    Args:
        plugin: as `compiled_plugin` returns it.
        code: of the firmware that it runs.
        fd: a file that it inherits, opened for reading and writing.
    """

    def __init__(self, plugin: Path, code: CodeMap, fd: int, *, where: Where) -> None:
        self.code = code
        self.fd = fd
        self._plugin = plugin
        self._where = where

    @property
    def option(self) -> tuple[str, ...]:
        """For QEMU's command line, where a comma in a value is doubled."""
        path = str(self._plugin).replace(",", ",,")
        return ("-plugin", f"file={path},fd={self.fd}")

    def read(self) -> InvokeCounts:
        """The counts of the last invoke that is over.

        Raises:
            RigError: none is, or it has more functions than can be counted.
        """
        size = min(os.fstat(self.fd).st_size, MOST_BYTES)
        try:
            return parse_counts(os.pread(self.fd, size, 0))
        except CountsError as error:
            raise RigError(f"QEMU's plugin: {error}", where=self._where) from error


@contextmanager
def counting(elf: Path, folder: Path, qemu: str, *, where: Where) -> Iterator[InvokeCounter]:
    """A counter for an emulator that is about to be started with a firmware.

    Args:
        folder: where the compiled plugin is kept.

    Raises:
        ToolMissing, RigError: as `compiled_plugin`; or the firmware has no symbol INVOKE.
    """
    code = code_map(elf)
    entry = code.address_of(INVOKE)
    if entry is None:
        raise RigError(
            f"the firmware has no symbol {INVOKE}, so that an invoke cannot be told from the rest",
            where=where,
            hint=f"Is {printable(str(elf))} stripped, or not built by this harness?",
        )
    plugin = compiled_plugin(folder, qemu)
    with tempfile.TemporaryFile(prefix="hil-counts-", buffering=0) as file:
        file.write(_asked(code, entry))
        file.seek(0)
        yield InvokeCounter(plugin, code, file.fileno(), where=where)


def _asked(code: CodeMap, entry: int) -> bytes:
    ranges = [address for item in code.functions for address in (item.address, item.end)]
    words = (_MAGIC, entry, len(code.functions), len(code.handlers), *ranges, *code.handlers)
    return struct.pack(f"<{len(words)}I", *words)
