"""Firmware that faults or allocates when told to, out of a copy of the sources."""

import re
from pathlib import Path

from fakes.sources import changed_sources, lend_packages

from harness.board.registry import Board
from harness.errors import Where
from harness.firmware.build import Builder
from harness.link.streams import ByteStream, StreamClosed
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.qemu import QemuProcess

NOWHERE, NOWHERE_RISCV = 0x3F000000, 0x1F000000
"""Addresses at which no board with a Cortex-M, and none with a RISC-V, has anything."""

_FEED = "    server.Feed(chunk, size);\n"
_HEAD = '#include <cstdlib>\nextern "C" char* strdup(const char*);\n'
_SPOILT = f"""
    static uint32_t last;
    char told = 0;  // The byte behind these, which no frame of the tests holds.
    for (size_t i = 0; i < size; ++i) {{
      if (last == 0x21402321) told = static_cast<char>(chunk[i]);
      last = last << 8 | chunk[i];
    }}
    static void* volatile kept;
#if defined(__riscv)
    static volatile uint32_t nowhere = {NOWHERE_RISCV:#x};
#else
    static volatile uint32_t nowhere = {NOWHERE:#x};
#endif
    if (told == 'm') kept = malloc(size);
    if (told == 'f') free(kept);
    if (told == 'n') kept = new int[4];
    if (told == 'l') kept = strdup("text");  // The C library's own, built without our flags.
    if (told == 't') __builtin_trap();
#if defined(ARDUINO)
    if (told == 'a') abort();  // The port's; of bare ones, that of TFLite Micro's builds.
#endif
    if (told == 'r') kept = *reinterpret_cast<void* volatile*>(nowhere);
    if (told == 'w') *reinterpret_cast<volatile uint32_t*>(nowhere) = size;
    if (told == 'j') reinterpret_cast<void (*)()>(nowhere)();
#if defined(__riscv)
    if (told == 's') asm volatile("mv sp, %0\\n sw sp, (sp)" : : "r"(nowhere));
    if (told == 'i') asm volatile(".word 0x00007053");  // fadd.s f0, f0, f0
#else
    if (told == 's') asm volatile("mov sp, %0\\n push {{%0}}" : : "l"(nowhere));
#endif
"""
TELLS = b"!@#!"
"""What comes before the letter that says what to do."""

ANSWERED = b"m-ready\n"
"""The answer to an empty command of MLPerf Tiny."""


class Spoilt:
    """Builds it for any board, in a project of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        main = folder / "firmware" / "src" / "main.cpp"
        self.project = changed_sources(folder, "firmware/src/main.cpp", _FEED, _SPOILT + _FEED)
        lend_packages(self.project)
        main.write_text(_HEAD + main.read_text())
        self.sine = resolve_model("sine", find_project().artifacts)

    def elf(self, board: Board) -> Path:
        """The firmware's file."""
        return Builder(self.project).build(board, "aot", self.sine).elf


def last_words(board: Board, elf: Path, told: str, *, counted: bool = True) -> str:
    """What the emulator says as it ends, once the firmware has answered and then is told this."""
    assert board.emulator is not None
    with QemuProcess(board.emulator, elf, where=Where(board=board.id), counted=counted) as process:
        assert answer(process.stream).startswith(ANSWERED)
        process.stream.write(TELLS + told.encode())
        try:
            while process.stream.read(20):
                pass
        except StreamClosed as closed:
            return str(closed)
    raise AssertionError(f"{board.id} goes on after {told!r}")


def answer(stream: ByteStream) -> bytes:
    """What firmware says to an empty command, asked again: a UART that is off drops bytes."""
    said = b""
    for _ in range(20):
        stream.write(b"%")
        while not said.endswith(b"\n") and (more := stream.read(1)):
            said += more
        if said:
            break
    return said


def named(said: str) -> str:
    """What the firmware said as it ended, from an emulator that ended as it should."""
    found = re.search(r"ended with status 0; it said: firmware fault: (.*)$", said)
    assert found, said
    return found[1]
