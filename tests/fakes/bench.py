"""A scripted machine: boards come and go on its USB ports as its own clock advances.

Ports are real ptys under names of their own, so that all above the listing is the real thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.board.ports import Bench, Listing, SerialPort
from harness.board.registry import Board, load_registry
from harness.errors import FlashFailed, Where
from harness.firmware.build import Firmware
from harness.firmware.swap import SwapPlan
from harness.model.artifact import Artifact
from harness.project import Project
from harness.rig.virtual import virtual_build_id

NANO = replace(
    load_registry()["virtual"],
    id="nano",
    kind="nano",
    attachment="serial",
    env={"tflm": "nano-tflm"},
    usb=("2341:805a",),
    bootloader_usb=("2341:005a",),
    touch_baud=1200,
)
"""A real board to the harness; what answers on its ports is the virtual board."""


class BuiltBefore:
    """A builder whose firmware is the virtual board's."""

    def __init__(self, project: Project, **options: object) -> None:
        pass

    def build(self, board: Board, runtime: str, artifact: Artifact) -> Firmware:
        identity = virtual_build_id(artifact.sha256)
        return Firmware(
            elf=Path("firmware.elf"),
            build_id=identity,
            runtime=runtime,
            sections=(),
            compiler="gcc",
            flags="-O2",
        )

    def build_for_all(self, board: Board, runtime: str, plan: SwapPlan) -> Firmware:
        identity = virtual_build_id(f"{plan.own.sha256} {plan.identity}")
        return replace(self.build(board, runtime, plan.own), build_id=identity, swap=plan)


class Machine:
    """Ports, a clock that moves when somebody sleeps, and what happens at which time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.touched: list[str] = []
        self.devices: list[Device] = []
        self._ports: dict[str, SerialPort] = {}
        self._due: list[tuple[float, Callable[[], None]]] = []

    @property
    def bench(self) -> Bench:
        return Bench(ports=self.listing, touch=self.touch, clock=lambda: self.now, sleep=self.sleep)

    def listing(self) -> Listing:
        return tuple(self._ports[name] for name in sorted(self._ports))

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self._due and (first := min(self._due, key=lambda event: event[0]))[0] <= until:
            self._due.remove(first)
            self.now = max(self.now, first[0])
            first[1]()
        self.now = until

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self._due.append((self.now + seconds, act))

    def plug(self, port: SerialPort, pty: str | None) -> None:
        """A port appears; without a pty it cannot be opened."""
        self._ports[port.path] = port
        if pty is not None:
            Path(port.path).symlink_to(pty)

    def unplug(self, path: str) -> None:
        if self._ports.pop(path, None) is not None:
            Path(path).unlink(missing_ok=True)

    def touch(self, path: str, baud: int) -> None:
        assert baud == 1200
        self.touched.append(Path(path).name)
        for device in self.devices:
            if device.port.path == path:
                device.touch()

    def upload(self, board: Board, firmware: Firmware, port: SerialPort, timeout_s: float) -> None:
        """An uploader."""
        self.sleep(6.0)
        for device in self.devices:
            if device.port.path == port.path and device.in_bootloader:
                return device.written(firmware)
        raise FlashFailed(
            "upload ended with status 1: no bootloader there",
            phase="upload",
            where=Where(board=board.id, port=port.path),
            hint="",
        )


@dataclass
class Device:
    """A Nano 33 BLE: a touch starts its bootloader, under another USB id and name.

    `flashed` is the pty on which it answers once a firmware was written. `bootloader_names` are
    used up from the front: None for a touch that does nothing, "" for a bootloader without port.
    """

    machine: Machine
    serial_number: str
    name: str
    pty: str | None
    flashed: str | None = None
    bootloader_names: tuple[str | None, ...] = ("ttyBoot",)
    back_name: str | None = "ttyBack"
    back_s: float = 1.5
    crashed: bool = False
    firmware: Firmware | None = None
    in_bootloader: bool = False
    on_touch: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.machine.devices.append(self)
        self._appear(self.name, bootloader=self.in_bootloader)

    def _appear(self, name: str, *, bootloader: bool) -> None:
        # The bootloader writes its serial number with zeros before it.
        shown = self.serial_number.lower().zfill(32) if bootloader else self.serial_number
        self.in_bootloader = bootloader
        self.port = SerialPort(
            path=str(self.machine.folder / name),
            usb="2341:005a" if bootloader else "2341:805a",
            serial_number=shown,
            description="Nano 33 BLE",
        )
        self.machine.plug(self.port, self.pty)

    def _vanish(self) -> None:
        self.machine.unplug(self.port.path)

    def touch(self) -> None:
        name, *rest = self.bootloader_names
        self.bootloader_names = tuple(rest)
        if name is None:
            return
        self.machine.after(0.1, self._vanish)
        if name:
            self.machine.after(0.9, lambda: self._appear(name, bootloader=True))
        self.in_bootloader = True
        if self.on_touch is not None:
            self.machine.after(0.5, self.on_touch)

    def written(self, firmware: Firmware) -> None:
        self.firmware, self.pty = firmware, self.flashed
        # The bootloader's port stays a while after the uploader has ended.
        self.machine.after(0.6, self._vanish)
        if self.back_name is not None:
            name = self.back_name
            self.machine.after(self.back_s, lambda: self._appear(name, bootloader=False))
