"""Emulated firmware has no heap: whatever allocates ends the emulator with its name."""

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
FEED = "    server.Feed(chunk, size);\n"
HEAD = '#include <cstdlib>\nextern "C" char* strdup(const char*);\n'
ALLOCATES = """
    static void* volatile kept;
    if (chunk[0] == 'm') kept = malloc(size);
    if (chunk[0] == 'f') free(kept);
    if (chunk[0] == 'n') kept = new int[4];
    if (chunk[0] == 'l') kept = strdup("text");  // Newlib's own, built without our flags.
"""


@pytest.fixture(scope="module")
def allocating(tmp_path_factory):
    """Firmware that allocates when told to, out of a copy of the sources."""
    project = find_project()
    folder = tmp_path_factory.mktemp("heap")
    shutil.copytree(project.firmware, folder / "firmware")
    shutil.copy(project.root / "platformio.ini", folder)
    main = folder / "firmware" / "src" / "main.cpp"
    source = main.read_text()
    assert source.count(FEED) == 1
    main.write_text(HEAD + source.replace(FEED, ALLOCATES + FEED))
    sine = resolve_model("sine", project.artifacts)
    return Builder(Project(root=folder, state=folder / "state")).build(QEMU_M4, "aot", sine)


@pytest.mark.parametrize(
    "told, named",
    [("m", "malloc"), ("f", "free"), ("n", r"operator new\[\]"), ("l", "_malloc_r")],
)
def test_use_of_the_heap_ends_the_emulator_and_is_named(allocating, told, named):
    assert QEMU_M4.emulator is not None
    with QemuProcess(QEMU_M4.emulator, allocating.elf, where=Where(board="qemu-m4")) as process:
        process.stream.write(b"%")
        greeted = b""
        while not greeted.endswith(b"\n"):
            greeted += process.stream.read(10)
        assert greeted == b"m-ready\n"
        process.stream.write(told.encode())
        said = f"status 0; it said: firmware fault: {named} called, but there is no heap; lr=0x"
        with pytest.raises(StreamClosed, match=said):
            while True:
                process.stream.read(10)
