"""PlatformIO: what it is to build, in which environment and folders, and the run itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired

from harness.board.pins import Marking
from harness.board.registry import Board
from harness.errors import RigError, Where
from harness.files import write_atomic
from harness.firmware import objects
from harness.firmware.arena import ArenaPlan
from harness.firmware.swap import SwapPlan
from harness.firmware.tflm import distinct_operators
from harness.firmware.tflm_library import Library, work_name
from harness.model.artifact import Artifact
from harness.process import run
from harness.progress import Progress
from harness.project import Project
from harness.text import printable

_SHELL = re.compile(r"[\x00-\x1f\x7f'\"`$&;|<>()\\]")

SCRIPTS = tuple(
    Path(__file__).with_name(name) for name in ("scons_includes.py", "scons_objects.py")
)
"""Run by PlatformIO in every build."""

_LINK = "platform.pio-link"

_STEP = re.compile(r"(Reused|Compiling|Archiving|Indexing|Linking|Building|Checking) ")
"""How PlatformIO begins the line of each thing that it makes."""

MOST_S = 3600.0
"""No build takes so long, not even one that fetches all that it needs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A firmware to build: a model on a board with a runtime; with `profile` one that is profiled.

    What the runtime plans: `library` and `arena` are None for one that has none, and `identity` are
    the texts that, beside model, board and firmware, decide what is built. The
    firmware does with a pin what `marking` says, where that is said. `swap` is for a firmware to
    which other models than `artifact` are brought.
    """

    board: Board
    runtime: str
    artifact: Artifact
    library: Library | None = None
    arena: ArenaPlan | None = None
    profile: bool = False
    identity: tuple[str, ...] = ()
    marking: Marking | None = None
    swap: SwapPlan | None = None

    @property
    def env(self) -> str:
        """Name of the environment in platformio.ini."""
        return self.board.env_of(self.runtime)

    @property
    def work_name(self) -> str:
        """Name of the working folder. PlatformIO wipes a folder when libraries or flags change."""
        env = self._own_name if self.board.build else self._env_name
        name = work_name(env, self.library)
        if self.marking is not None:
            name += f"-{self.marking.name}"
        return f"{name}-profile" if self.profile else f"{name}-swap" if self.swap else name

    @property
    def operators(self) -> tuple[str, ...]:
        """Kinds of operators that TFLM must have kernels for.

        Raises:
            ModelError: as `distinct_operators`.
        """
        return self.swap.operators if self.swap else distinct_operators(self.artifact)

    @property
    def _env_name(self) -> str:
        """That of the environment, and for a runtime that is built in another's its own too."""
        return self.env if self.runtime in self.board.env else f"{self.env}-{self.runtime}"

    @property
    def _own_name(self) -> str:
        """One for each project: two rig files may call different boards the same."""
        home = str(Path(self.board.home).absolute())
        place = hashlib.sha256(repr((home, self.board.build)).encode()).hexdigest()
        return f"own-{self.board.id}-{self.runtime}-{place[:8]}"

    @property
    def where(self) -> Where:
        """Board and model, for errors."""
        return Where(board=self.board.id, model=self.artifact.name)


def pio_environment(
    project: Project, work: Path, model_dir: Path, library: Path | None = None
) -> dict[str, str]:
    """Environment variables for PlatformIO: all its folders lie in the project's state folder.

    Args:
        library: folder of TFLite Micro's sources, if they are compiled.
    """
    core_dir = project.state / "platformio"
    scripts = (f"pre:{script}" for script in SCRIPTS)
    extra = (os.environ.get("PLATFORMIO_EXTRA_SCRIPTS", ""), *scripts)
    kept = objects.folder_of(project.state)
    return {
        **os.environ,
        "PLATFORMIO_EXTRA_SCRIPTS": "\n".join(extra),
        "HIL_PLACES": json.dumps(places_of(project, work, library)),
        "HIL_OBJECTS": str(kept or ""),
        "HIL_OBJECTS_MODULE": objects.__file__,
        "PLATFORMIO_CORE_DIR": str(core_dir),
        "PLATFORMIO_WORKSPACE_DIR": str(work / "pio"),
        "PLATFORMIO_BUILD_DIR": str(work / "pio" / "build"),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_NO_ANSI": "true",
        "HIL_MODEL_DIR": str(model_dir),
    }


