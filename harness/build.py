"""Firmware builds by PlatformIO, cached by content."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from filelock import FileLock

from harness import codegen
from harness.artifact import Artifact
from harness.board import Board
from harness.errors import BuildFailed, RigError, Where
from harness.project import Project
from harness.support import refuse_unsupported
from harness.toolchain import arm_gcc_version, seed_scons

FIRST_ERRORS = 5
# What upload tools read, as far as a platform makes it.
UPLOADED = (
    *("firmware.elf", "firmware.bin", "firmware.hex", "firmware.uf2"),
    *("bootloader.bin", "partitions.bin"),
)
_ERROR_LINE = re.compile(
    r"(error:|undefined reference|ld: .*(overflow|cannot)|fatal error|Error: )"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the ELF that takes memory; `in_flash` and `in_ram` are both true for .data."""

    name: str
    size_bytes: int
    in_flash: bool
    in_ram: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """A built firmware. `build_id` (16 bytes in hex) is the content hash that HELLO repeats."""

    elf: Path
    build_id: str
    runtime: str
    sections: tuple[Section, ...]

    @property
    def flash_bytes(self) -> int:
        """Code, constants and initial values."""
        return sum(section.size_bytes for section in self.sections if section.in_flash)

    @property
    def ram_bytes(self) -> int:
        """Variables and reserved stack."""
        return sum(section.size_bytes for section in self.sections if section.in_ram)


def elf_sections(elf: Path) -> tuple[Section, ...]:
    """Allocated sections of an ELF file, in file order."""
    with elf.open("rb") as file:
        return tuple(
            Section(
                name=section.name,
                size_bytes=section["sh_size"],
                in_flash=section["sh_type"] != "SHT_NOBITS",
                in_ram=bool(section["sh_flags"] & SH_FLAGS.SHF_WRITE),
            )
            for section in ELFFile(file).iter_sections()
            if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_size"]
        )


def _tree_digest(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def build_id(project: Project, board: Board, runtime: str, artifact: Artifact) -> str:
    """Content hash, 16 bytes in hex, of everything that goes into the firmware."""
    parts = (
        _tree_digest(project.firmware),
        (project.root / "platformio.ini").read_text(),
        Path(codegen.__file__).read_text(),
        repr(replace(board, id=board.kind)),
        runtime,
        artifact.sha256,
        codegen.AOT_VERSION,
        f"platformio {importlib.metadata.version('platformio')}",
        f"gcc {arm_gcc_version()}" if board.emulator else "",
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def first_errors(log: str) -> list[str]:
    """The first lines of a build log that say what went wrong; its last lines if none do."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return [line for line in lines if _ERROR_LINE.search(line)][:FIRST_ERRORS] or lines[-5:]


def pio_environment(project: Project, work: Path, model_dir: Path) -> dict[str, str]:
    """Environment of a PlatformIO run in folders of the project's own, never the user's."""
    core_dir = project.state / "platformio"
    return {
        **os.environ,
        "PLATFORMIO_CORE_DIR": str(core_dir),
        "PLATFORMIO_WORKSPACE_DIR": str(work / "pio"),
        "PLATFORMIO_BUILD_DIR": str(work / "pio" / "build"),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_NO_ANSI": "true",
        "HIL_MODEL_DIR": str(model_dir),
    }


def _sync(source: Path, target: Path) -> None:
    """Make `target` equal to `source`, leaving files alone that are the same already."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for path in list(target.rglob("*")) if target.is_dir() else []:
        if path.is_file() and path.relative_to(target) not in wanted:
            path.unlink()
    for name in sorted(wanted):
        content = (source / name).read_bytes()
        if not (target / name).is_file() or (target / name).read_bytes() != content:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content)


class Builder:
    """Builds firmware of one project; equal inputs are built once.

    Finished firmware is kept in `state/firmware/BUILD_ID/`. Each PlatformIO environment has one
    working folder, so that a new model recompiles only the model.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def build(self, board: Board, runtime: str, artifact: Artifact) -> Firmware:
        """The firmware for a board, runtime and model, built now or found.

        Raises:
            ModelError: the runtime cannot run the model.
            ToolMissing: no cross compiler.
            BuildFailed: PlatformIO or the compiler failed.
        """
        refuse_unsupported(artifact, board, runtime)
        if runtime not in board.env:
            raise RigError(f"board {board.id} has no PlatformIO environment for {runtime}")
        identity = build_id(self._project, board, runtime, artifact)
        kept = self._project.state / "firmware" / identity
        if not (kept / "firmware.json").is_file():
            env = board.env[runtime]
            work = self._project.state / "build" / env
            work.mkdir(parents=True, exist_ok=True)
            with FileLock(work / "lock"):
                if not (kept / "firmware.json").is_file():
                    self._build(board, runtime, artifact, identity, work, kept)
        return self._load(kept, identity, runtime)

    def _load(self, kept: Path, identity: str, runtime: str) -> Firmware:
        sections = json.loads((kept / "firmware.json").read_text())
        return Firmware(
            elf=kept / "firmware.elf",
            build_id=identity,
            runtime=runtime,
            sections=tuple(Section(**section) for section in sections),
        )

    def _build(
        self, board: Board, runtime: str, artifact: Artifact, identity: str, work: Path, kept: Path
    ) -> None:
        with tempfile.TemporaryDirectory(dir=work, prefix="model-") as fresh:
            codegen.generate_aot(artifact, board, build_id=identity, folder=Path(fresh))
            _sync(Path(fresh), work / "model")
        self._run_pio(board, runtime, artifact, work)
        elf = work / "pio" / "build" / board.env[runtime] / "firmware.elf"
        kept.mkdir(parents=True, exist_ok=True)
        for name in UPLOADED:
            if elf.with_name(name).is_file():
                shutil.copy2(elf.with_name(name), kept / name)
        # Written last: its presence says that the folder is whole.
        part = kept / "firmware.json.part"
        part.write_text(json.dumps([asdict(section) for section in elf_sections(elf)], indent=1))
        part.rename(kept / "firmware.json")

    def _run_pio(self, board: Board, runtime: str, artifact: Artifact, work: Path) -> None:
        environment = pio_environment(self._project, work, work / "model")
        seed_scons(Path(environment["PLATFORMIO_CORE_DIR"]))
        command = [sys.executable, "-m", "platformio", "run", "-e", board.env[runtime]]
        done = subprocess.run(
            [*command, "-d", str(self._project.root)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        log = work / "build.log"
        log.write_text(done.stdout)
        if done.returncode:
            raise BuildFailed(
                where=Where(board=board.id, model=artifact.name),
                first_errors=first_errors(done.stdout),
                log=str(log),
            )
