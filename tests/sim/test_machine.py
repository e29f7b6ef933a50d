"""The simulated CPU: counted instructions, exceptions, time, and what it does not know."""

import struct

import pytest

pytest.importorskip("unicorn")

from fakes.assembled import SPACE, STACK, machine_of  # noqa: E402

from harness.sim.core import CONTROL, GENERAL, MSP, PSP, SP, XPSR  # noqa: E402
from harness.sim.errors import SimulationError, Unknown  # noqa: E402
from harness.sim.machine import Pause  # noqa: E402


def finish(text, *, most=100_000, **options):
    """A machine whose program has come to its end, a loop of one instruction."""
    machine, chip = machine_of(text, **options)
    resets = -1
    while resets != machine.resets:  # A run ends with a reset too.
        resets = machine.resets
        pause = machine.run(most)
    assert pause is Pause.IDLE
    return machine, chip


def words(machine, count, at=SPACE):
    return list(struct.unpack(f"<{count}I", machine.core.read_memory(at, 4 * count)))


CONDITIONAL = """
reset:  movs r0, #0
        movs r1, #0
        movs r2, #20
1:      tst r2, #1
        ittee eq
        addeq r0, #1
        addeq r0, #2
        addne r1, #4
        addne r1, #8
        subs r2, #1
        bne 1b
2:      yield                   @ Nothing is due: the machine hands back control here.
        b 2b
"""


def test_slices_of_any_length_execute_the_same_instructions():
    whole, _ = finish(CONDITIONAL)
    counts = {whole.instructions}
    for most in range(1, 12):
        machine, _ = machine_of(CONDITIONAL)
        while machine.run(most) is Pause.BUSY:
            pass
        counts.add(machine.instructions)
        assert machine.core.group(*GENERAL[:3]).read() == [30, 120, 0]
    # Three before the loop; in a round tst, it, two of the four, subs, bne; the last one.
    assert counts == {3 + 20 * 6 + 1}


def test_time_is_instructions_times_the_cycles_of_each():
    one, _ = finish(CONDITIONAL)
    three, _ = finish(CONDITIONAL, cycles_per_instruction=3)
    assert three.instructions == one.instructions
    assert three.now() == 3 * one.now()


CALL = f"""
reset:  ldr r4, ={SPACE:#x}
        ldr r0, =0x10203040
        ldr r1, =0x7fffffff
        adds r2, r1, #1
        svc 7
        mrs r3, apsr
        stmia r4, {{r0-r3, r12, lr}}
        b .
svc:    mrs r3, ipsr
        str r3, [r4, #32]
        str lr, [r4, #36]
        movs r0, #5
        movs r1, #0
        bx lr
"""


def test_a_call_returns_with_registers_and_flags_as_they_were():
    machine, _ = finish(CALL)
    r0, r1, r2, flags, *_ = words(machine, 6)
    assert (r0, r1, r2) == (0x10203040, 0x7FFFFFFF, 0x80000000)
    assert flags == 0x90000000  # N and V, of the addition.
    assert words(machine, 2, SPACE + 32) == [11, 0xFFFFFFF9]
    assert machine.core.get(SP) == STACK


FLOATS = f"""
reset:  ldr r0, =0xe000ed88
        ldr r1, =0xf00000
        str r1, [r0]
        vmov.f32 s0, #1.5
        vmov.f32 s15, #-2.0
        vmov.f32 s31, #0.5
        ldr r0, =0x03000000
        vmsr fpscr, r0
        sub sp, #4
        svc 0
        vmrs r1, fpscr
        ldr r4, ={SPACE:#x}
        vstr s0, [r4]
        vstr s15, [r4, #4]
        vstr s31, [r4, #8]
        str r1, [r4, #12]
        str r5, [r4, #16]
        b .
svc:    mov r5, lr
        vmov.f32 s0, #8.0
        vmov.f32 s15, #8.0
        movs r0, #0
        vmsr fpscr, r0
        bx lr
"""


def test_a_call_keeps_the_floating_point_registers_that_the_standard_says():
    machine, _ = finish(FLOATS)
    floats = struct.unpack("<3f", machine.core.read_memory(SPACE, 12))
    assert floats == (1.5, -2.0, 0.5)
    assert words(machine, 2, SPACE + 12) == [0x03000000, 0xFFFFFFE9]
    assert machine.core.get(SP) == STACK - 4  # Not aligned to 8 bytes when it was called.
    assert machine.core.get(CONTROL) & 4


