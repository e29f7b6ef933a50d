"""Peripherals of the simulated nRF52840, by programs that use them."""

import struct

import pytest

pytest.importorskip("unicorn")

from fakes.assembled import SPACE, machine_of  # noqa: E402

from harness.sim.core import GENERAL  # noqa: E402
from harness.sim.errors import SimulationError  # noqa: E402
from harness.sim.machine import Pause  # noqa: E402
from harness.sim.nrf52840.uarte import FIFO_BYTES  # noqa: E402

BYTE_CYCLES = 5560
"""10 bits at 115 108 baud, the rate that the specification gives, in cycles of 64 MHz."""

UART = f"""
reset:  ldr r0, =0x40002000
        ldr r1, =0x01d60000
        str r1, [r0, #0x524]
        movs r1, #8
        str r1, [r0, #0x500]
        ldr r4, ={SPACE:#x}
        {{program}}
done:   yield
        b done
"""
SEND = """
        str r4, [r0, #0x544]
        movs r1, #3
        str r1, [r0, #0x548]
        ldr r2, =0x00636261
        str r2, [r4]
        movs r1, #1
        str r1, [r0, #8]
1:      ldr r2, [r0, #0x120]
        cmp r2, #0
        beq 1b
"""
RECEIVE = """
        str r4, [r0, #0x534]
        movs r1, #{room}
        str r1, [r0, #0x538]
        movs r1, #1
        str r1, [r0, #0]
"""


def ran(program, given=b""):
    machine, chip = machine_of(UART.format(program=program))
    assert machine.run(100_000) is Pause.IDLE
    if given:
        chip.offer(given)
        assert machine.run(100_000) is Pause.IDLE
    return machine, chip


def ram(machine, size):
    return machine.core.read_memory(SPACE, size)


def test_bytes_sent_take_their_time_on_the_wire():
    machine, chip = ran(SEND)
    assert chip.take() == b"abc"
    assert 3 * BYTE_CYCLES <= machine.now() < 3 * BYTE_CYCLES + 40
    assert chip.take() == b""


def test_bytes_received_take_theirs_and_go_where_the_pointer_says():
    machine, chip = ran(RECEIVE.format(room=5))
    before = machine.now()
    chip.offer(b"hello")
    assert machine.run(100_000) is Pause.IDLE
    assert ram(machine, 6) == b"hello\0"
    assert 0 <= machine.now() - before - 5 * BYTE_CYCLES < 10


def test_bytes_wait_on_the_other_end_until_the_receiver_listens():
    program = "1: yield\nldr r7, [r4, #64]\ncmp r7, #0\nbeq 1b" + RECEIVE.format(room=2)
    machine, chip = machine_of(UART.format(program=program))
    chip.offer(b"hi")
    assert machine.run(1000) is Pause.IDLE
    assert ram(machine, 2) == b"\0\0"
    machine.core.write_memory(SPACE + 64, b"\1")
    assert machine.run(1000) is Pause.IDLE
    assert ram(machine, 2) == b"hi"


def test_what_the_fifo_cannot_hold_is_lost_and_told():
    machine, _ = ran(RECEIVE.format(room=1), b"0123456789")
    assert ram(machine, 2) == b"0\0"
    read = machine.core.bus.read
    assert read(0x40002124, 4) == 1  # EVENTS_ERROR
    assert read(0x40002480, 4) == 1  # ERRORSRC.OVERRUN
    got = b""
    for _ in range(FIFO_BYTES):  # What is left comes with the next transfers.
        machine.core.bus.write(0x40002000, 4, 1)
        got += ram(machine, 1)
    assert got == b"1234"


