"""Builds firmware with PlatformIO, and keeps it by the content that it was built from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.board.pins import Marking
from harness.board.registry import Board
from harness.errors import RigError, SwapRefused, ToolMissing, Where, WrongUse
from harness.files import tree_digest
from harness.firmware import c_source, model_list, objects
from harness.firmware import outside as outside_module
from harness.firmware.arena import ArenaPlan
from harness.firmware.elf import elf_sections, memory_by_owner
from harness.firmware.failure import explain_failure, too_large
from harness.firmware.fetch import refuse_unfetchable
from harness.firmware.instructions import refuse_a32, refuse_for_core
from harness.firmware.kept import ELF, MOST, KeptBuilds, contains_id, notes_of
from harness.firmware.memory import MemoryByOwner, Section, flash_bytes, ram_bytes
from harness.firmware.model_list import write_lists
from harness.firmware.outside import OutsideBuild, compiler_of
from harness.firmware.platformio import (
    SCRIPTS,
    Job,
    leads_to,
    link_platform,
    pio_environment,
    places_of,
    refuse_paths,
    run_build,
    sync,
)
from harness.firmware.runtime import Given
from harness.firmware.runtimes import refuse_early, runtime_of
from harness.firmware.steps import steps_of, steps_text
from harness.firmware.swap import SwapPlan
from harness.firmware.tflm_library import (
    Library,
    headers_from,
    is_bare,
    option_of,
    write_config,
    write_override,
)
from harness.firmware.toolchain import CPP_HEADERS, TOOLCHAINS, gcc_version, seed_scons
from harness.firmware.workfolder import WorkFolder
from harness.model import flatbuffer, graph, subgraphs
from harness.model.artifact import Artifact
from harness.model.graph import Step
from harness.progress import Progress, no_progress
from harness.project import Project
from harness.terminal import say
from harness.text import counted

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
    other firmware has none. `swap` says what it has for models that are brought to it, None for
    firmware that takes none.
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
    swap: SwapPlan | None = None

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


def build_id(project: Project, job: Job, outside: str = "") -> str:
    """Hash, 16 bytes in hex, of everything that goes into the firmware.

    Args:
        outside: what is known of a project that is not ours.
    """
    board, own = job.board, job.board.build is None
    ini = (project.root / "platformio.ini").read_text() if own else outside
    env = job.env if own else ""
    generators = (
        *(c_source, flatbuffer, subgraphs, graph),
        *(() if own else (outside_module, model_list)),
    )
    parts = (
        tree_digest(project.firmware),
        ini,
        *(inspect.getsource(module) for module in generators),
        repr((board.kind, env, board.aot_target, board.core, job.runtime)),
        repr((board.flash_bytes, board.ram_bytes)),
        job.artifact.sha256,
        *job.identity,
        f"platformio {importlib.metadata.version('platformio')}",
        *(_compilers(board, ini, env) if own else ("",)),
        "profile" if job.profile else "",
        "" if job.marking is None else repr(job.marking),
        inspect.getsource(places_of) if own else "",
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _compilers(board: Board, ini: str, env: str) -> Iterator[str]:
    """The system's compilers that an environment uses, the second for its C++ headers alone.

    Raises:
        ToolMissing: one is not installed.
    """
    bare = is_bare(ini, env)
    yield f"gcc {gcc_version(board.toolchain)}" if bare else ""
    if bare and (lender := headers_from(ini, env)):
        yield f"headers of gcc {gcc_version(lender, CPP_HEADERS)}"


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
        marking: build firmware that does this with a pin.
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
        marking: Marking | None = None,
    ) -> None:
        self._project = project
        self._kept = KeptBuilds(project.state / "firmware")
        self._progress = progress
        self._given = Given(
            project=project, tflm=tflm, arena_bytes=arena_bytes, check_support=check_support
        )
        self._profile = profile
        self._marking = marking

    def build(self, board: Board, runtime: str, artifact: Artifact) -> Firmware:
        """Build the firmware for a board, runtime and model, or find it built before.

        Raises:
            ModelError: the runtime cannot run the model, or the board has no room for it.
            ToolMissing: no cross compiler, or a library that cannot be fetched.
            BuildFailed: PlatformIO, the compiler or the board's own command failed.
            AlienCode, CoreLacks: what they made holds code that the CPU cannot execute.
        """
        job = self._job(board, runtime, artifact)
        if board.build is not None:
            return self._outside(job)
        return self._ours(job)

    def build_for_all(self, board: Board, runtime: str, plan: SwapPlan) -> Firmware:
        """Build the firmware to which all models of a plan can be brought, or find it built before.

        Raises:
            SwapRefused: firmware of that board, or with that runtime, takes no models.
            ModelError, ToolMissing, BuildFailed: as of `build`; TooLarge where the board has no
                room for all that the models need together.
        """
        if why := cannot_swap(board, runtime):
            raise SwapRefused(why, where=Where(board=board.id))
        return self._ours(self._job(board, runtime, plan.own, plan))

    def _ours(self, job: Job) -> Firmware:
        identity = build_id(self._project, job)
        found = self._kept.find(identity)
        if found is None:
            refuse_early(job)
            found = self._built(job, identity)
        return self._load(found, identity, job)

    def _outside(self, job: Job) -> Firmware:
        """Firmware that is not ours, by the board's own command."""
        work = WorkFolder(self._project.state / "build" / job.work_name, "")
        made = OutsideBuild(self._project, job, work.folder)
        with work.alone(where=job.where, progress=self._progress) as lock:
            identity = build_id(self._project, job, made.known())
            kept = self._kept.find(identity)
            if kept is None or not made.cached:
                steps, elf = self._run_outside(job, identity, made, lock)
                if kept is not None and (kept / ELF).read_bytes() != elf:
                    made.differs(elf)
                    identity, kept = build_id(self._project, job, made.known()), None
                    steps, elf = self._run_outside(job, identity, made, lock)
                if kept is None:
                    kept = self._keep_outside(job, identity, elf, steps)
        return self._load(kept, identity, job)

    def _run_outside(
        self, job: Job, identity: str, made: OutsideBuild, lock: int
    ) -> tuple[tuple[Step, ...], bytes]:
        with tempfile.TemporaryDirectory(dir=made.model.parent, prefix="model-") as fresh:
            steps = generate(job, identity, Path(fresh))
            write_lists(Path(fresh), job, runtime_of(job.runtime, job.board))
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
        refuse_paths(self._project.root, self._project.state, library or "", *SCRIPTS, *tools)
        work = WorkFolder(self._project.state / "build" / job.work_name, job.env)
        try:
            with work.alone(where=Where(board=job.board.id), progress=self._progress) as lock:
                return self._kept.find(identity) or self._build(job, identity, work, lock)
        except OSError as error:
            raise RigError(
                f"cannot build in {work.folder}: {error.strerror or error}", where=job.where
            ) from error

    def has_built(self, board: Board, runtime: str, artifact: Artifact) -> bool:
        """Whether firmware was built of this very model: then it can be built and run."""
        try:
            job = self._job(board, runtime, artifact)
            return self._kept.find(build_id(self._project, job)) is not None
        except ToolMissing:
            return False  # Without a compiler; whoever builds says so.

    def _job(
        self, board: Board, runtime: str, artifact: Artifact, swap: SwapPlan | None = None
    ) -> Job:
        made = runtime_of(runtime, board)
        job = Job(
            board=board,
            runtime=runtime,
            artifact=artifact,
            profile=self._profile,
            marking=self._marking,
            swap=swap,
        )
        if board.build is None:
            board.env_of(runtime)
        if self._profile and not made.profiled:
            raise WrongUse(
                f"runtime {runtime} measures no operators: it cannot be profiled",
                where=job.where,
                hint="Take it without --profile, or profile it by function: --functions",
            )
        return made.plan(job, self._given)

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
            swap=job.swap,
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
        if (folder := objects.folder_of(self._project.state)) is not None:
            objects.prune(folder)
        return kept

    def _run_pio(self, job: Job, work: WorkFolder, lock: int) -> None:
        folder = work.folder
        library = job.library.folder if job.library else None
        environment = pio_environment(self._project, folder, folder / "model", library)
        flags = ["-D HIL_PROFILE"] if job.profile else ["-D HIL_SWAP"] if job.swap else []
        ini = (self._project.root / "platformio.ini").read_text()
        if override := _override(job, ini, folder):
            environment["HIL_PIO_CONFIG"] = str(override)
        if job.library:
            flags += job.library.build_flags(bare=is_bare(ini, job.env))
        if job.marking is not None:
            environment["PLATFORMIO_BUILD_SRC_FLAGS"] = job.marking.flags
        if flags:
            environment["PLATFORMIO_BUILD_FLAGS"] = " ".join(flags)
        core_dir = Path(environment["PLATFORMIO_CORE_DIR"])
        refuse_unfetchable(job, ini, core_dir, folder)
        seed_scons(core_dir)
        link_platform(core_dir, self._project.root)
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
        if not leads_to(core_dir, self._project.root):
            raise RigError(
                "another checkout was built with the same state folder at the same time",
                where=job.where,
                hint="Build again, or give each a state folder of its own with HIL_STATE_DIR.",
            )
        if status:
            raise explain_failure(said, job, str(log))


def cannot_swap(board: Board, runtime: str) -> str:
    """Why no model can be brought to a board's firmware with a runtime; empty if one can."""
    if not runtime_of(runtime, board).swaps:
        return f"firmware with {runtime} takes no models over the link: its code is the model's"
    if board.build is not None:
        return f"{board.id} is built by its own command, for one model at a time"
    return ""


def _override(job: Job, ini: str, folder: Path) -> Path | None:
    """Write what the job changes of its environment, if anything."""
    if job.library and job.library.folder:
        return write_override(job.env, job.library, job.operators, folder)
    if job.runtime in job.board.env:
        return None
    named = runtime_of(job.runtime, job.board).sources
    chosen = " ".join(("-<runtime/>", *(f"+<runtime/{name}>" for name in named)))
    others = option_of(ini, job.env, "build_src_filter")
    return write_config(
        folder / "runtime.ini", f"[env:{job.env}]\nbuild_src_filter = {others} {chosen}\n"
    )


def generate(job: Job, identity: str, folder: Path) -> tuple[Step, ...]:
    """Write the model sources of a job into an empty folder; returns the steps to measure."""
    return runtime_of(job.runtime, job.board).generate(job, identity, folder)
