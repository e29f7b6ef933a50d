"""Commands killed at random moments while a slowed compiler runs, and what is left of them.

python -m benchmarks.whole.kills [--kills N] [--seed N]

After each kill another model is built, then the killed one: both ELF files must be what an
undisturbed build makes of them, no process may be left, and no file beside what is kept.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parents[2]
BOARD = "qemu-m4"
MODELS = ("sine", "sine-1-16-1")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MARK = "HIL_KILLED"
"""Variable in the environment of a killed command, by which its processes are known again."""

SLOWED = "HIL_SLOWED"
GONE_S = 6.0
"""When all of them must be gone. Two seconds are their own, to end in order."""

_OUR_MAIN = re.compile(r'(harness/cli/__init__|models/__main__)\.py", line \d+, in main')

COMMAND_S = 600.0
SLOWED_S = 4.0
LONGEST_S = 9.0
"""Kills come within this time: a build of `hil` with the slowed compiler takes about as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A command that got a signal, or ended before. `left` are processes that it left behind."""

    status: int
    in_time: bool
    said: str
    left: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What is counted over many kills; all but `kills` must stay 0."""

    kills: int = 0
    wrong: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills: {len(self.wrong)} wrong firmware, {len(self.processes)} "
            f"processes left, {len(self.files)} files left, {len(self.tracebacks)} tracebacks, "
            f"{len(self.hangs)} hangs"
        )


def kill(
    command: Sequence[str],
    number: signal.Signals,
    after_s: float,
    *,
    environment: Mapping[str, str] = os.environ,
    folder: Path = ROOT,
    gone_s: float = GONE_S,
    then: Callable[[], None] = lambda: None,
) -> Killed:
    """Start a command, send it a signal after a while, and wait for all that it has started.

    Args:
        then: called once the command has ended, while what it started may still run.
        gone_s: processes that run longer than this after its end are left behind; they are killed.
    """
    mark = uuid.uuid4().hex
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env={**environment, MARK: mark},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            process.wait(after_s)
            in_time = False
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            in_time = True
        try:
            status = process.wait(COMMAND_S)
            then()
            left = _left(mark, gone_s)
        finally:
            _kill_all(mark)
            process.wait()
        log.seek(0)
        said = log.read().decode(errors="replace")
    return Killed(status=status, in_time=in_time, said=said, left=left)


def hear_interrupts() -> None:
    """Commands hear SIGINT, which background jobs of a shell, and all they start, ignore."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def traceback_in(said: str) -> bool:
    """Whether a command ended with a traceback; one of Python's own start is none of ours."""
    starting = "init_import_site" in said
    if "INTERNALERROR" in said or ("Fatal Python error" in said and not starting):
        return True
    interrupted = said.rstrip().endswith("KeyboardInterrupt") or starting
    early = interrupted and not _OUR_MAIN.search(said)
    return "Traceback (most recent call last)" in said and not early


def _left(mark: str, within_s: float) -> tuple[str, ...]:
    until = time.monotonic() + within_s
    while (left := tuple(_marked(mark))) and time.monotonic() < until:
        time.sleep(0.05)
    return tuple(f"{pid} {command}" for pid, command in left)


def _kill_all(mark: str) -> None:
    while left := list(_marked(mark)):
        for pid, _ in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    """Processes that have the mark in their environment, wherever they hang by now."""
    wanted = f"{MARK}={mark}\0".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                yield int(folder.name), command.decode(errors="replace")[:200]
        except OSError:
            continue  # It has ended.


def slow_compiler(
    folder: Path, before: str = f'[ -z "${SLOWED}" ] || sleep {SLOWED_S:g}', making: str = "/model/"
) -> dict[str, str]:
    """Variables that put a compiler before the system's, which does something else at first.

    Another path of the compiler makes SCons compile everything anew: builds that are to find each
    other's objects all need these variables.

    Args:
        before: in shell; sleeps where a variable SLOWED is set.
        making: part of the path of what is then compiled or linked; the model's objects.
    """
    real = shutil.which("arm-none-eabi-gcc")
    assert real is not None, "arm-none-eabi-gcc is not installed"
    folder.mkdir()
    for tool in Path(real).parent.glob("arm-none-eabi-*"):
        (folder / tool.name).symlink_to(tool)
    for name in ("arm-none-eabi-gcc", "arm-none-eabi-g++"):
        (folder / name).unlink()
        slowed = f'case "$*" in *"-o "*{making}*) {before};; esac'
        run = f'exec {shlex.quote(str(Path(real).with_name(name)))} "$@"'
        (folder / name).write_text(f"#!/bin/sh\n{slowed}\n{run}\n")
        (folder / name).chmod(0o755)
    return {"HIL_ARM_GCC_DIR": str(folder)}