@pytest.mark.parametrize(
    "program, said",
    [
        (SEND.replace("str r4, [r0, #0x544]", ""), "DMA of 3 bytes at 0x00000000.*not in RAM"),
        (SEND.replace("movs r1, #3", "ldr r1, =0x123\nstr r1, [r0, #0x524]"), "UARTE0.BAUDRATE is"),
        ("movs r1, #0\nstr r1, [r0, #0x500]" + SEND, "UARTE0 is to send, but is not enabled"),
    ],
)
def test_a_transfer_that_the_chip_could_not_make_is_an_error(program, said):
    with pytest.raises(SimulationError, match=said):
        ran(program)


def test_an_rtc_counts_at_its_crystals_rate_and_compares():
    machine, _ = machine_of(
        f"""
    reset:  ldr r0, =0x40011000
            ldr r4, ={SPACE:#x}
            movs r1, #7             @ 4096 Hz
            str r1, [r0, #0x508]
            ldr r1, =4096
            str r1, [r0, #0x540]
            ldr r1, =0x10000
            str r1, [r0, #0x304]
            ldr r1, =0x20000        @ interrupt 17
            ldr r2, =0xe000e100
            str r1, [r2]
            movs r1, #1
            str r1, [r0]
    1:      yield
            ldr r3, [r4]
            cmp r3, #0
            beq 1b
            str r1, [r0, #4]
    2:      yield
            b 2b
    irq17:  movs r3, #0
            str r3, [r0, #0x140]
            ldr r3, [r0, #0x504]    @ COUNTER
            str r3, [r4]
            bx lr
    """
    )
    assert machine.run(1000) is Pause.IDLE
    assert struct.unpack("<I", ram(machine, 4)) == (4096,)
    assert 64_000_000 <= machine.now() < 64_000_100


def test_a_timer_is_captured_cleared_and_counts_in_its_bits():
    machine, _ = machine_of(
        """
    reset:  ldr r0, =0x40009000
            movs r1, #0
            str r1, [r0, #0x510]
            movs r1, #1             @ 8 bits
            str r1, [r0, #0x508]
            str r1, [r0]
            ldr r2, =300
    1:      subs r2, #1
            bne 1b
            str r1, [r0, #0x40]     @ CAPTURE[0]
            str r1, [r0, #0xc]      @ CLEAR
            str r1, [r0, #0x44]
            ldr r5, [r0, #0x540]
            ldr r6, [r0, #0x544]
            str r1, [r0, #4]
    2:      yield
            b 2b
    """
    )
    assert machine.run(10_000) is Pause.IDLE
    captured, cleared = machine.core.group(*GENERAL[5:7]).read()
    assert captured == (600 + 2) // 4 % 256
    assert cleared == 0


def test_the_crystal_takes_its_time_to_start():
    machine, _ = machine_of(
        """
    reset:  ldr r0, =0x40000000
            movs r1, #1
            str r1, [r0]
    1:      ldr r2, [r0, #0x100]
            cmp r2, #0
            beq 1b
            ldr r3, [r0, #0x40c]
    2:      yield
            b 2b
    """
    )
    assert machine.run(10_000) is Pause.IDLE
    assert machine.core.get(GENERAL[3]) == 0x10001
    assert 23_000 < machine.now() < 24_000  # 0.36 ms


def test_pins_are_set_cleared_and_pulled():
    machine, _ = machine_of(
        """
    reset:  ldr r0, =0x50000500
            movs r1, #0x40
            str r1, [r0, #0x08]
            movs r1, #3
            ldr r2, =0x50000700
            str r1, [r2, #24]       @ pin 6 drives
            movs r1, #12
            str r1, [r2, #32]       @ pin 8 is pulled up
            ldr r5, [r0, #0x10]
            movs r1, #0x40
            str r1, [r0, #0x0c]
            ldr r6, [r0, #0x10]
            ldr r7, [r0, #0x14]
    2:      yield
            b 2b
    """
    )
    assert machine.run(10_000) is Pause.IDLE
    assert machine.core.group(*GENERAL[5:8]).read() == [0x140, 0x100, 0x40]


