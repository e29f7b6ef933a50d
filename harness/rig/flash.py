"""Flashing a board: touch, wait for the bootloader, upload by PlatformIO, wait for the port."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.board.ports import Bench, Listing, SerialPort, again, in_bootloader
from harness.board.registry import Board
from harness.board.rigfile import Deadlines
from harness.errors import FlashFailed, RigError, Where
from harness.firmware.build import Firmware
from harness.firmware.failure import first_errors
from harness.firmware.platformio import pio_environment
from harness.firmware.toolchain import seed_scons
from harness.names import PORT_RULE, SERIAL_RULE, is_port, is_serial_number
from harness.process import run
from harness.project import Project
from harness.rig.probe import advice, probe_uid
from harness.text import printable

RETRIES = 1
SETTLE_S = 0.4
"""Wait between the touch and the first look for the bootloader; SAM-BA bootloaders need it."""

_DOUBLE_TAP = (
    "Firmware that has crashed cannot be touched: double tap the board's reset button, which "
    "starts its bootloader, and run this again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase of a flash (touch, bootloader, upload, port) and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashReport:
    """A flash that succeeded: phases of all tries in order, and why any try before failed."""

    port: str
    phases: tuple[Phase, ...]
    failures: tuple[str, ...] = ()

    @property
    def retries(self) -> int:
        """Tries beyond the first."""
        return len(self.failures)

    @property
    def seconds(self) -> float:
        """All phases together."""
        return sum(phase.seconds for phase in self.phases)

    def __str__(self) -> str:
        phases = ", ".join(f"{phase.name} {phase.seconds:.1f}" for phase in self.phases)
        text = f"flashed in {self.seconds:.1f} s ({phases}), now at {self.port}"
        why = "; ".join(self.failures)
        return f"{text}; {self.retries} retry, since at first {why}" if why else text


class Uploader(Protocol):
    """Writes a firmware to the board at a port."""

    def __call__(
        self, board: Board, firmware: Firmware, port: SerialPort, timeout_s: float
    ) -> None:
        """Raises FlashFailed."""


def upload_command(
    board: Board, runtime: str, project: Project, port: str, config: Path
) -> list[str]:
    """PlatformIO's command line that uploads the firmware in the build folder, building nothing.

    Raises:
        RigError: the port has characters that mean something to the shell of PlatformIO's tools.
    """
    if not is_port(port):
        raise RigError(
            f"the port {printable(port)!r} cannot be given to an uploader",
            where=Where(board=board.id),
            hint=f"It must be {PORT_RULE}. Name the port by another link to it.",
        )
    return [
        *(sys.executable, "-m", "platformio", "run"),
        *("-d", str(project.root)),
        *("-c", str(config)),
        *("-e", board.env_of(runtime)),
        "--disable-auto-clean",
        *("-t", "nobuild"),
        *("-t", "upload"),
        *("--upload-port", port),
    ]


def upload_config(board: Board, runtime: str, serial_number: str | None) -> str:
    """An .ini file that makes the environment install and compile nothing during an upload.

    The board's `upload_flags` are left out where its serial number is not known. They reach the
    shell of PlatformIO's tools, and a serial number is what a device says of itself.

    Raises:
        RigError: the serial number has characters that mean something there.
    """
    if serial_number and board.upload_flags and not is_serial_number(serial_number):
        raise RigError(
            f"the serial number {printable(serial_number, 40)!r} cannot be given to an uploader: "
            f"it must be {SERIAL_RULE}",
            where=Where(board=board.id),
            hint="Old firmware of ST-Link probes makes such numbers: update the probe's.",
        )
    known = {"serial_number": serial_number, "probe_uid": probe_uid(serial_number or "")}
    flags = [flag.format(**known) for flag in board.upload_flags]
    lines = [
        f"[env:{board.env_of(runtime)}]",
        "lib_deps =",
        "extra_scripts = pre:firmware/upload.py",
        "upload_flags =",
        *(f"  {flag}" for flag in flags if serial_number),
    ]
    return "\n".join(lines) + "\n"


class PlatformioUploader:
    """Uploads by PlatformIO from a temporary folder, so that builds may go on meanwhile."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def __call__(
        self, board: Board, firmware: Firmware, port: SerialPort, timeout_s: float
    ) -> None:
        place = self._project.state / "upload"
        place.mkdir(parents=True, exist_ok=True)
        log = place / f"{board.id}.log"
        with tempfile.TemporaryDirectory(dir=place, prefix=f"{board.id}-") as folder:
            stage = Path(folder)
            environment = pio_environment(self._project, stage, stage)
            build = Path(environment["PLATFORMIO_BUILD_DIR"], board.env_of(firmware.runtime))
            shutil.copytree(firmware.elf.parent, build)
            seed_scons(Path(environment["PLATFORMIO_CORE_DIR"]))
            config = self._write_config(board, firmware.runtime, port, stage)
            command = upload_command(board, firmware.runtime, self._project, port.path, config)
            try:
                status = run(command, log, timeout_s=timeout_s, environment=environment)
            except subprocess.TimeoutExpired:
                what = f"took longer than {timeout_s:g} s"
                raise upload_failed(board, port, what, log) from None
        if status:
            raise upload_failed(board, port, f"ended with status {status}", log)

    def _write_config(self, board: Board, runtime: str, port: SerialPort, stage: Path) -> Path:
        own = stage / "upload.ini"
        own.write_text(upload_config(board, runtime, port.serial_number))
        config = stage / "platformio.ini"
        # Read in this order: the later one wins.
        files = f"{self._project.root / 'platformio.ini'}\n  {own}"
        config.write_text(f"[platformio]\nextra_configs =\n  {files}\n")
        return config