def places_of(project: Project, work: Path, library: Path | None) -> list[tuple[str, str]]:
    """Folders of a build, and what its compilers call them: the same in every work tree.

    A folder within the project is named as SCons does, from there.
    """
    named = [(project.root, "."), (project.state / "platformio", "platformio"), (work, "work")]
    named += [(library, "tflm")] if library else []
    found: dict[str, str] = {}
    for folder, name in named:
        for path in dict.fromkeys((folder.absolute(), folder.resolve())):
            found[str(path)] = name
            if path != project.root and path.is_relative_to(project.root):
                found[str(path.relative_to(project.root))] = name
    # GCC takes what follows the first `=` for the name.
    return [(path, name) for path, name in found.items() if "=" not in path]


def link_platform(core_dir: Path, root: Path) -> None:
    """Let PlatformIO's link to the platform in `firmware/platform` lead to this checkout's.

    PlatformIO notes the checkout that came first and keeps to it: all others with the same state
    folder, as the steps of a search, would be built with that one's linker scripts and flags.
    """
    link = core_dir / "platforms" / _LINK
    if link.is_file() and not leads_to(core_dir, root):
        spec = dict.fromkeys(("owner", "id", "name", "requirements", "uri"))
        spec |= {"name": "platform", "uri": "symlink://firmware/platform"}
        write_atomic(link, json.dumps({"cwd": str(root.resolve()), "spec": spec}).encode())


def leads_to(core_dir: Path, root: Path) -> bool:
    """Whether PlatformIO has the platform of this checkout; true if it has none yet."""
    try:
        linked = json.loads((core_dir / "platforms" / _LINK).read_text())
        return Path(linked["cwd"]) == root.resolve()
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def has_platform(project: Project, platform: str) -> bool:
    """Whether PlatformIO has fetched a platform of its registry, in any version."""
    folder = project.state / "platformio" / "platforms"
    return any(folder.glob(f"{platform}*/platform.json"))


def refuse_paths(*paths: Path | str) -> None:
    """Raise RigError for a path that PlatformIO's builds would hand to a shell as code.

    SCons quotes blanks only: what follows a `;` in the name of a checkout is run as a command.
    """
    for path in map(str, paths):
        if found := _SHELL.search(path):
            raise RigError(
                f"PlatformIO cannot build with the path {printable(path)}: it holds "
                f"{printable(repr(found[0]))}, which means something to a shell or to SCons",
                hint="Move the checkout, or name another state folder with HIL_STATE_DIR.",
            )


def sync(source: Path, target: Path) -> None:
    """Make `target` equal to `source`; files that are equal already are not touched."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for path in list(target.rglob("*")) if target.is_dir() else []:
        if path.is_file() and path.relative_to(target) not in wanted:
            path.unlink()
    for name in sorted(wanted):
        content = (source / name).read_bytes()
        if not (target / name).is_file() or (target / name).read_bytes() != content:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content)


def run_build(
    command: list[str],
    log: Path,
    *,
    environment: Mapping[str, str],
    progress: Progress,
    what: str,
    lock: int,
) -> tuple[int, str]:
    """Run a build; return its exit status and its output, which `log` keeps.

    PlatformIO does not say beforehand how many steps a build takes. The progress assumes as many
    as the longest build took that succeeded in this folder; that count lies beside the log.

    Args:
        lock: descriptor of the folder's lock, held until no compiler runs any more.

    Raises:
        RigError: it took longer than MOST_S.
    """
    counted = log.with_suffix(".steps")
    longest = _read_count(counted)
    steps = 0

    def count(line: str) -> None:
        nonlocal steps
        if _STEP.match(line):
            steps += 1
            advance(1)

    with progress(what, longest) as advance:
        try:
            status = run(
                command,
                log,
                environment=environment,
                on_line=count,
                timeout_s=MOST_S,
                locks=[lock],
            )
        except TimeoutExpired as error:
            raise RigError(
                f"{what} took longer than {MOST_S:g} s", hint=f"Full log: {log}"
            ) from error
    if status == 0 and steps > (longest or 0):
        write_atomic(counted, f"{steps}\n".encode())
    return status, log.read_text(errors="replace")


def _read_count(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
