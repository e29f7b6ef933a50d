"""A Nano 33 BLE on the simulated chip, as a host treats it: our own little device, and the real
firmware where HIL_NANO33BLE_ELF names its firmware.elf, of `hil build --board nano33ble`.
"""

import os
from pathlib import Path

import pytest
from fakes.cdc import stepping
from fakes.plugged import HZ, Echo, Harness, Plugged
from fakes.samba import begin, image_of

pytest.importorskip("unicorn")

from harness.sim.elf import load_segments  # noqa: E402

REAL = os.environ.get("HIL_NANO33BLE_ELF", "")
APPLICATION, BOOTLOADER = "2341:805a", "2341:005a"


@pytest.fixture(scope="module")
def elves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nano")
    return {step: stepping(folder / str(step), step) for step in (1, 3)}


@pytest.fixture(
    params=[
        "cdc",
        pytest.param(
            "real", marks=pytest.mark.skipif(not REAL, reason="HIL_NANO33BLE_ELF is not set")
        ),
    ]
)
def elf(request, elves):
    return Path(REAL) if request.param == "real" else elves[1]


@pytest.fixture
def plugged(elf):
    return Plugged(elf)


def asked(plugged, elf):
    """The board with its port open, and what can be asked of it."""
    plugged.open()
    plugged.settle()
    return Harness(plugged) if str(elf) == REAL else Echo(plugged)


def touch(plugged):
    plugged.open(1200)
    plugged.shut(1200)
    plugged.settle()


def test_it_enumerates_at_each_start_and_in_the_same_time(elf):
    seen = {(one.usb, one.host.found.serial_number, one.now()) for one in map(Plugged, [elf] * 5)}
    assert len(seen) == 1
    assert next(iter(seen))[:2] == (APPLICATION, "FFFF456789ABCDEF")


def test_the_port_can_be_opened_twenty_times(plugged, elf):
    device = asked(plugged, elf)
    for _ in range(20):
        plugged.shut()
        plugged.settle()
        plugged.open()
        device.check()


def test_closing_in_mid_reply_leaves_it_answering(plugged, elf):
    device = asked(plugged, elf)
    for steps in range(1, 60, 6):
        plugged.write(device.request)
        for _ in range(steps):
            plugged.machine.run(97)
        plugged.shut()
        plugged.settle()
        plugged.open()
        device.check()


def test_a_host_that_reads_nothing_for_a_second_gets_the_next_reply(plugged, elf):
    device = asked(plugged, elf)
    plugged.host.reading = False
    plugged.write(device.request)
    second = plugged.machine.now() + HZ
    plugged.machine.at(second, lambda: None)  # For a device that waits for nothing but the host.
    for _ in range(3000):
        plugged.machine.run()
        if plugged.machine.now() >= second:
            break
    assert plugged.machine.now() >= second
    assert plugged.board.take() == b""
    plugged.host.reading = True
    plugged.host.wake()
    device.check()


def test_half_a_frame_does_not_keep_the_next_one_from_being_answered(plugged, elf):
    device = asked(plugged, elf)
    for size in (1, 33, len(device.request) // 2, len(device.request) - 1):
        plugged.write(device.request[:size])
        device.check()


def test_touch_upload_and_return(plugged, elf):
    touch(plugged)
    assert plugged.usb == BOOTLOADER
    assert plugged.board.shown.serial_number == "0" * 16 + "ffff456789abcdef"
    plugged.upload(image_of(load_segments(elf)))
    assert plugged.usb == APPLICATION
    asked(plugged, elf).check()


def test_what_was_uploaded_is_what_runs_then(elves):
    plugged = Plugged(elves[1])
    touch(plugged)
    plugged.upload(image_of(load_segments(elves[3])))
    Echo(plugged, step=3).check()


def test_a_reset_without_the_touch_starts_the_application(elves):
    plugged = Plugged(elves[1])
    plugged.machine.ask_reset()
    plugged.settle()
    assert (plugged.machine.resets, plugged.usb) == (1, APPLICATION)
    Echo(plugged).check()


def test_erased_flash_has_nothing_to_start(elves):
    plugged = Plugged(elves[1])
    touch(plugged)
    plugged.board.offer(b"X00000000#K#")
    assert plugged.board.take() == b"X\n\r"
    plugged.settle()
    assert plugged.usb == BOOTLOADER
    plugged.upload(image_of(load_segments(elves[1])))
    Echo(plugged).check()


def test_flash_that_is_not_erased_keeps_its_cleared_bits(elves):
    plugged = Plugged(elves[1])
    touch(plugged)
    before = plugged.machine.core.read_memory(0x10000, 4)
    plugged.board.offer(b"S00000000,00000004#" + b"\x0f\xff\x00\xff" + b"Y00000000,0#")
    plugged.board.offer(b"Y00000000,00000004#")
    after = plugged.machine.core.read_memory(0x10000, 4)
    assert after == bytes(old & new for old, new in zip(before, b"\x0f\xff\x00\xff", strict=True))


@pytest.mark.parametrize(
    "said",
    [
        b"\0" * 300,
        b"#" * 50,
        b"Q#w00000000,4#R00000000,00000010#",
        b"X#V1#XFFFFFFFF#S00001FFF,00000002#Y00001000,0#YFFFFFFFF,00000001#Z000F0000,00000001#",
        b"S00000000,FFFFFFFF#",
        b"\xff\xfe#N" + b"0" * 100 + b"#",
    ],
)
def test_what_is_no_command_changes_nothing(elves, said):
    plugged = Plugged(elves[1])
    touch(plugged)
    flash = plugged.machine.core.read_memory(0x10000, 0xF0000)
    plugged.board.offer(said)
    answers = plugged.board.take()
    assert answers in (b"", b"Y\n\r")
    assert plugged.machine.core.read_memory(0x10000, 0xF0000) == flash
    plugged.board.offer(b"#")  # What is left of it ends here.
    plugged.board.take()
    begin(lambda data, size: (plugged.board.offer(data), plugged.board.take())[1])
