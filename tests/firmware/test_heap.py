"""Firmware without a core of others has no heap: whatever allocates is named and ends it."""

import os
import re
import shutil

import pytest

from harness.board.registry import load_registry
from harness.errors import Where
from harness.firmware.build import Builder
from harness.link.streams import StreamClosed
from harness.model.resolve import resolve_model
from harness.project import Project, find_project
from harness.rig.qemu import QemuProcess

QEMU_M4 = load_registry()["qemu-m4"]
SIMULATED = load_registry()["nrf52840dk-sim"]
# That of another machine; the others where CI asks, as each compiles the whole firmware.
EVERY_CORE = ["qemu-m55"]
if os.environ.get("HIL_EVERY_CORE"):
    EVERY_CORE += ["qemu-m0", "qemu-m3", "qemu-m7", "qemu-m33"]
FEED = "    server.Feed(chunk, size);\n"
HEAD = '#include <cstdlib>\nextern "C" char* strdup(const char*);\n'
ALLOCATES = """
    static void* volatile kept;
    if (chunk[0] == 'm') kept = malloc(size);
    if (chunk[0] == 'f') free(kept);
    if (chunk[0] == 'n') kept = new int[4];
    if (chunk[0] == 't') __builtin_trap();
    if (chunk[0] == 'l') kept = strdup("text");  // Newlib's own, built without our flags.
"""


@pytest.fixture(scope="module")
def build(objects, tmp_path_factory):
    """Builds firmware that allocates when told to, out of a copy of the sources."""
    project = find_project()
    folder = tmp_path_factory.mktemp("heap")
    shutil.copytree(project.firmware, folder / "firmware")
    shutil.copy(project.root / "platformio.ini", folder)
    main = folder / "firmware" / "src" / "main.cpp"
    source = main.read_text()
    assert source.count(FEED) == 1
    main.write_text(HEAD + source.replace(FEED, ALLOCATES + FEED))
    sine = resolve_model("sine", project.artifacts)
    builder = Builder(Project(root=folder, state=folder / "state"))
    return lambda board: builder.build(board, "aot", sine)


@pytest.fixture(scope="module")
def allocating(build):
    return build(QEMU_M4)


ALLOCATIONS = pytest.mark.parametrize(
    "told, named",
    [("m", "malloc"), ("f", "free"), ("n", r"operator new\[\]"), ("l", "_malloc_r")],
)


def last_words(board, elf, told):
    """What the emulator says as it ends, once the firmware is told this."""
    with QemuProcess(board.emulator, elf, where=Where(board=board.id)) as process:
        process.stream.write(b"%")
        greeted = b""
        while not greeted.endswith(b"\n"):
            greeted += process.stream.read(10)
        assert greeted == b"m-ready\n"
        process.stream.write(told.encode())
        with pytest.raises(StreamClosed) as caught:
            while True:
                process.stream.read(10)
    return str(caught.value)


@ALLOCATIONS
def test_use_of_the_heap_ends_the_emulator_and_is_named(allocating, told, named):
    said = f"status 0; it said: firmware fault: {named} called, but there is no heap; lr=0x"
    assert re.search(said, last_words(QEMU_M4, allocating.elf, told))


@pytest.mark.parametrize("core", EVERY_CORE)
def test_every_core_names_its_fault_and_what_calls_the_heap(build, core):
    board = load_registry()[core]
    elf = build(board).elf
    heap = r"status 0; it said: firmware fault: malloc called, but there is no heap; lr=0x\w{8}$"
    assert re.search(heap, last_words(board, elf, "m"))
    said = last_words(board, elf, "t")
    # A Cortex-M0 has no register that tells the cause.
    cause = "" if board.core == "cortex-m0plus" else r" cfsr=0x00010000 hfsr=0x40000000 .*"
    fault = rf"firmware fault: HardFault ipsr=0x00000003{cause} exc_return=0xffffff\w\w sp=0x\w+"
    assert re.search(fault + r" pc=0x\w+ lr=0x\w+ xpsr=0x\w+ r0=0x\w+$", said), said


@pytest.fixture(scope="module")
def image(build):
    pytest.importorskip("unicorn")
    from harness.sim.elf import load_segments

    return load_segments(build(SIMULATED).elf)


def last_said(image, told: str) -> bytes:
    """What the DK's firmware says before it stops for good."""
    from harness.sim.machine import Machine, Pause
    from harness.sim.nrf52840.chip import Nrf52840

    chip = Nrf52840()
    machine = Machine(chip, image)
    for given in (b"%", told.encode(), b"%"):
        while machine.run() is Pause.BUSY:
            pass
        chip.offer(given)
    assert machine.run() is Pause.IDLE
    greeting, _, said = chip.take().partition(b"\n")
    assert greeting == b"m-ready"
    return said


@ALLOCATIONS
def test_on_the_nrf52840_it_is_said_at_the_uart(image, told, named):
    said = f"firmware fault: {named} called, but there is no heap; lr=0x\\w+\n"
    assert re.fullmatch(said, last_said(image, told).decode())


def test_a_fault_of_the_nrf52840_is_said_at_the_uart(image):
    said = last_said(image, "t").decode()
    assert re.fullmatch(
        r"firmware fault: HardFault ipsr=0x00000003 cfsr=0x00010000 hfsr=0x40000000 .*"
        r" exc_return=0xfffffff9 sp=0x2003\w+ pc=0x0000\w+ lr=0x\w+ xpsr=0x\w+ r0=0x\w+\n",
        said,
    )
