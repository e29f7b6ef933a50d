"""The rig: guest, hubs, bridges, boards, what flashes them, and the guest's rig file."""

from __future__ import annotations

import shlex
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from benchmarks.whole.usb_rig.guest import HOST, Guest
from benchmarks.whole.usb_rig.image import Image
from benchmarks.whole.usb_rig.machine import Bridge, Hub, ssh_command
from benchmarks.whole.usb_rig.traffic import Power, Traffic
from benchmarks.whole.usb_rig.wiring import WiredBoard
from harness import load_registry, resolve_model
from harness.board.rigfile import parse_rig
from harness.errors import RigError
from harness.firmware.build import Builder
from harness.project import Project

HUBS = (Hub(name="hub-1", port="1"), Hub(name="hub-2", port="2", switches=False))
LEFT = Bridge(name="left", socket="1.1", serial_number="FTLEFT01")
RIGHT = Bridge(name="right", socket="1.2", serial_number="FTRIGHT2")
LIAR = Bridge(name="liar", socket="2.1", serial_number="FTLIAR03")
BRIDGES = (LEFT, RIGHT, LIAR)
SERVER_PORT = 4000
"""Of ser2net in the guest."""

_MOST_ELF = 16 << 20
_MUCH = 60_000
"""Bytes of USB traffic: greeting and comparing a board takes less."""
_FLASHES = """#!/usr/bin/env python3
# probe-flash SERIAL ELF: stands in for a debug probe. The boards are outside of this machine.
import pathlib, socket, sys
content = pathlib.Path(sys.argv[2]).read_bytes()
with socket.create_connection(({host!r}, {port}), timeout=30) as probe:
    probe.sendall(f"{{sys.argv[1]}} {{len(content)}}\\n".encode() + content)
    answer = probe.makefile().readline().strip()
sys.exit(0 if answer == "ok" else f"error: {{answer or 'the probe hung up'}}")
"""


def board_table(name: str, serial_number: str, more: str = "") -> str:
    """A board of the rig file: the firmware of `qemu-m4`, behind an FTDI bridge."""
    return f"""
[boards.{name}]
description = "a Cortex-M4 behind an FTDI bridge"
attachment = "serial"
mcu = "Cortex-M4F"
clock_hz = 25_000_000
flash_bytes = 4_194_304
ram_bytes = 4_194_304
runtimes = ["aot"]
env = {{ aot = "qemu-m4-aot" }}
aot_target = "cortex-m4"
core = "cortex-m4"
usb = ["0403:6001"]
serial_number = "{serial_number}"
flash = {{ command = ["/opt/rig/probe-flash", "{{serial_number}}", "{{elf}}"] }}
deadlines = {{ reply_s = 5, port_s = 30, power_s = 180, upload_s = 120 }}
{more}
"""


RIG_FILE = (
    board_table("left", "FTLEFT01", 'power = { uhubctl = "serial_number" }')
    + board_table("right", "FTRIGHT2")
    + board_table("liar", "FTLIAR03", 'power = { uhubctl = "serial_number" }')
)

NAMES = tuple(bridge.name for bridge in BRIDGES)


