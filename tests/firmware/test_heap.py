"""On a simulated chip firmware without a heap names what allocates, and its faults, at its UART.

On emulated boards: test_cores.py.
"""

import re

import pytest
from fakes.spoilt import TELLS, Spoilt

from harness.board.registry import load_registry

SIMULATED = load_registry()["nrf52840dk-sim"]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    pytest.importorskip("unicorn")
    from harness.sim.elf import load_segments

    return load_segments(Spoilt(tmp_path_factory.mktemp("heap")).elf(SIMULATED))


def last_said(image, told: str) -> bytes:
    """What the DK's firmware says before it stops for good."""
    from harness.sim.machine import Machine, Pause
    from harness.sim.nrf52840.chip import Nrf52840

    chip = Nrf52840()
    machine = Machine(chip, image)
    for given in (b"%", TELLS + told.encode(), b"%"):
        while machine.run() is Pause.BUSY:
            pass
        chip.offer(given)
    assert machine.run() is Pause.IDLE
    greeting, _, said = chip.take().partition(b"\n")
    assert greeting == b"m-ready"
    return said


@pytest.mark.parametrize(
    "told, named",
    [("m", "malloc"), ("f", "free"), ("n", r"operator new\[\]"), ("l", "_malloc_r")],
)
def test_on_the_nrf52840_it_is_said_at_the_uart(image, told, named):
    said = f"firmware fault: {named} called, but there is no heap; lr=0x\\w+\n"
    assert re.fullmatch(said, last_said(image, told).decode())


def test_a_fault_of_the_nrf52840_is_said_at_the_uart(image):
    said = last_said(image, "t").decode()
    assert re.fullmatch(
        r"firmware fault: HardFault \(UsageFault\) ipsr=0x00000003 cfsr=0x00010000"
        r" hfsr=0x40000000 .*"
        r" exc_return=0xfffffff9 sp=0x2003\w+ pc=0x0000\w+ lr=0x\w+ xpsr=0x\w+ r0=0x\w+\n",
        said,
    )