THREAD = f"""
reset:  ldr r0, =0x20010000
        msr psp, r0
        movs r0, #2
        msr control, r0
        isb
        push {{r0}}
        svc 0
        ldr r4, ={SPACE:#x}
        str r5, [r4]
        str r6, [r4, #4]
        b .
svc:    mov r5, lr
        mov r6, sp
        bx lr
"""


def test_a_thread_has_a_stack_of_its_own():
    machine, _ = finish(THREAD)
    assert words(machine, 2) == [0xFFFFFFFD, STACK]
    assert (machine.core.get(MSP), machine.core.get(PSP)) == (STACK, 0x20010000 - 4)


URGENT = f"""
reset:  ldr r4, ={SPACE:#x}
        ldr r0, =0xe000e400
        ldr r1, =0x2040c0
        str r1, [r0]            @ irq0 0xc0, irq1 0x40, irq2 0x20
        ldr r0, =0xe000e100
        movs r1, #7
        str r1, [r0]
        movs r5, #0
        ldr r0, =0xe000e200
        movs r1, #1
        str r1, [r0]            @ irq0 is pending: taken before the next instruction
        str r5, [r4]
        b .
irq0:   lsls r5, #4
        adds r5, #1
        movs r1, #6
        str r1, [r0]            @ irq2 first, then irq1, before this goes on
        lsls r5, #4
        adds r5, #4
        bx lr
irq1:   lsls r5, #4
        adds r5, #3
        bx lr
irq2:   lsls r5, #4
        adds r5, #2
        bx lr
"""


def test_interrupts_are_taken_at_once_and_by_their_priority():
    machine, _ = finish(URGENT)
    assert words(machine, 1) == [0x1234]


MASKED = f"""
reset:  ldr r4, ={SPACE:#x}
        ldr r0, =0xe000e100
        movs r1, #1
        str r1, [r0]
        movs r5, #0
        movs r2, #0x80
        ldr r0, =0xe000e400
        str r2, [r0]
        {{mask}}
        ldr r0, =0xe000e200
        str r1, [r0]
        movs r3, #200
1:      subs r3, #1
        bne 1b
        str r5, [r4]            @ still 0
        movs r6, #0
        {{unmask}}
        str r5, [r4, #4]        @ 1
        b .
irq0:   movs r5, #1
        bx lr
"""


@pytest.mark.parametrize(
    "mask, unmask",
    [
        ("cpsid i", "cpsie i"),
        ("msr basepri, r2", "msr basepri, r6"),
        ("cpsid f", "cpsie f"),
    ],
)
def test_a_masked_interrupt_waits_until_it_is_unmasked(mask, unmask):
    machine, _ = finish(MASKED.format(mask=mask, unmask=f"{unmask}\n" + "nop\n" * 64))
    assert words(machine, 2) == [0, 1]


def test_an_unknown_instruction_is_a_hard_fault():
    machine, _ = finish("reset: udf #1\nhard: mov r7, lr\nb .\n")
    assert machine.core.get(GENERAL[7]) == 0xFFFFFFF9
    assert machine.core.get(XPSR) & 0x1FF == 3


@pytest.mark.parametrize(
    "code, said",
    [
        ("ldr r1, [r0]", r"read of UARTE0 \+ 0x400, .* at pc 0x00000106"),
        ("str r1, [r0]", r"write to UARTE0 \+ 0x400, .* at pc 0x00000106"),
        ("ldrb r1, [r0, #0x100]", "8-bit read of UARTE0.ENABLE, which takes words only"),
        ("ldr r1, [r2]", "read of address 0x40010000, where there is no peripheral"),
        ("str r1, [r3]", "write to address 0x60000000"),
        ("str r1, [r4]", "write to address 0x00000200"),
        ("bx r3", "jump to address 0x60000000"),
        ("bkpt 1", "breakpoint at pc"),
        ("movs r1, #4\nbx lr", "jump to|return from"),
    ],
)
def test_what_is_not_known_is_an_error_and_never_0(code, said):
    program = f"""
    reset:  ldr r0, =0x40002400
            ldr r2, =0x40010000
            {code}
            b .
    """.replace("reset:", "reset: ldr r3, =0x60000001\nsubs r3, #1\nmov r4, #0x200\n")
    program = program.replace("bx r3", "adds r3, #1\nbx r3")
    machine, _ = machine_of(program.replace("bx lr", "mvn lr, #6\nbx lr"))
    with pytest.raises(SimulationError, match=said.replace("0x00000106", r"0x\w+")):
        machine.run(1000)