def test_random_numbers_are_the_same_in_every_run():
    program = """
    reset:  ldr r0, =0x4000d000
            movs r1, #1
            movs r3, #0
            str r1, [r0]
    1:      ldr r2, [r0, #0x100]
            cmp r2, #0
            beq 1b
            movs r2, #0
            str r2, [r0, #0x100]
            ldr r2, [r0, #0x508]
            lsls r3, #8
            orrs r3, r2
            adds r4, #1
            cmp r4, #4
            bne 1b
            str r1, [r0, #4]
    2:      yield
            b 2b
    """
    seen = set()
    for _ in range(2):
        machine, _ = machine_of(program)
        assert machine.run(10_000) is Pause.IDLE
        seen.add(machine.core.get(GENERAL[3]))
    assert len(seen) == 1 and len(set(seen.pop().to_bytes(4, "little"))) > 1


def test_a_connection_of_events_is_refused_since_none_is_made():
    machine, _ = machine_of("reset: ldr r0, =0x4001f000\nstr r0, [r0, #0x504]\nb .\n")
    with pytest.raises(SimulationError, match=r"write to PPI \+ 0x504"):
        machine.run(1000)


RATE_CHANGED = """
        movs r1, #0x10
        lsls r1, #24            @ 1 Mbaud
        str r1, [r0, #0x524]
"""


@pytest.mark.parametrize(
    "given, came, errors", [(b"\0", b"\0", 0xC), (b"a", bytes((ord("a") ^ 0x5A,)), 4)]
)
def test_a_byte_at_another_rate_is_an_error_and_a_slow_zero_a_break(given, came, errors):
    program = RATE_CHANGED + RECEIVE.format(room=1)
    machine, chip = machine_of(UART.format(program=program))
    chip.line(baud=115200, open=True)
    assert machine.run(1000) is Pause.IDLE
    before = machine.now()
    chip.offer(given)
    assert machine.run(1000) is Pause.IDLE
    assert machine.now() - before == pytest.approx(BYTE_CYCLES, abs=20)
    assert ram(machine, 1) == came
    assert machine.core.bus.read(0x40002480, 4) == errors


def test_ends_of_the_same_rate_understand_each_other_at_a_megabaud():
    machine, chip = machine_of(UART.format(program=RATE_CHANGED + SEND))
    chip.line(baud=1_000_000, open=True)
    assert machine.run(1000) is Pause.IDLE
    assert chip.take() == b"abc"
    assert 3 * 640 <= machine.now() < 3 * 640 + 50


def test_what_is_sent_at_another_rate_is_garbage():
    machine, chip = machine_of(UART.format(program=RATE_CHANGED + SEND))
    chip.line(baud=115200, open=True)
    assert machine.run(1000) is Pause.IDLE
    assert chip.take() == bytes(byte ^ 0xA5 for byte in b"abc")


def written(address, value):
    """A machine that writes a word once and then loops."""
    program = f"reset: ldr r0, ={address:#x}\nldr r1, ={value:#x}\nstr r1, [r0]\ndone: b done\n"
    machine, _ = machine_of(program)
    return machine


@pytest.mark.parametrize(
    "address, value, said",
    [
        (0x40006510, 3, r"GPIOTE\.CONFIG\[0\] makes a pin a task"),
        (0x4001C500, 1, r"PWM0\.ENABLE is written, and PWM is not simulated"),
        (0x4001F504, 1, r"write to PPI \+ 0x504, which the simulator does not know"),
        (0x40036F00, 0, "write to NOTHING"),
    ],
)
def test_what_is_not_simulated_is_refused_by_its_name(address, value, said):
    with pytest.raises(SimulationError, match=said):
        written(address, value).run(100)


@pytest.mark.parametrize("address", [0x40006510, 0x4002D500, 0x40036FFF, 0x4000055C, 0x40027C1C])
def test_what_mbeds_core_writes_when_it_starts_is_let_pass(address):
    assert written(address, 0).run(100) is Pause.IDLE
