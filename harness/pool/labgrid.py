"""labgrid's client as a program of its own environment: found, run within limits, its errors read.

It is never imported: it brings a fork of pyserial that takes the place of pyserial.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CoordinatorGone, PoolError, RigError, ToolMissing
from harness.locks import user_name
from harness.process import end_group, run, start, supervised
from harness.project import find_project
from harness.text import printable, shortened

CLIENT = "labgrid-client"
VERSION = "26.0.1"
"""The version of labgrid that this was tried with."""

DEFAULT_COORDINATOR = "127.0.0.1:20408"
POWER = "power"
"""The client's word for switching it, which a program at the exporter's machine does."""

CALL_S = 30.0
"""For one call of the client: most take half a second, nearly all of it to load gRPC."""

MOST_BYTES = 1 << 20
"""Of what the client says; a coordinator may have hundreds of places."""

_LIMITED = ("/bin/sh", "-c", f'ulimit -f {4 * MOST_BYTES // 512}; exec "$@"', "sh")
"""Runs a command that cannot fill the disk with what it says."""

_TOLD = 300
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_DROPPED = ("LG_ENV", "LG_PLACE", "LG_TOKEN", "LG_STATE", "LG_INITIAL_STATE", "PYTHONPATH")
"""Variables that would change what the client is asked for, or what it imports."""


def environment_folder() -> Path:
    """Where labgrid's own environment is looked for, if nobody says where it is."""
    return find_project().state / "labgrid"


def install_command() -> str:
    """Makes that environment, at the version tried."""
    folder = environment_folder()
    return f"python3 -m venv {folder} && {folder}/bin/pip install labgrid=={VERSION}"


def find_client(given: Path | None) -> Path:
    """The client: the program given, or in the environment given; on PATH; in the state folder.

    Raises:
        ToolMissing: it is at none of these.
    """
    if given is not None:
        found = given / "bin" / CLIENT if given.is_dir() else given
        candidates = [found]
    else:
        on_path = shutil.which(CLIENT)
        candidates = [Path(on_path)] if on_path else []
        candidates.append(environment_folder() / "bin" / CLIENT)
    for path in candidates:
        if os.access(path, os.X_OK) and path.is_file():
            return path.absolute()
    raise ToolMissing(
        CLIENT if given is None else printable(str(candidates[0])),
        needed_for="a board of a pool",
        install=f"{install_command()}\nOr say where it is: --hil-labgrid PATH, --labgrid PATH",
    )