def test_an_unknown_register_names_where_it_was_accessed():
    machine, _ = machine_of("reset: ldr r0, =0x40027000\nldr r1, [r0, #0x7fc]\nb .\n")
    with pytest.raises(Unknown) as caught:
        machine.run(1000)
    begin = machine.core.word(4) & ~1
    assert caught.value.pc == begin + 2


WAITS = """
reset:  ldr r0, =0xe000edfc
        ldr r1, =0x01000000
        str r1, [r0]
        ldr r0, =0xe0001000
        movs r1, #1
        str r1, [r0]            @ CYCCNT counts
        ldr r1, =0x40008000     @ TIMER0 at 16 MHz, 32 bits
        movs r2, #0
        str r2, [r1, #0x510]
        movs r2, #3
        str r2, [r1, #0x508]
        mov r2, #1000
        str r2, [r1, #0x540]
        mov r2, #0x10000
        str r2, [r1, #0x304]
        ldr r3, =0xe000e100
        mov r2, #0x100
        str r2, [r3]            @ interrupt 8
        movs r2, #1
        ldr r5, [r0, #4]
        str r2, [r1]            @ START
1:      {wait}
        cmp r7, #0
        beq 1b
        ldr r6, [r0, #4]
        subs r6, r5
        b .
irq8:   movs r7, #1
        str r7, [r1, #4]        @ STOP
        movs r2, #0
        str r2, [r1, #0x140]
        ldr r2, [r1, #0x140]
        bx lr
"""


@pytest.mark.parametrize("wait, awake", [("nop", True), ("yield", True), ("wfi", False)])
def test_a_wait_takes_its_time_and_the_cycle_counter_sleeps_with_the_cpu(wait, awake):
    machine, _ = finish(WAITS.format(wait=wait))
    assert machine.now() > 4000  # 1000 periods of 16 MHz at 64 MHz.
    counted = machine.core.get(GENERAL[6])
    assert (4000 < counted < 4100) if awake else (counted < 100)


POLLS = """
reset:  ldr r1, =0x40008000
        movs r2, #3
        str r2, [r1, #0x508]
        ldr r2, =2000
        str r2, [r1, #0x540]
        movs r2, #1
        str r2, [r1]
1:      ldr r2, [r1, #0x140]
        cmp r2, #0
        beq 1b
        movs r2, #1
        str r2, [r1, #4]        @ STOP
2:      yield
        b 2b
"""


def test_rounds_of_a_polling_loop_are_counted_exactly_where_they_are_not_executed():
    skipping, _ = finish(POLLS)
    stepping, _ = machine_of(POLLS)
    stepping._skip_rounds = lambda cycles: None
    assert stepping.run(10_000_000) is Pause.IDLE
    assert skipping.now() == stepping.now() > 2_000 * 64
    assert skipping.instructions < 100 < stepping.instructions


RESETS = f"""
reset:  ldr r0, =0x4000051c
        ldr r1, [r0]            @ GPREGRET
        ldr r4, ={SPACE:#x}
        ldr r2, [r4]
        adds r2, #1
        str r2, [r4]
        cmp r1, #0x57
        beq 1f
        movs r1, #0x57
        str r1, [r0]
        ldr r0, =0xe000ed0c
        ldr r1, =0x05fa0004
        str r1, [r0]
        b .
1:      ldr r0, =0x40000400
        ldr r3, [r0]            @ RESETREAS
        str r3, [r4, #4]
        b .
"""


def test_a_reset_keeps_ram_and_the_retained_register_and_tells_its_reason():
    machine, _ = finish(RESETS)
    assert machine.resets == 1
    assert words(machine, 2) == [2, 4]


def test_systick_comes_every_period():
    machine, _ = finish(
        """
    reset:  ldr r0, =0xe000e010
            ldr r1, =999
            str r1, [r0, #4]
            movs r1, #7
            str r1, [r0]
    1:      cmp r7, #5
            bne 1b
            movs r1, #0
            str r1, [r0]
    2:      yield
            b 2b
    systick: adds r7, #1
            bx lr
    """
    )
    assert 5000 <= machine.now() < 5100
