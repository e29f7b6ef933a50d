"""A CDC device on the simulated chip's USB, and the host that it is plugged into."""

import pytest
from fakes.cdc import compile_cdc

pytest.importorskip("unicorn")

from harness.link.streams import padded  # noqa: E402
from harness.sim.elf import load_segments  # noqa: E402
from harness.sim.errors import SimulationError  # noqa: E402
from harness.sim.machine import Machine, Pause  # noqa: E402
from harness.sim.nrf52840.chip import USB, Nrf52840  # noqa: E402


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiles the device, with text of its source replaced."""

    def compile_it(*replaced: str):
        return load_segments(compile_cdc(tmp_path_factory.mktemp("usb"), *replaced))

    return compile_it


@pytest.fixture(scope="module")
def image(build):
    return build()


def plugged_in(image):
    chip = Nrf52840(USB)
    machine = Machine(chip, image)
    settle(machine)
    return machine, chip


def settle(machine):
    for _ in range(20):
        if machine.run(1_000_000) is Pause.IDLE:
            return
    raise AssertionError("the machine did not come to rest")


def test_a_device_is_enumerated_and_echoes(image):
    machine, chip = plugged_in(image)
    found = chip.host.found
    assert (found.usb, found.serial_number) == ("2341:805a", "FFFF456789ABCDEF")
    assert (found.bulk_in, found.bulk_out) == (1, 2)
    for size in (1, 63, 64, 65, 200):
        data = bytes(range(size))
        chip.offer(data)
        settle(machine)
        assert chip.take() == bytes(value + 1 for value in data)


def test_each_of_many_starts_enumerates_in_the_same_time(image):
    times = {plugged_in(image)[0].now() for _ in range(10)}
    assert len(times) == 1


def test_a_host_that_does_not_read_loses_nothing(image):
    machine, chip = plugged_in(image)
    chip.host.reading = False
    chip.offer(b"x" * 300)
    settle(machine)
    assert chip.take() == b""
    assert 0 < len(chip.host.inward) < 300  # The device holds packets back meanwhile.
    chip.host.reading = True
    chip.host.wake()
    settle(machine)
    assert chip.take() == b"y" * 300


def test_the_touch_leads_to_the_bootloader_and_back(image):
    machine, chip = plugged_in(image)
    chip.line(baud=115200, open=True)
    chip.line(baud=115200, open=False)
    settle(machine)
    assert machine.resets == 0
    chip.line(baud=1200, open=True)
    settle(machine)
    assert machine.resets == 0
    chip.line(baud=1200, open=False)
    settle(machine)
    assert machine.resets == 1
    assert chip.host.found.usb == "2341:805a"
    chip.offer(b"abc")
    settle(machine)
    assert chip.take() == b"cde"  # It found the retained register as it was set.


SIZE_FIRST = """\
  const uint32_t size = USBD(0x4a8);
  USBD(0x728) = (uint32_t)buffer;
  USBD(0x72c) = size;
  USBD(0x30) = 1;
  while (!Happened(0x138)) {
  }
"""
SIZE_LAST = """\
  USBD(0x728) = (uint32_t)buffer;
  USBD(0x72c) = 64;
  USBD(0x30) = 1;
  while (!Happened(0x138)) {
  }
  for (volatile int i = 0; i < 10000; ++i) {  // Until another thread has its turn.
  }
  const uint32_t size = USBD(0x4a8);
"""
"""As mbed's stack does it: the size is asked for when the next packet may be there."""


def test_full_packets_survive_a_stack_that_asks_for_their_size_too_late(build):
    machine, chip = plugged_in(build(SIZE_FIRST, SIZE_LAST))
    frame = b"\0" + bytes(range(1, 71)) + b"\0"
    chip.offer(frame)
    settle(machine)
    assert len(chip.take()) == 2 * (len(frame) - 64)  # The short packet has cut the one before it.
    chip.offer(padded(frame))
    settle(machine)
    sent = chip.take()
    assert len(sent) == 128 and sent.endswith(bytes(value + 1 for value in frame))


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("request == 9", "request == 99", "refused control request 0x09"),
        ("request == 6 && kind == 2", "request == 6 && kind == 9", "refused control request 0x06"),
        ("7, 5, 0x02, 2, 64", "7, 5, 0x82, 2, 64", "no bulk endpoints in both directions"),
        ("if (Happened(0x15c)) Setup();", "", "did not answer a control transfer within 5 s"),
    ],
)
def test_a_device_that_breaks_the_rules_is_an_error(build, old, new, said):
    with pytest.raises(SimulationError, match=said):
        plugged_in(build(old, new))


def test_the_port_can_be_opened_twenty_times_and_closed_in_mid_reply(image):
    machine, chip = plugged_in(image)
    for round_ in range(20):
        chip.line(baud=115200, open=True)
        chip.offer(bytes(200))
        machine.run(50 + 97 * round_)  # Somewhere in the echo of 200 bytes.
        chip.line(baud=115200, open=False)
        settle(machine)
    assert chip.take() == b"\1" * 200 * 20


def test_firmware_that_waits_in_another_place_than_its_rest_still_hears_the_host(image):
    chip = Nrf52840(USB)
    machine = Machine(chip, image, rest=0xFFFF0)  # Which it never calls.
    settle(machine)
    chip.offer(b"abc")
    settle(machine)
    assert chip.take() == b"bcd"
