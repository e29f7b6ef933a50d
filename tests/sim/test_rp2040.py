"""A CDC device on the simulated RP2040, and the host that it is plugged into."""

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("rp2040py")

from harness.firmware.toolchain import ARM_GCC  # noqa: E402
from harness.sim.elf import Segment, find_function, load_segments  # noqa: E402
from harness.sim.errors import SimulationError, Unknown  # noqa: E402
from harness.sim.pause import Pause  # noqa: E402
from harness.sim.rest import REST  # noqa: E402
from harness.sim.rp2040.chip import FLASH, Rp2040  # noqa: E402

HERE = Path(__file__).parent
WAIT_FOR_INTERRUPT = b"\x30\xbf\xfd\xe7"  # wfi, and back to it.


def compiled(folder: Path, old: str = "", new: str = "") -> Path:
    """The device's ELF file, with text of its source replaced."""
    source, elf = folder / "cdc.c", folder / "cdc.elf"
    text = (HERE / "rp2040_cdc.c").read_text()
    assert not old or text.count(old) == 1
    source.write_text(text.replace(old, new) if old else text)
    flags = ["-mcpu=cortex-m0plus", "-mthumb", "-O2", "-ffreestanding", "-nostdlib", "-Wall"]
    script = ["-T", HERE / "rp2040.ld", "-Wl,-eReset"]
    subprocess.run([ARM_GCC, *flags, *script, source, "-o", elf], check=True)
    return elf


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("rp2040"))


def plugged_in(elf, *, rests=True):
    """A chip whose port a program has opened."""
    chip = Rp2040(load_segments(elf), rest=find_function(elf, REST) if rests else None)
    chip.start()
    chip.line(baud=115200, open=True)
    return chip


def answer(chip, data: bytes, size: int) -> bytes:
    """What it answers, until it is so much and, if it does so at all, the chip has come to rest."""
    chip.offer(data)
    got = b""
    for _ in range(2000):
        pause = chip.run()
        got += chip.take()
        if len(got) >= size and pause is Pause.IDLE:
            break
    return got


@pytest.fixture(scope="module")
def shared(elf):
    return plugged_in(elf)


@pytest.fixture
def chip(elf):
    return plugged_in(elf)


def test_a_wait_for_the_timer_takes_its_time_and_10_us_more_at_most(shared):
    enumeration = 125_000 * 20
    assert 12_500_000 <= shared.now() < 12_501_250 + enumeration


def test_a_device_is_enumerated_and_echoes(shared):
    chip = shared
    found = chip.host.found
    assert (found.usb, found.serial_number) == ("2e8a:00c0", "AB12")
    assert (found.bulk_in, found.bulk_out) == (1, 2)
    for size in (1, 63, 64, 65, 200):
        data = bytes(range(200, 200 - size, -1))
        assert answer(chip, data, size) == bytes(value + 1 for value in data)


def test_two_runs_are_the_same_cycle_by_cycle(elf):
    seen = []
    for pause in (0, 3):
        chip = plugged_in(elf)
        cycles = []
        for data in (b"a", b"abc" * 30):
            assert len(answer(chip, data, len(data))) == len(data)
            for _ in range(pause):  # It makes no difference when the host comes with more.
                assert chip.run() is Pause.IDLE
            cycles.append(chip.now())
        seen.append(cycles)
    assert seen[0] == seen[1]


def test_firmware_that_never_rests_is_served_too(elf):
    chip = plugged_in(elf, rests=False)
    while not chip.host.at_rest:
        assert chip.run() is Pause.BUSY
    chip.offer(b"abc")
    for _ in range(200):
        assert chip.run() is Pause.BUSY
        if got := chip.take():
            break
    assert got == b"bcd"


def test_a_touch_resets_it_and_the_port_is_open_again_as_it_was(chip):
    chip.line(baud=1200, open=True)
    chip.line(baud=1200, open=False)
    assert answer(chip, b"lost", 1) == b""
    assert chip.resets == 1 and chip.host.found is not None
    chip.line(baud=115200, open=True)
    assert answer(chip, b"abc", 3) == b"bcd"


def test_a_reset_of_its_own_leaves_the_line_open(tmp_path):
    """As firmware that resets on demand needs it: it answers only where it sees DTR."""
    old = '__asm volatile("bkpt 7")'
    chip = plugged_in(compiled(tmp_path, old, "WATCHDOG = 1u << 31"))
    assert answer(chip, b"!", 1) == b"" and chip.resets == 1
    assert answer(chip, b"abc", 3) == b"bcd"


def test_a_register_that_the_emulator_does_not_have_is_an_error_with_its_name(chip):
    with pytest.raises(Unknown, match=r"read TBMAN \+ 0x4, which .* at pc 0x1000"):
        answer(chip, b"?", 1)


def test_a_breakpoint_of_firmwares_own_is_an_error(chip):
    with pytest.raises(SimulationError, match="stopped at a breakpoint, at pc 0x1000"):
        answer(chip, b"!", 1)


def test_a_control_request_that_is_refused_is_an_error(tmp_path):
    with pytest.raises(SimulationError, match="refused control request 0x06"):
        plugged_in(compiled(tmp_path, "value >> 8 == 3", "value >> 8 == 9"))


def test_firmware_without_usb_is_an_error():
    chip = Rp2040([Segment(address=FLASH, content=WAIT_FOR_INTERRUPT)])
    with pytest.raises(SimulationError, match="did not show the host a USB device within 1 s"):
        chip.start()


@pytest.mark.parametrize("address", [0x20000000, FLASH - 2, FLASH + 0x200000 - 2])
def test_what_is_not_in_flash_cannot_be_loaded(address):
    with pytest.raises(SimulationError, match=f"4 bytes at 0x{address:08x} are not in flash"):
        Rp2040([Segment(address=address, content=bytes(4))])