def coordinator_address(given: str | None) -> str:
    """HOST:PORT of the coordinator: given, or labgrid's own variable, or its default."""
    return given or os.environ.get("LG_COORDINATOR") or DEFAULT_COORDINATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom places are held: labgrid knows hosts and users, and not two runs of one user.

    A run is therefore a user of its own, whose name begins with the real one.
    """

    host: str
    user: str

    def __str__(self) -> str:
        return f"{self.host}/{self.user}"


def new_identity() -> Identity:
    """Of this process, and of this hold: no other has had it."""
    host = os.environ.get("LG_HOSTNAME") or socket.gethostname()
    user = os.environ.get("LG_USERNAME") or user_name()
    number = f"{os.getpid()}-{os.urandom(2).hex()}"
    return Identity(host=_plain(host), user=f"{_plain(user)}-hil-{number}")


def _plain(text: str) -> str:
    return _UNSAFE.sub("-", text)[:100].strip("-") or "nobody"


_TRACEBACK = "Traceback (most recent call last):"


def without_frames(text: str) -> str:
    """A program's words without the frames of Python's tracebacks: these say where, not what."""
    if _TRACEBACK not in text:
        return text
    kept = (line for line in text.splitlines() if not line.startswith(" "))
    return "\n".join(line for line in kept if line != _TRACEBACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labgrid:
    """labgrid's client with a coordinator's address, as one identity."""

    program: Path
    coordinator: str
    identity: Identity

    @property
    def environment(self) -> Mapping[str, str]:
        """The client's environment."""
        kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        return {
            **kept,
            "LG_COORDINATOR": self.coordinator,
            "LG_HOSTNAME": self.identity.host,
            "LG_USERNAME": self.identity.user,
            "PYTHONUNBUFFERED": "1",
        }

    def command(self, *words: str, place: str = "") -> list[str]:
        """The client's command line; no shell reads it, and no place is taken for an option."""
        return [str(self.program), *([f"--place={place}"] if place else []), *words]

    def call(self, *words: str, place: str = "", timeout_s: float = CALL_S) -> str:
        """What the client prints.

        Raises:
            CoordinatorGone: it cannot reach the coordinator.
            PoolError: it ended with an error, did not end in time, or could not be started.
        """
        try:
            status, said, complaint = self._run(self.command(*words, place=place), timeout_s)
        except subprocess.TimeoutExpired:
            raise self._slow(words, place, timeout_s) from None
        if status == 0:
            return said
        raise self._failed(words, place, complaint or said)

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """The client, running; it ends with this process, also where that is killed."""
        theirs, ours = os.pipe()
        with ExitStack() as stack:
            stack.callback(os.close, ours)
            try:
                process = start(
                    supervised(self.command(*words), theirs),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    environment=dict(self.environment),
                    inherited=(theirs,),
                )
            finally:
                os.close(theirs)
            assert process.stdout is not None, "started with a pipe"
            stack.enter_context(process.stdout)
            stack.callback(end_group, process)
            yield process

    def _run(self, command: Sequence[str], timeout_s: float) -> tuple[int, str, str]:
        try:
            with tempfile.TemporaryDirectory(prefix="hil-pool-") as folder:
                log, errors = Path(folder, "said"), Path(folder, "errors")
                status = run(
                    [*_LIMITED, *command],
                    log,
                    timeout_s=timeout_s,
                    environment=self.environment,
                    errors=errors,
                )
                return status, _read(log), _read(errors)
        except OSError as error:  # As of a disk that is full; a release is tried again.
            raise CoordinatorGone(
                f"{CLIENT} could not be run: {printable(str(error), _TOLD)}",
                hint="Is there room for temporary files (TMPDIR)?",
            ) from error

    def _slow(self, words: Sequence[str], place: str, timeout_s: float) -> PoolError:
        if words[:1] == (POWER,):
            return PoolError(
                f"{CLIENT} {POWER} of place {place} took longer than {timeout_s:g} s",
                hint="A hub's port is switched by ssh on the exporter's machine: does that let in "
                "without a password? A slow switch is given longer by deadlines.power_s in the "
                f"rig file. {self._by_hand(words, place)}",
                place=place,
            )
        return CoordinatorGone(
            f"the pool's coordinator at {printable(self.coordinator)} did not answer within "
            f"{timeout_s:g} s",
            hint=self._is_it_up(),
        )

    def _failed(self, words: Sequence[str], place: str, complaint: str) -> PoolError:
        told = " ".join(without_frames(complaint).split())
        said = shortened(printable(told, 4 * _TOLD), _TOLD)
        if unreachable(complaint):
            return CoordinatorGone(
                f"the pool's coordinator at {printable(self.coordinator)} is not reachable",
                hint=f"{self._is_it_up()}\nIt said: {said}",
                place=place,
            )
        of_place = f" of place {place}" if place else ""
        return PoolError(
            f"{CLIENT} {' '.join(words[:1])}{of_place} failed: {said or 'it said nothing'}",
            hint=self._by_hand(words, place),
            place=place,
        )

    def _by_hand(self, words: Sequence[str], place: str) -> str:
        same = shlex.join([CLIENT, *(["-p", place] if place else []), *words])
        return f"The same by hand: LG_COORDINATOR={printable(self.coordinator)} {printable(same)}"

    def _is_it_up(self) -> str:
        return (
            "Is labgrid-coordinator running there, and is the address right (--hil-coordinator, "
            "--coordinator or LG_COORDINATOR)? hil doctor asks it."
        )


def unreachable(complaint: str) -> bool:
    """Whether the client's complaint is that it cannot reach the coordinator."""
    marks = ("Could not connect to coordinator", "coordinator is unavailable")
    return any(mark in complaint for mark in (*marks, "coordinator became unavailable"))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise RigError(f"cannot read {path}: {error.strerror}") from error