def upload_failed(board: Board, port: SerialPort, what: str, log: Path) -> FlashFailed:
    """The error of an upload, with what its log shows of errors."""
    text = log.read_text(errors="replace")
    said = "\n".join(f"  {line}" for line in first_errors(text))
    cure = advice(text) if board.probe else ""
    return FlashFailed(
        f"upload {what}",
        phase="upload",
        where=Where(board=board.id, port=port.path),
        hint="\n".join(part for part in (cure, said, f"Full log: {log}") if part),
    )


class Flasher:
    """Brings one firmware onto one board.

    The caller holds the board's lock and that of all uploads: ports that come and go meanwhile
    must be this board's.

    Args:
        port: where the board is, or was last.
    """

    def __init__(
        self,
        board: Board,
        firmware: Firmware,
        port: SerialPort,
        *,
        deadlines: Deadlines,
        bench: Bench,
        upload: Uploader,
    ) -> None:
        self._board = board
        self._firmware = firmware
        self._deadlines = deadlines
        self._bench = bench
        self._upload = upload
        self._last = port
        self._phases: list[Phase] = []

    def flash(self, *, between: Callable[[], None]) -> tuple[SerialPort, FlashReport]:
        """Touch, upload, and wait for the firmware's port; all of it once more if that fails.

        Args:
            between: called before the second try.

        Returns:
            Where the board runs its firmware.

        Raises:
            FlashFailed: the second try failed too.
        """
        failures: list[str] = []
        while True:
            try:
                back = self._once()
                break
            except FlashFailed as error:
                if len(failures) == RETRIES:
                    first = f"Tried {RETRIES + 1} times; at first: {failures[0]}."
                    error.hint = f"{first}\n{error.hint}"
                    raise
                failures.append(error.what)
                between()
        phases = tuple(self._phases)
        return back, FlashReport(port=back.path, phases=phases, failures=tuple(failures))

    def _once(self) -> SerialPort:
        now = self._wait("port", self._deadlines.port_s, lambda found: True)
        if self._board.touch_baud is not None and not in_bootloader(self._board, now):
            now = self._start_bootloader(now, self._board.touch_baud)
        with self._phase("upload"):
            self._upload(self._board, self._firmware, now, self._deadlines.upload_s)
        with self._phase("port"):
            return self._wait(
                "port",
                self._deadlines.port_s,
                lambda found: not in_bootloader(self._board, found),
            )

    def _start_bootloader(self, port: SerialPort, baud: int) -> SerialPort:
        with self._phase("touch"):
            try:
                self._bench.touch(port.path, baud)
            except OSError as error:
                raise self._failed(
                    f"cannot open the port to touch it: {error}",
                    "touch",
                    port,
                    "Does another program hold it, such as ModemManager or a serial monitor?",
                ) from error
            self._bench.sleep(SETTLE_S)
        with self._phase("bootloader"):
            if self._board.bootloader_port:
                return self._wait(
                    "bootloader",
                    self._deadlines.bootloader_s,
                    lambda found: in_bootloader(self._board, found),
                )
            self._wait_gone(port)
            return port

    def _wait(
        self, phase: str, timeout_s: float, accept: Callable[[SerialPort], bool]
    ) -> SerialPort:
        """Waits until the board has an acceptable port, which is remembered as its last one."""

        def look(listing: Listing) -> SerialPort | None:
            found = again(self._last, listing)
            return found if found is not None and accept(found) else None

        found = self._bench.wait_for(look, timeout_s)
        if found is not None:
            self._last = found
            return found
        stayed = again(self._last, self._bench.ports())
        what = (
            "the board's bootloader did not appear"
            if phase == "bootloader"
            else (
                "the board stays in its bootloader"
                if stayed
                else "the board's port did not come back"
            )
        )
        raise self._failed(f"{what} within {timeout_s:g} s", phase, stayed or self._last)

    def _wait_gone(self, port: SerialPort) -> None:
        """Waits until the board left its port, for a bootloader without one, as the RP2040's."""
        timeout_s = self._deadlines.bootloader_s
        gone = self._bench.wait_for(
            lambda listing: None if again(port, listing) else port, timeout_s
        )
        if gone is None:
            raise self._failed(
                f"the board did not leave its port within {timeout_s:g} s of the touch",
                "bootloader",
                port,
            )

    def _failed(
        self, what: str, phase: str, port: SerialPort, hint: str | None = None
    ) -> FlashFailed:
        known = f", serial number {port.serial_number}" if port.serial_number else ""
        cures = ["Unplug the board and plug it in again, or power-cycle its hub port."] + [
            _DOUBLE_TAP
        ] * (self._board.touch_baud is not None)
        return FlashFailed(
            f"{what}{known}",
            phase=phase,
            where=Where(board=self._board.id, port=port.path),
            hint=hint or "\n".join(cures),
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = self._bench.clock()
        try:
            yield
        finally:
            self._phases.append(Phase(name=name, seconds=self._bench.clock() - start))
