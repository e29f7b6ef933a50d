"""Outputs that were computed so far, on disk: appended block by block, whole after any end.

A record is a header (first sample, how many, CRC-32 of header and outputs) and the outputs. Records
follow each other without gaps, so no sample can be there twice. What follows the last whole record,
as after a power cut, is dropped. Where samples depend on those before, a record holds whole
sequences, and `back_to` drops what ends within one.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from harness.errors import LockBusy, RigError
from harness.locks import held

FOLDER = "evaluations"
MOST_BYTES = 1 << 28
"""Of all outputs of a data set: they are held in memory when they are judged."""

KEPT = 64
"""Journals that stay on disk; older ones are removed."""

_MAGIC = b"HILEVAL1"
_RECORD = struct.Struct("<QII")
_LENGTH = struct.Struct("<II")
_MOST_HEAD = 1 << 16


class JournalTaken(RigError):
    """Another process has the journal."""


class Journal:
    """An open journal; `done` samples are in it. Made by `open_journal`.

    Set `finished` when nobody will resume it: it is removed when it is closed.
    """

    def __init__(self, file: IO[bytes], key: Mapping[str, str], size_bytes: int) -> None:
        self._file = file
        self._key = dict(key)
        self._size = size_bytes
        self.done = 0
        self.finished = False
        self.run = ""
        """Id of the run, 12 hex digits, the same after each resumption."""
        self._outputs = bytearray()
        self._begin = 0
        self._ends: list[tuple[int, int]] = []
        """After each record: samples so far, place in the file."""
        self._load()

    @property
    def outputs(self) -> bytes:
        """Outputs of all samples in it, one after the other."""
        return bytes(self._outputs)

    def append(self, outputs: bytes) -> None:
        """Add the outputs of the next samples, durably.

        Raises:
            RigError: they cannot be written.
        """
        count = len(outputs) // self._size
        head = _RECORD.pack(self.done, count, 0)
        crc = zlib.crc32(outputs, zlib.crc32(head))
        try:
            self._file.write(_RECORD.pack(self.done, count, crc) + outputs)
            self._sync()
        except OSError as error:
            raise RigError(f"cannot write the journal: {error.strerror}") from error
        self._keep(outputs)

    def back_to(self, whole: Callable[[int], bool]) -> int:
        """Drop the newest records until `whole` holds of the number of samples, or none is left.

        Returns:
            How many samples were dropped.
        """
        before = self.done
        while self.done and not whole(self.done):
            self._ends.pop()
            self.done, end = self._ends[-1] if self._ends else (0, self._begin)
            self._file.seek(end)
            self._file.truncate()
        del self._outputs[self.done * self._size :]
        return before - self.done

    def clear(self) -> None:
        """Forget everything and begin a new run."""
        self.done, self.run = 0, uuid.uuid4().hex[:12]
        self._outputs.clear()
        self._ends.clear()
        self._file.seek(0)
        self._file.truncate()
        head = json.dumps({"key": self._key, "run": self.run}).encode()
        self._file.write(_MAGIC + _LENGTH.pack(len(head), zlib.crc32(head)) + head)
        self._begin = self._file.tell()
        self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _load(self) -> None:
        """Read all whole records and cut what follows them; another journal is begun anew."""
        self._file.seek(0)
        if not self._read_head():
            self.clear()
            return
        self._begin = self._file.tell()
        while (outputs := self._read_record()) is not None:
            self._keep(outputs)
        self._file.seek(self._ends[-1][1] if self._ends else self._begin)
        self._file.truncate()

    def _keep(self, outputs: bytes) -> None:
        """A record was read or written up to the file's place."""
        self._outputs += outputs
        self.done += len(outputs) // self._size
        self._ends.append((self.done, self._file.tell()))

    def _read_head(self) -> bool:
        start = self._file.read(len(_MAGIC) + _LENGTH.size)
        if len(start) < len(_MAGIC) + _LENGTH.size or not start.startswith(_MAGIC):
            return False
        size, crc = _LENGTH.unpack(start[len(_MAGIC) :])
        head = self._file.read(size) if size <= _MOST_HEAD else b""
        if len(head) != size or zlib.crc32(head) != crc:
            return False
        try:
            said = json.loads(head)
            self.run = str(said["run"])[:12]
            return bool(said["key"] == self._key)
        except (ValueError, KeyError, TypeError, RecursionError):
            return False

    def _read_record(self) -> bytes | None:
        head = self._file.read(_RECORD.size)
        if len(head) < _RECORD.size:
            return None
        first, count, crc = _RECORD.unpack(head)
        if first != self.done or count == 0 or (first + count) * self._size > MOST_BYTES:
            return None
        outputs = self._file.read(count * self._size)
        bare = _RECORD.pack(first, count, 0)
        if len(outputs) < count * self._size or zlib.crc32(outputs, zlib.crc32(bare)) != crc:
            return None
        return outputs


@contextmanager
def open_journal(
    folder: Path, key: Mapping[str, str], size_bytes: int, *, restart: bool = False
) -> Iterator[Journal]:
    """Open the journal of `key` in a folder, or begin it; nobody else has it meanwhile.

    Args:
        key: all that outputs depend on; another key is another journal.
        size_bytes: of one sample's outputs.
        restart: forget what is in it.

    Raises:
        RigError: another process has it, or it cannot be written.
    """
    name = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:32]
    path = folder / f"{name}.journal"
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_oldest(folder, path)
            stack.enter_context(_held(path))
            journal = Journal(stack.enter_context(_opened(path)), key, size_bytes)
        except LockBusy as error:
            raise JournalTaken(
                "another process evaluates this data set on this board at the moment",
                hint=f"Wait for it, or stop it. Its journal: {path}",
            ) from error
        except OSError as error:
            raise RigError(f"cannot keep a journal in {folder}: {error.strerror}") from error
        if restart:
            journal.clear()
        yield journal
        if journal.finished:
            path.unlink(missing_ok=True)


def _held(path: Path) -> AbstractContextManager[int]:
    return held(Path(f"{path}.lock"), f"{path} is in use", timeout_s=0)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
    try:
        yield file
    finally:
        with suppress(OSError):  # What a full disk did not take was said when it was written.
            file.close()


def _remove_oldest(folder: Path, mine: Path) -> None:
    others = [path for path in folder.glob("*.journal") if path != mine]
    others.sort(key=lambda path: path.stat().st_mtime)
    for path in others[: max(0, len(others) - KEPT)]:
        with suppress(LockBusy), _held(path):
            path.unlink(missing_ok=True)
