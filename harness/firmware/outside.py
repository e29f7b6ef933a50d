"""Builds firmware that is not ours, by the command that its board names.

The harness writes the model's sources into a folder, runs the command, and takes the ELF file that
it leaves. The build id is among the model's sources, so that a file that was not built anew, or
without the model, is found out.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from subprocess import TimeoutExpired

from harness.board.own import BUILDING, OwnBuild, filled
from harness.errors import RigError
from harness.files import write_atomic
from harness.firmware.failure import explain_failure
from harness.firmware.platformio import MOST_S, Job
from harness.process import run
from harness.progress import Progress
from harness.project import Project
from harness.text import printable

MOST_INPUTS = 100_000
MOST_ELF_BYTES = 256 * 2**20
_MOST_LOG = 1_000_000
"""Bytes at the end of a log in which errors are looked for."""
_MOST_COMPILER = 60
_SALT = "elf.sha256"


class OutsideBuild:
    """One firmware of a project of the user's own.

    Args:
        work: folder that stays, for the model's sources and whatever the command leaves there.
    """

    def __init__(self, project: Project, job: Job, work: Path) -> None:
        assert job.board.build is not None, "the board names how it is built"
        self._own: OwnBuild = job.board.build
        self._job = job
        self._work = work
        self._folder = Path(job.board.home, self._own.project).absolute()
        values = (self._folder, work / "model", project.firmware, work / "out")
        words = (*map(str, values), job.board.id, job.runtime, sys.executable)
        self._values = dict(zip(BUILDING, words, strict=True))

    @property
    def model(self) -> Path:
        """Folder for the model's sources."""
        return self._work / "model"

    @property
    def cached(self) -> bool:
        """Whether the board says all that the build depends on."""
        return bool(self._own.inputs)

    def known(self) -> str:
        """What a firmware's content hash must hold beside what is the harness's own.

        Where the inputs are not declared it is the last outcome's hash, see `differs`.

        Raises:
            RigError: the inputs are no files, too many, or cannot be read.
        """
        own = repr((self._own.command, self._own.elf, self._own.inputs))
        if self.cached:
            return own + self._inputs_digest()
        salt = self._work / _SALT
        return own + (salt.read_text() if salt.is_file() else "")

    def differs(self, elf: bytes) -> None:
        """Note that the command made another file than the one kept with the same build id.

        The project has changed, unseen: the next `known` is another one, and so the build id, or a
        board would be believed to run the new firmware while it runs the old.
        """
        write_atomic(self._work / _SALT, hashlib.sha256(elf).hexdigest().encode())

    def _inputs_digest(self) -> str:
        found: set[Path] = set()
        for pattern in self._own.inputs:
            before = len(found)
            try:
                found |= {path for path in self._folder.glob(pattern) if path.is_file()}
            except (ValueError, NotImplementedError) as error:
                raise self._error(f"build.inputs: {pattern!r} is no pattern: {error}") from error
            if len(found) == before:
                raise self._error(f"build.inputs: no file more is like {pattern!r}")
            if len(found) > MOST_INPUTS:
                raise self._error(f"build.inputs: more than {MOST_INPUTS} files")
        digest = hashlib.sha256()
        for path in sorted(found):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise self._error(f"build.inputs: {path}: {error.strerror}") from error
            digest.update(f"{path.relative_to(self._folder)}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def run(self, *, progress: Progress, lock: int) -> bytes:
        """Run the command in the project's folder; returns the ELF file.

        Raises:
            RigError: there is no such folder, the command took longer than MOST_S, or left no ELF
                file.
            TooLarge, BuildFailed: it failed; the first errors of its log say why.
        """
        if not self._folder.is_dir():
            raise self._error(f"build.project: no folder {self._folder}")
        (self._work / "out").mkdir(exist_ok=True)
        log = self._work / "build.log"
        command = filled(self._own.command, self._values)
        what = f"{self._job.board.id}: building"
        try:
            with progress(what, None):
                status = run(
                    command,
                    log,
                    environment=self._environment(),
                    folder=self._folder,
                    timeout_s=MOST_S,
                    locks=[lock],
                )
        except TimeoutExpired as error:
            raise self._error(f"{what} took longer than {MOST_S:g} s", log) from error
        if status:
            raise explain_failure(_end_of(log), self._job, str(log))
        return self._elf(log)

    def _environment(self) -> dict[str, str]:
        """For a build that takes no arguments: the placeholders, as variables."""
        told = {
            "HIL_PROJECT_FOLDER": self._values["project"],
            "HIL_MODEL_DIR": self._values["model"],
            "HIL_FIRMWARE_DIR": self._values["firmware"],
            "HIL_BUILD_DIR": self._values["state"],
            "HIL_BOARD_ID": self._values["board"],
            "HIL_RUNTIME_ID": self._values["runtime"],
        }
        # What a make that runs the harness tells its children is not meant for another one.
        others = {key: value for key, value in os.environ.items() if key not in _MAKES}
        return {**others, **told, "HIL_PROFILING": "1" if self._job.profile else ""}

    def _elf(self, log: Path) -> bytes:
        path = self._folder / filled((self._own.elf,), self._values)[0]
        try:
            with path.open("rb") as file:
                content = file.read(MOST_ELF_BYTES + 1)
        except OSError as error:
            what = f"the build command ended well, but left no {path}: {error.strerror}"
            raise self._error(what, log) from error
        if content[:4] != b"\x7fELF" or len(content) > MOST_ELF_BYTES:
            raise self._error(f"{path} is no ELF file, or larger than {MOST_ELF_BYTES} bytes", log)
        return content

    def not_this_one(self) -> RigError:
        """The error for an ELF file without the build id that it was to have."""
        elf = filled((self._own.elf,), self._values)[0]
        return self._error(
            f"{elf} does not hold the model that it was built for",
            self._work / "build.log",
            f"Does the project compile the sources in {self.model}, and is {elf} what it links? "
            "The linker may also have left out kAotModel: the protocol library refers to it.",
        )

    def _error(self, what: str, log: Path | None = None, hint: str = "") -> RigError:
        full = f"Full log: {log}" if log else ""
        text = "\n".join(part for part in (hint, full) if part)
        return RigError(printable(what), where=self._job.where, hint=text)


_MAKES = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEFILES"}


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _MOST_LOG))
        return file.read(_MOST_LOG).decode(errors="replace")


def compiler_of(elf: Path) -> str:
    """What the compiler wrote of itself into an ELF file; `unknown` if nothing."""
    from harness.firmware.elf import opened_elf

    with opened_elf(elf) as file:
        section = file.get_section_by_name(".comment")
        said = section.data().split(b"\0")[0] if section else b""
    return printable(said.decode(errors="replace"), _MOST_COMPILER) or "unknown"
