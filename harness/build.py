"""Firmware builds by PlatformIO, cached by content."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock

from harness import codegen, codegen_aot, codegen_tflm
from harness.arena import ArenaPlan, plan_arena
from harness.board.registry import Board
from harness.codegen_aot import generate_aot
from harness.codegen_tflm import generate_tflm
from harness.errors import (
    BuildFailed,
    HilError,
    MissingKernel,
    RigError,
    TooLarge,
    ToolMissing,
    Where,
)
from harness.files import write_whole
from harness.footprint import MemoryByOwner
from harness.library import (
    Library,
    find_library,
    is_bare,
    pinned_library,
    work_name,
    write_override,
)
from harness.memory import elf_areas, memory_by_owner
from harness.model import graph
from harness.model.artifact import Artifact
from harness.model.graph import Step, steps_of, steps_text
from harness.process import run_logged
from harness.progress import Progress, unseen
from harness.project import Project
from harness.support import refuse_unsupported
from harness.toolchain import arm_gcc_version, seed_scons

FIRST_ERRORS = 5
PROVENANCE = "provenance.json"
"""Written by firmware/provenance.py."""
STEPS = "steps.json"
# What upload tools read, as far as a platform makes it.
UPLOADED = (
    *("firmware.elf", "firmware.bin", "firmware.hex", "firmware.uf2"),
    *("bootloader.bin", "partitions.bin"),
)
_ERROR_LINE = re.compile(
    r"(error:|undefined reference|ld: .*(overflow|cannot)|fatal error|Error: |^\*\*\* )"
)
_OVERFLOW = re.compile(r"region `(?P<region>\w+)' overflowed by (?P<bytes>\d+) bytes")
_FLASH_REGION = re.compile(r"CODE|FLASH|ROM|irom|drom", re.IGNORECASE)
_SIZE_CHECK = re.compile(
    r"The (?P<what>program|data) size \((?P<needed>\d+) bytes\) is greater than maximum allowed "
    r"\((?P<available>\d+) bytes\)"
)
_NO_METHOD = re.compile(r"has no member named ['‘](Add\w+)['’]")
_INSTALLING = re.compile(r"(?P<kind>\w+) Manager: Installing (?P<package>.+)")
_NOT_FETCHED = re.compile(r"HTTPClientError|InternetConnectionError|UnknownPackageError")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the ELF that takes memory; `in_flash` and `in_ram` are both true for .data."""

    name: str
    size_bytes: int
    in_flash: bool
    in_ram: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """A built firmware. `build_id` (16 bytes in hex) is the content hash that HELLO repeats.

    `compiler` and `flags` are what PlatformIO really used for code that is measured, without paths
    and names, so that two clones agree. `library` and `arena` are those of the `tflm` runtime, None
    for another. `steps` are what a firmware built for profiling tells the times of; other firmware
    tells none.
    """

    elf: Path
    build_id: str
    runtime: str
    sections: tuple[Section, ...]
    compiler: str
    flags: str
    library: Library | None = None
    arena: ArenaPlan | None = None
    steps: tuple[Step, ...] = ()

    @property
    def flash_bytes(self) -> int:
        """Code, constants and initial values."""
        return flash_bytes(self.sections)

    @property
    def ram_bytes(self) -> int:
        """Variables and reserved stack."""
        return ram_bytes(self.sections)

    @property
    def memory(self) -> MemoryByOwner:
        """Both by owner, from the ELF's symbols."""
        return memory_by_owner(self.elf)


def flash_bytes(sections: tuple[Section, ...]) -> int:
    """Size of what is in flash."""
    return sum(section.size_bytes for section in sections if section.in_flash)


def ram_bytes(sections: tuple[Section, ...]) -> int:
    """Size of what is in RAM."""
    return sum(section.size_bytes for section in sections if section.in_ram)


def elf_sections(elf: Path) -> tuple[Section, ...]:
    """Allocated sections of an ELF file, in file order."""
    return tuple(
        Section(
            name=area.name,
            size_bytes=area.size_bytes,
            in_flash=area.in_flash,
            in_ram=area.in_ram,
        )
        for area in elf_areas(elf)
    )


