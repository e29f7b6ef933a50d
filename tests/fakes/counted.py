"""What QEMU counted of a firmware, by the names of its functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.board.registry import Emulator
from harness.errors import Where
from harness.firmware.functions import code_map
from harness.measure.counts import InvokeCounts
from harness.rig.counting import INVOKE, counting
from harness.rig.qemu import START_S, QemuProcess, installed_qemu

WHERE = Where(board="counted")


def counted_invokes(emulator: Emulator, elf: Path, folder: Path) -> tuple[InvokeCounts, ...]:
    """Two in a row of a firmware that says `r` when it listens and sends back what it gets."""
    with (
        counting(elf, folder, installed_qemu(emulator), where=WHERE) as counter,
        QemuProcess(emulator, elf, where=WHERE, counter=counter) as process,
    ):
        assert process.stream.read(START_S) == b"r"

        def each() -> Iterator[InvokeCounts]:
            for byte in (b"a", b"b"):
                process.stream.write(byte)
                assert process.stream.read(START_S) == byte
                yield counter.read()

        return tuple(each())


def named(elf: Path, counts: InvokeCounts) -> dict[str, tuple[int, int]]:
    """Calls and instructions by the names of functions from the invoke on."""
    functions = code_map(elf).functions
    names: list[str] = []
    found: dict[str, tuple[int, int]] = {}
    for path in counts.paths:
        assert path.function is not None
        own = functions[path.function].name
        names.append(own if path.parent is None else f"{names[path.parent]} {own}")
        found[names[-1].removeprefix(INVOKE).strip()] = (path.calls, path.instructions)
    return found