def hil(*arguments: str) -> list[str]:
    """A command of `hil` from this checkout."""
    return [sys.executable, "-m", "harness.cli", *arguments]


def build_command(model: str) -> list[str]:
    """Builds a model's firmware for the emulated board."""
    return hil("build", "--board", BOARD, "--model", model)


def code_of(elf: Path) -> dict[str, bytes]:
    """What a firmware loads: its sections' contents, without debug information."""
    with elf.open("rb") as file:
        return {
            section.name: section.data()
            for section in ELFFile(file).iter_sections()
            if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_type"] != "SHT_NOBITS"
        }


class Bench:
    """A state folder of its own in which builds are killed.

    Args:
        folder: empty; holds the state, temporary files and locks of all commands.
    """

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HIL_STATE_DIR": str(self.state),
            "HIL_LOCK_DIR": str(folder / "locks"),
            "TMPDIR": str(self.temporary),
            **slow_compiler(folder / "slow"),
        }
        self.slowed = {**self.environment, SLOWED: "yes"}
        self.tally = Tally()
        self._right = {model: code_of(self._built(model)) for model in MODELS}
        self._known = set(self._files())

    def try_kill(self, command: Sequence[str], number: signal.Signals, after_s: float) -> Killed:
        """Kill a command that builds the first model, build the other one and it, and look."""
        shutil.rmtree(self.state / "firmware", ignore_errors=True)
        what = f"{shlex.join(command[2:])} {number.name} after {after_s:.2f} s"
        found = kill(
            *(command, number, after_s),
            environment=self.slowed,
            then=lambda: self._build_others(what),
        )
        self.tally.kills += 1
        self.tally.processes += [f"{what}: {process}" for process in found.left]
        if traceback_in(found.said):
            self.tally.tracebacks.append(f"{what}:\n{found.said}")
        left = sorted(set(self._files()) - self._known)
        self.tally.files += [f"{what}: {path}" for path in left]
        self._known.update(left)
        return found

    def _build_others(self, what: str) -> None:
        for model in reversed(MODELS):
            try:
                right = code_of(self._built(model)) == self._right[model]
            except subprocess.TimeoutExpired:
                self.tally.hangs.append(f"{what}: then {model}")
                continue
            except (subprocess.CalledProcessError, OSError) as error:
                right = False
                what = f"{what}: {error}"
            if not right:
                self.tally.wrong.append(f"{what}: {model}")

    def _built(self, model: str) -> Path:
        done = subprocess.run(
            build_command(model),
            env=self.environment,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )
        return Path(done.stdout.splitlines()[0])

    def _files(self) -> Iterator[Path]:
        """Files by name that a finished build would not leave; kept firmware is not looked at."""
        yield from self.temporary.iterdir()
        for folder in (self.state, self.state / "platformio", self.state / "firmware"):
            yield from (path for path in folder.glob(".*"))
        yield from (self.state / "build").glob("*/*")


def main() -> int:
    """Kill builds; 0 if nothing went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    hear_interrupts()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        bench = Bench(Path(folder))
        for count in range(options.kills):
            number = chance.choice(SIGNALS)
            after_s = chance.uniform(0.0, LONGEST_S)
            found = bench.try_kill(build_command(MODELS[0]), number, after_s)
            when = f"after {after_s:.2f} s" if found.in_time else "ended before"
            print(f"{count + 1}: {number.name} {when}; {bench.tally}", flush=True)
    tally = bench.tally
    for line in (*tally.wrong, *tally.processes, *tally.files, *tally.tracebacks, *tally.hangs):
        print(line)
    print(tally)
    return 0 if not (tally.wrong or tally.processes or tally.files or tally.tracebacks) else 1


if __name__ == "__main__":
    sys.exit(main())