def _tree_digest(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def build_id(
    project: Project,
    board: Board,
    runtime: str,
    artifact: Artifact,
    library: Library | None = None,
    arena: ArenaPlan | None = None,
    profile: bool = False,
) -> str:
    """Content hash, 16 bytes in hex, of everything that goes into the firmware."""
    generators = (codegen, graph, codegen_tflm if runtime == "tflm" else codegen_aot)
    parts = (
        _tree_digest(project.firmware),
        (project.root / "platformio.ini").read_text(),
        *(inspect.getsource(module) for module in generators),
        repr(replace(board, id=board.kind)),
        runtime,
        artifact.sha256,
        codegen_aot.AOT_VERSION,
        f"{library} {library.digest}" if library else "",
        f"arena {arena.size_bytes}" if arena else "",
        f"platformio {importlib.metadata.version('platformio')}",
        f"gcc {arm_gcc_version()}" if board.emulator else "",
        "profile" if profile else "",
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def first_errors(log: str) -> list[str]:
    """The first lines of a build log that say what went wrong; its last lines if none do."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return [line for line in lines if _ERROR_LINE.search(line)][:FIRST_ERRORS] or lines[-5:]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A firmware to be built. `library` and `arena` are for the `tflm` runtime."""

    board: Board
    runtime: str
    artifact: Artifact
    library: Library | None = None
    arena: ArenaPlan | None = None
    profile: bool = False

    @property
    def env(self) -> str:
        """PlatformIO's environment."""
        return self.board.env[self.runtime]

    @property
    def work_name(self) -> str:
        """Of the working folder: PlatformIO wipes it when libraries or flags change."""
        name = work_name(self.env, self.library)
        return f"{name}-profile" if self.profile else name

    @property
    def where(self) -> Where:
        """For errors."""
        return Where(board=self.board.id, model=self.artifact.name)


def too_large(board: Board, where: Where, *, flash_bytes: int, ram_bytes: int) -> TooLarge | None:
    """The error for a firmware that does not fit its board; None for one that does."""
    for memory, needed, available in (
        ("flash", flash_bytes, board.flash_bytes),
        ("RAM", ram_bytes, board.ram_bytes),
    ):
        if available is not None and needed > available:
            return TooLarge(where=where, memory=memory, needed=needed, available=available)
    return None


def explain_failure(log: str, job: Job, log_file: str) -> HilError:
    """What a failed build's log says: too large, a kernel or library that is missing, or a bug."""
    board = job.board
    for match in _OVERFLOW.finditer(log):
        flash = _FLASH_REGION.search(match["region"]) is not None
        available = board.flash_bytes if flash else board.ram_bytes
        if available is not None:
            return TooLarge(
                where=job.where,
                memory="flash" if flash else "RAM",
                needed=available + int(match["bytes"]),
                available=available,
            )
    checked = _SIZE_CHECK.search(log)
    if checked:
        return TooLarge(
            where=job.where,
            memory="flash" if checked["what"] == "program" else "RAM",
            needed=int(checked["needed"]),
            available=int(checked["available"]),
        )
    methods = set(_NO_METHOD.findall(log))
    missing = [
        name
        for name in dict.fromkeys(job.artifact.operators)
        if codegen_tflm.resolver_method(name) in methods
    ]
    if missing and job.library:
        return MissingKernel(where=job.where, operators=tuple(missing), library=str(job.library))
    if _NOT_FETCHED.search(log):
        lacking = _not_fetched(log, job)
        if lacking:
            return lacking
    return BuildFailed(where=job.where, first_errors=first_errors(log), log=log_file)


def _not_fetched(log: str, job: Job) -> ToolMissing | None:
    """What PlatformIO was installing when the network failed it."""
    tried = [match for match in _INSTALLING.finditer(log)]
    if tried and tried[-1]["kind"] != "Library":
        return ToolMissing(
            f"PlatformIO's package {tried[-1]['package'].strip()}",
            needed_for=f"firmware for {job.board.id}",
            install="connect to a network once, or copy platformio/ of the state folder of a rig "
            "that has it (docs/rig.md)",
        )
    if job.library and not job.library.folder:
        return ToolMissing(
            str(job.library),
            needed_for=f"runtime tflm on {job.board.id}",
            install="connect to a network, or name a folder that holds it: --hil-tflm DIR",
        )
    return None


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
    working folder (with TFLM from a folder, one for each), so that a new model recompiles only the
    model.

    Args:
        tflm: folder of the TFLM library, instead of the one that the environment pins.
        arena_bytes: capacity of the `tflm` arena, instead of the one planned from the model.
        check_support: refuse models that the runtime is known to compute wrongly.
        progress: told of a build, and of waiting for another one.
        profile: firmware that tells the time and the output of each operator. Other firmware
            carries nothing of it, so that its latency is the model's alone.
    """

    def __init__(
        self,
        project: Project,
        *,
        tflm: Path | None = None,
        arena_bytes: int | None = None,
        check_support: bool = True,
        progress: Progress = unseen,
        profile: bool = False,
    ) -> None:
        self._project = project
        self._progress = progress
        self._tflm = tflm
        self._arena_bytes = arena_bytes
        self._check_support = check_support
        self._profile = profile

    def build(self, board: Board, runtime: str, artifact: Artifact) -> Firmware:
        """The firmware for a board, runtime and model, built now or found.

        Raises:
            ModelError: the runtime cannot run the model, or the board has no room for it.
            ToolMissing: no cross compiler, or a library that cannot be fetched.
            BuildFailed: PlatformIO or the compiler failed.
        """
        if runtime not in board.env:
            raise RigError(f"board {board.id} has no PlatformIO environment for {runtime}")
        job = self._job(board, runtime, artifact)
        identity = build_id(
            self._project, board, runtime, artifact, job.library, job.arena, job.profile
        )
        kept = self._project.state / "firmware" / identity
        if not (kept / "firmware.json").is_file():
            work = self._project.state / "build" / job.work_name
            work.mkdir(parents=True, exist_ok=True)
            with self._alone(work, job):
                if not (kept / "firmware.json").is_file():
                    self._build(job, identity, work, kept)
        return self._load(kept, identity, job)

    @contextmanager
    def _alone(self, work: Path, job: Job) -> Iterator[None]:
        lock = FileLock(work / "lock")
        with self._progress(f"{job.board.id}: waiting for another build"):
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _job(self, board: Board, runtime: str, artifact: Artifact) -> Job:
        job = Job(board=board, runtime=runtime, artifact=artifact, profile=self._profile)
        if runtime != "tflm":
            refuse_unsupported(artifact, board, runtime)
            return job
        if self._tflm:
            library = find_library(self._tflm, self._project.state / "libraries")
        else:
            library = pinned_library((self._project.root / "platformio.ini").read_text(), job.env)
        if self._check_support:
            refuse_unsupported(artifact, board, runtime, library.cannot)
        refused = too_large(board, job.where, flash_bytes=len(artifact.content), ram_bytes=0)
        if refused:
            raise refused
        if self._arena_bytes is None:
            arena = plan_arena(artifact)
        else:
            arena = ArenaPlan(size_bytes=self._arena_bytes, source="as asked for")
        return replace(job, library=library, arena=arena)

    def _load(self, kept: Path, identity: str, job: Job) -> Firmware:
        sections = json.loads((kept / "firmware.json").read_text())
        provenance = json.loads((kept / PROVENANCE).read_text())
        return Firmware(
            elf=kept / "firmware.elf",
            build_id=identity,
            runtime=job.runtime,
            sections=tuple(Section(**section) for section in sections),
            compiler=provenance["compiler"],
            flags=provenance["flags"],
            library=job.library,
            arena=job.arena,
            steps=steps_of((kept / STEPS).read_text()) if job.profile else (),
        )

    def _build(self, job: Job, identity: str, work: Path, kept: Path) -> None:
        with tempfile.TemporaryDirectory(dir=work, prefix="model-") as fresh:
            steps = generate(job, identity, Path(fresh))
            _sync(Path(fresh), work / "model")
        self._run_pio(job, work)
        elf = work / "pio" / "build" / job.env / "firmware.elf"
        sections = elf_sections(elf)
        refused = too_large(
            job.board, job.where, flash_bytes=flash_bytes(sections), ram_bytes=ram_bytes(sections)
        )
        if refused:
            raise refused
        kept.mkdir(parents=True, exist_ok=True)
        for name in (*UPLOADED, PROVENANCE):
            if elf.with_name(name).is_file():
                shutil.copy2(elf.with_name(name), kept / name)
        (kept / STEPS).write_text(steps_text(steps))
        # Written last: its presence says that the folder is whole.
        listed = json.dumps([asdict(section) for section in sections], indent=1)
        write_whole(kept / "firmware.json", listed.encode())

    def _run_pio(self, job: Job, work: Path) -> None:
        environment = pio_environment(self._project, work, work / "model")
        if job.library and job.library.folder:
            graph = codegen_tflm.distinct_operators(job.artifact)
            override = write_override(job.env, job.library, graph, work)
            environment["HIL_PIO_CONFIG"] = str(override)
        flags = ["-D HIL_PROFILE"] if job.profile else []
        if job.library:
            ini = (self._project.root / "platformio.ini").read_text()
            flags += job.library.build_flags(bare=is_bare(ini, job.env))
        if flags:
            environment["PLATFORMIO_BUILD_FLAGS"] = " ".join(flags)
        seed_scons(Path(environment["PLATFORMIO_CORE_DIR"]))
        command = [sys.executable, "-m", "platformio", "run", "-e", job.env]
        log = work / "build.log"
        status, said = run_logged(
            [*command, "-d", str(self._project.root)],
            log,
            environment=environment,
            progress=self._progress,
            what=f"{job.board.id}: building",
        )
        if status:
            raise explain_failure(said, job, str(log))


def generate(job: Job, identity: str, folder: Path) -> tuple[Step, ...]:
    """Write the generated model sources of a job into an empty folder; the steps to be profiled."""
    if job.library and job.arena:
        return generate_tflm(
            job.artifact,
            arena_bytes=job.arena.size_bytes,
            version=str(job.library),
            build_id=identity,
            folder=folder,
            profile=job.profile,
        )
    return generate_aot(
        job.artifact, job.board, build_id=identity, folder=folder, profile=job.profile
    )