class Rig:
    """All of it, for the length of a `with` block.

    Args:
        project: whose checkout is mounted in the guest, and in whose state firmware is built.
    """

    def __init__(self, image: Image, project: Project) -> None:
        self._image = image
        self._project = project
        self._stack = ExitStack()
        self.boards: dict[str, WiredBoard] = {}
        self._given = False

    def __enter__(self) -> Rig:
        with ExitStack() as stack:
            self.guest = stack.enter_context(
                Guest(self._image, self._project.root, HUBS, (SERVER_PORT,))
            )
            for bridge in BRIDGES:
                stack.enter_context(self.wired(bridge))
            stack.enter_context(_PowerOfHub(self.guest.places.traffic("hub-1"), self._powered))
            stack.enter_context(self._probe())
            self._stack = stack.pop_all()
        self.guest.write("/etc/hil/rig.toml", RIG_FILE)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def wired(self, bridge: Bridge) -> Iterator[WiredBoard]:
        """A bridge plugged into its socket, with a board behind it."""
        places = self.guest.places
        self.guest.plug(bridge)
        board = WiredBoard(bridge.name, places.uart(bridge.name), places.traffic(bridge.name))
        self.boards[bridge.name] = board
        with closing(board):
            yield board
        del self.boards[bridge.name]

    def prepare(self, name: str) -> WiredBoard:
        """The board runs its firmware, and the guest has no need to build it."""
        if not self._given:
            self.give_firmware()
            self._given = True
        if not self.boards[name].starts:
            self.flash_from_here(name)
        return self.boards[name]

    def measuring(self, name: str, timeout_s: float) -> bool:
        """Whether much went over a board's bridge in time, as it does once a run measures."""
        traffic = self.guest.places.traffic(name)
        before = traffic.stat().st_size
        return wait_until(lambda: traffic.stat().st_size > before + _MUCH, timeout_s)

    def give_firmware(self, names: Sequence[str] = NAMES, text: str = RIG_FILE) -> None:
        """Build the boards' firmware here, where it takes seconds, and bring it to the guest."""
        state = self._project.state
        self._bring([str(self._built(name, text).parent.relative_to(state)) for name in names])

    def flash_from_here(self, name: str, text: str = RIG_FILE) -> None:
        """Put firmware into a board without the guest.

        Args:
            text: the rig file that it is in.
        """
        self.boards[name].flash(self._built(name, text))

    def _built(self, name: str, text: str) -> Path:
        registry = parse_rig(text, load_registry(), Path("/etc/hil/rig.toml")).extend(
            load_registry()
        )
        sine = resolve_model("sine", self._project.artifacts)
        return Builder(self._project).build(registry[name], "aot", sine).elf

    def _bring(self, folders: list[str]) -> None:
        here = shlex.join(["tar", "-C", str(self._project.state), "-cf", "-", *folders])
        there = "mkdir -p state && tar -C state -xf -"
        ssh = ssh_command(self._image, self.guest.places, "hil", there)
        line = f"{here} | {shlex.join(ssh)}"
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, timeout=120)
        if done.returncode:
            raise RigError(f"firmware was not brought: {done.stderr.decode()[-300:]}")

    def _powered(self, port: int, on: bool) -> None:
        """A hub's port was switched: the board in it has a supply, or none."""
        for bridge in BRIDGES:
            if bridge.socket == f"1.{port}":
                self.boards[bridge.name].power(on)

    def _probe(self) -> ExitStack:
        """What the guest's uploader reaches."""
        rig = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = 30

            def handle(self) -> None:
                self.wfile.write(rig._flash(self.rfile).encode() + b"\n")

        server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        self.guest.write("/opt/rig/probe-flash", _FLASHES.format(host=HOST, port=port), "755")
        with ExitStack() as stack:
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return stack.pop_all()

    def _flash(self, sent) -> str:
        words = sent.readline(200).decode(errors="replace").split()
        named = {bridge.serial_number: bridge.name for bridge in BRIDGES}
        if len(words) != 2 or words[0] not in named or not words[1].isdigit():
            return "no board of that number"
        content = sent.read(min(int(words[1]), _MOST_ELF))
        if len(content) != int(words[1]):
            return "the firmware did not arrive whole"
        elf = self.guest.places.folder / f"{named[words[0]]}.elf"
        elf.write_bytes(content)
        self.boards[named[words[0]]].flash(elf)
        return "ok"


class _PowerOfHub:
    """Tells of each time that a hub was told to switch a port."""

    def __init__(self, path: Path, tell) -> None:
        self._traffic = Traffic(path)
        self._tell = tell
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _PowerOfHub:
        self._traffic.events()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            for event in self._traffic.events():
                if isinstance(event, Power):
                    with suppress(RigError):
                        self._tell(event.port, event.on)


def wait_until(true, timeout_s: float) -> bool:
    """Whether something became true in time."""
    until = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
