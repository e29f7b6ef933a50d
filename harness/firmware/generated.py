"""What a runtime of a distribution generates, once for both build id and build.

A firmware's id is of all that is compiled, and is itself compiled in. So the code is generated with
another id in its place, and the firmware's is written over that one.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.files import tree_digest
from harness.firmware.c_source import c_bytes
from harness.firmware.platformio import Job
from harness.model.graph import Step

Generate = Callable[[Job, str, Path], tuple[Step, ...]]

PLACEHOLDER = hashlib.sha256(b"in the place of a build id").hexdigest()[:32]
MOST_KEPT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Files by their paths in the folder, and the steps of an inference; `by` made them."""

    by: Generate
    files: tuple[tuple[str, bytes], ...]
    steps: tuple[Step, ...]
    digest: str

    def write(self, identity: str, folder: Path) -> bool:
        """Write the files with a build id; false where they show no place for one."""
        filled = {name: _filled(content, identity) for name, content in self.files}
        if filled == dict(self.files):
            return False
        for name, content in filled.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return True


_made: OrderedDict[tuple[object, ...], Generated] = OrderedDict()


def generated(job: Job, own: Generate, generate: Generate) -> Generated:
    """What `generate` writes for a job; from memory where it did so before in this process.

    Args:
        own: the distribution's function, which tells two of the same job apart.
    """
    key = _key(job, own)
    found = _made.pop(key, None) or _generated(job, own, generate)
    _made[key] = found
    while len(_made) > MOST_KEPT:
        _made.popitem(last=False)
    return found


def generated_once(own: Generate, generate: Generate) -> Generate:
    """A function that writes what was generated for the build id, where that is known."""

    def write(job: Job, identity: str, folder: Path) -> tuple[Step, ...]:
        found = _made.get(_key(job, own))
        if found is not None and found.write(identity, folder):
            return found.steps
        return generate(job, identity, folder)

    return write


def _key(job: Job, own: Generate) -> tuple[object, ...]:
    model = job.artifact
    # Its functions stay the same ones as long as they are kept here.
    return (
        *(id(own), job.runtime, repr(job.board), model.name, model.sha256, job.profile),
        *(repr(job.marking), repr(job.arena), str(job.library)),
        None if job.swap is None else job.swap.identity,
    )


def _generated(job: Job, own: Generate, generate: Generate) -> Generated:
    with tempfile.TemporaryDirectory(prefix="hil-") as name:
        folder = Path(name)
        steps = generate(job, PLACEHOLDER, folder)
        files = tuple(
            (path.relative_to(folder).as_posix(), path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        )
        return Generated(by=own, files=files, steps=steps, digest=tree_digest(folder))


def _filled(content: bytes, identity: str) -> bytes:
    """With the id as `write_model` writes it, and as text."""
    for spelled in (str, lambda text: c_bytes(bytes.fromhex(text))):
        content = content.replace(spelled(PLACEHOLDER).encode(), spelled(identity).encode())
    return content
