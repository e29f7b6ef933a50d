"""Builds firmware with PlatformIO, and keeps it by the content that it was built from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.board.registry import Board
from harness.errors import MissingKernel, RigError, ToolMissing, Where
from harness.firmware import (
    aot,
    aot_fixed,
    aot_graph,
    aot_importer,
    aot_kernels,
    aot_memory,
    aot_own,
    aot_pass,
    aot_steps,
    c_source,
    tflm,
)
from harness.firmware import outside as outside_module
from harness.firmware.aot import generate_aot
from harness.firmware.aot_pass import prepare
from harness.firmware.arena import ArenaPlan, plan_arena
from harness.firmware.elf import elf_sections, memory_by_owner
from harness.firmware.failure import explain_failure, too_large
from harness.firmware.fetch import refuse_unfetchable
from harness.firmware.instructions import refuse_a32, refuse_for_core
from harness.firmware.kept import ELF, MOST, KeptBuilds, contains_id, notes_of
from harness.firmware.memory import MemoryByOwner, Section, flash_bytes, ram_bytes
from harness.firmware.outside import OutsideBuild, compiler_of, write_list
from harness.firmware.platformio import Job, pio_environment, refuse_paths, run_build, sync
from harness.firmware.steps import steps_of, steps_text
from harness.firmware.support import refuse_unsupported
from harness.firmware.tflm import generate_tflm
from harness.firmware.tflm_library import (
    Library,
    is_bare,
    library_for,
    write_override,
)
from harness.firmware.toolchain import TOOLCHAINS, gcc_version, seed_scons
from harness.firmware.workfolder import WorkFolder
from harness.model import flatbuffer, graph, subgraphs
from harness.model.artifact import Artifact
from harness.model.graph import Step
from harness.progress import Progress, no_progress
from harness.project import Project
from harness.terminal import say
from harness.text import counted

AOT_GENERATORS = (
    *(aot, aot_fixed, aot_graph, aot_importer, aot_kernels),
    *(aot_memory, aot_own, aot_pass, aot_steps),
)
"""Modules that decide which code is generated for `aot`."""

PROVENANCE = "provenance.json"
"""Written by firmware/provenance.py."""
OUTSIDE_FLAGS = "as the board's own build has them"
"""What is known of the flags of firmware that is not ours."""
STEPS = "steps.json"
# What upload tools read, as far as a platform makes it.
UPLOADED = (
    *(ELF, "firmware.bin", "firmware.hex", "firmware.uf2"),
    *("bootloader.bin", "partitions.bin"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """A built firmware. The board reports `build_id` (16 bytes in hex, a content hash) in HELLO.

    `compiler` and `flags` are those that PlatformIO used for the measured code, without paths and
    names, so that two clones agree. `library` and `arena` belong to the `tflm` runtime and are None
    for another. `steps` are the parts of an inference that a firmware built for profiling measures;
    other firmware has none.
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
        """Variables and reserved stack, without the heap."""
        return ram_bytes(self.sections)

    @property
    def memory(self) -> MemoryByOwner:
        """Flash and RAM by owner, from the symbols of the ELF file."""
        return memory_by_owner(self.elf)


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
    outside: str = "",
) -> str:
    """Hash, 16 bytes in hex, of everything that goes into the firmware.

    Args:
        outside: what is known of a project that is not ours.
    """
    own = board.build is None
    ini = (project.root / "platformio.ini").read_text() if own else outside
    env = board.env[runtime] if own else ""
    generators = (
        c_source,
        flatbuffer,
        subgraphs,
        graph,
        *((tflm,) if runtime == "tflm" else AOT_GENERATORS),
        *(() if own else (outside_module,)),
    )
    parts = (
        _tree_digest(project.firmware),
        ini,
        *(inspect.getsource(module) for module in generators),
        repr((board.kind, env, board.aot_target, board.core, runtime)),
        repr((board.flash_bytes, board.ram_bytes)),
        artifact.sha256,
        aot.AOT_VERSION,
        f"{library} {library.digest}" if library else "",
        f"arena {arena.size_bytes}" if arena else "",
        f"platformio {importlib.metadata.version('platformio')}",
        f"gcc {gcc_version(board.toolchain)}" if own and is_bare(ini, env) else "",
        "profile" if profile else "",
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


class Builder:
    """Builds the firmware of one project; equal inputs are built once.

    Finished firmware is kept in `state/firmware/BUILD_ID/`, see `harness.firmware.kept`. Each
    PlatformIO environment has one working folder (with TFLM from a folder, one for each), so that
    a new model recompiles only the model.

    Args:
        tflm: folder of a TFLM library, instead of the one that the environment pins.
        arena_bytes: size of the `tflm` arena, instead of the one planned for the model.
        check_support: refuse models that the runtime is known to compute wrongly.
        progress: shows a build, and the wait for another one to end.
        profile: build firmware that measures each step of an inference and sends its output. Other
            firmware has no such code, so that its latency is the model's alone.
    """

    def __init__(
        self,
        project: Project,
        *,
        tflm: Path | None = None,
        arena_bytes: int | None = None,
        check_support: bool = True,
        progress: Progress = no_progress,
        profile: bool = False,
    ) -> None:
        self._project = project
        self._kept = KeptBuilds(project.state / "firmware")
        self._progress = progress
        self._tflm = tflm
        self._arena_bytes = arena_bytes
        self._check_support = check_support
        self._profile = profile

    def build(self, board: Board, runtime: str, artifact: Artifact) -> Firmware:
        """Build the firmware for a board, runtime and model, or find it built before.

        Raises:
            ModelError: the runtime cannot run the model, or the board has no room for it.
            ToolMissing: no cross compiler, or a library that cannot be fetched.
            BuildFailed: PlatformIO, the compiler or the board's own command failed.
            AlienCode, CoreLacks: what they made holds code that the CPU cannot execute.
        """
        if board.build is not None:
            return self._outside(self._job(board, runtime, artifact))
        if runtime not in board.env:
            raise RigError(f"board {board.id} has no PlatformIO environment for {runtime}")
        job = self._job(board, runtime, artifact)
        identity = self._identity(job)
        found = self._kept.find(identity)
        if found is None:
            if job.library is None:
                prepare(artifact.content, where=job.where)
            found = self._built(job, identity)
        return self._load(found, identity, job)

    def _outside(self, job: Job) -> Firmware:
        """Firmware that is not ours, by the board's own command."""
        work = WorkFolder(self._project.state / "build" / job.work_name, "")
        made = OutsideBuild(self._project, job, work.folder)
        with work.alone(where=job.where, progress=self._progress) as lock:
            identity = self._identity(job, made.known())
            kept = self._kept.find(identity)
            if kept is None or not made.cached:
                steps, elf = self._run_outside(job, identity, made, lock)
                if kept is not None and (kept / ELF).read_bytes() != elf:
                    made.differs(elf)
                    identity, kept = self._identity(job, made.known()), None
                    steps, elf = self._run_outside(job, identity, made, lock)
                if kept is None:
                    kept = self._keep_outside(job, identity, elf, steps)
        return self._load(kept, identity, job)

    def _run_outside(
        self, job: Job, identity: str, made: OutsideBuild, lock: int
    ) -> tuple[tuple[Step, ...], bytes]:
        with tempfile.TemporaryDirectory(dir=made.model.parent, prefix="model-") as fresh:
            steps = generate(job, identity, Path(fresh))
            write_list(Path(fresh))
            sync(Path(fresh), made.model)
        elf = made.run(progress=self._progress, lock=lock)
        if not contains_id(elf, identity):
            raise made.not_this_one()
        return steps, elf

    def _keep_outside(
        self, job: Job, identity: str, content: bytes, steps: tuple[Step, ...]
    ) -> Path:
        with tempfile.TemporaryDirectory(dir=self._project.state) as folder:
            elf = Path(folder, ELF)
            elf.write_bytes(content)
            provenance = {"compiler": compiler_of(elf), "flags": OUTSIDE_FLAGS}
            sections = self._fitting(elf, job)
        files = {
            ELF: content,
            PROVENANCE: json.dumps(provenance).encode(),
            STEPS: steps_text(steps).encode(),
        }
        kept = self._kept.keep(identity, files, [asdict(section) for section in sections])
        self._kept.prune()
        return kept

    def _fitting(self, elf: Path, job: Job) -> tuple[Section, ...]:
        """The sections of a firmware that its board can execute and has room for."""
        refuse_a32(elf, where=job.where)
        refuse_for_core(elf, job.board.core, where=job.where)
        sections = elf_sections(elf)
        refused = too_large(
            job.board, job.where, flash_bytes=flash_bytes(sections), ram_bytes=ram_bytes(sections)
        )
        if refused:
            raise refused
        return sections

    def _built(self, job: Job, identity: str) -> Path:
        library = job.library and job.library.folder
        folder = TOOLCHAINS[job.board.toolchain].folder
        tools = (os.environ.get(folder, ""), sys.executable)
        refuse_paths(self._project.root, self._project.state, library or "", *tools)
        work = WorkFolder(self._project.state / "build" / job.work_name, job.env)
        try:
            with work.alone(where=Where(board=job.board.id), progress=self._progress) as lock:
                return self._kept.find(identity) or self._build(job, identity, work, lock)
        except OSError as error:
            raise RigError(
                f"cannot build in {work.folder}: {error.strerror or error}", where=job.where
            ) from error

    def has_compiled(self, board: Board, artifact: Artifact) -> bool:
        """Whether firmware for `aot` was built of this very model: then it can be built and run."""
        job = Job(board=board, runtime="aot", artifact=artifact, profile=self._profile)
        try:
            return "aot" in board.env and self._kept.find(self._identity(job)) is not None
        except ToolMissing:
            return False  # Without a compiler; whoever builds says so.

    def _identity(self, job: Job, outside: str = "") -> str:
        return build_id(
            *(self._project, job.board, job.runtime, job.artifact),
            *(job.library, job.arena, job.profile),
            outside,
        )

    def _job(self, board: Board, runtime: str, artifact: Artifact) -> Job:
        job = Job(board=board, runtime=runtime, artifact=artifact, profile=self._profile)
        if runtime != "tflm":
            return job
        library = library_for(self._project, job.env, self._tflm)
        if self._check_support:
            refuse_unsupported(artifact, board, library.cannot)
        missing = library.missing_kernels(tflm.distinct_operators(artifact))
        if missing:
            raise MissingKernel(where=job.where, operators=missing, library=str(library))
        refused = too_large(board, job.where, flash_bytes=len(artifact.content), ram_bytes=0)
        if refused:
            raise refused
        if self._arena_bytes is None:
            arena = plan_arena(artifact)
        else:
            arena = ArenaPlan(size_bytes=self._arena_bytes, source="as asked for")
        return replace(job, library=library, arena=arena)

    def _load(self, kept: Path, identity: str, job: Job) -> Firmware:
        sections = notes_of(kept)
        provenance = json.loads((kept / PROVENANCE).read_text())
        return Firmware(
            elf=kept / ELF,
            build_id=identity,
            runtime=job.runtime,
            sections=tuple(Section(**section) for section in sections),
            compiler=provenance["compiler"],
            flags=provenance["flags"],
            library=job.library,
            arena=job.arena,
            steps=steps_of((kept / STEPS).read_text()) if job.profile else (),
        )

    def _build(self, job: Job, identity: str, work: WorkFolder, lock: int) -> Path:
        with tempfile.TemporaryDirectory(dir=work.folder, prefix="model-") as fresh:
            steps = generate(job, identity, Path(fresh))
            sync(Path(fresh), work.folder / "model")
        elf = work.built / ELF
        self._run_pio(job, work, lock)
        if not contains_id(elf.read_bytes(), identity):
            say(f"{job.board.id}: {work.built} holds parts of another build, all is compiled anew")
            work.clear()
            self._run_pio(job, work, lock)
            if not contains_id(elf.read_bytes(), identity):
                raise RigError(f"{elf} is not the firmware that was to be built", where=job.where)
        sections = self._fitting(elf, job)
        made = (elf.with_name(name) for name in (*UPLOADED, PROVENANCE))
        files = {path.name: path.read_bytes() for path in made if path.is_file()}
        kept = self._kept.keep(
            identity,
            {**files, STEPS: steps_text(steps).encode()},
            [asdict(section) for section in sections],
        )
        if removed := self._kept.prune():
            say(f"removed {counted(removed, 'old build')} from {kept.parent}, which keeps {MOST}")
        return kept

    def _run_pio(self, job: Job, work: WorkFolder, lock: int) -> None:
        folder = work.folder
        environment = pio_environment(self._project, folder, folder / "model")
        if job.library and job.library.folder:
            operators = tflm.distinct_operators(job.artifact)
            override = write_override(job.env, job.library, operators, folder)
            environment["HIL_PIO_CONFIG"] = str(override)
        flags = ["-D HIL_PROFILE"] if job.profile else []
        ini = (self._project.root / "platformio.ini").read_text()
        if job.library:
            flags += job.library.build_flags(bare=is_bare(ini, job.env))
        if flags:
            environment["PLATFORMIO_BUILD_FLAGS"] = " ".join(flags)
        core_dir = Path(environment["PLATFORMIO_CORE_DIR"])
        refuse_unfetchable(job, ini, core_dir, folder)
        seed_scons(core_dir)
        command = [sys.executable, "-m", "platformio", "run", "-e", job.env]
        log = folder / "build.log"
        work.begin()
        status, said = run_build(
            [*command, "-d", str(self._project.root)],
            log,
            environment=environment,
            progress=self._progress,
            what=f"{job.board.id}: building",
            lock=lock,
        )
        if status >= 0:
            work.end()
        if status:
            raise explain_failure(said, job, str(log))


def generate(job: Job, identity: str, folder: Path) -> tuple[Step, ...]:
    """Write the model sources of a job into an empty folder; returns the steps to measure."""
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
