"""Mnemonics of the Armv7-M and Armv8-M Architecture Reference Manuals, as capstone and
objdump write them, and of the RISC-V Instruction Set Manual.
"""

import pytest

from harness.measure.kinds import KINDS, kind_of

EXAMPLES = {
    "load": "ldr ldr.w ldrsb ldrd ldm ldmia pop pop.w vldr vldmia vpop vldr.64 ldrex vldrw.u32",
    "store": "str strb.w strd stm stmdb push push.w vstr vpush strex stl vstrb.8",
    "alu": "add adds addw sub subs subw rsb sbcs and bic bics bfi bfc mov movs movw movt mvn lsl "
    "lsls.w asrs ror cmp cmn tst teq clz rev rev16 rbit sxtb uxth uxtab ssat usat ubfx moveq adr",
    "multiply": "mul muls mla mls smull umull smlal umaal smmul smmlar smulbb smlabt smlawb "
    "smlalbb",
    "divide": "sdiv udiv",
    "branch": "b b.w bl blx bx bne blt ble.w bls bxeq cbz cbnz tbb tbh le letp dlstp.32",
    "fpu": "vadd.f32 vmla.f32 vfma.f64 vmov vmov.f32 vcvt.s32.f32 vcvt.f32.u32 vcmpe.f32 vmrs "
    "vsqrt.f32",
    "simd": "smlad smladx smuad smlald sxtb16 sxtab16 uxtb16 sadd8 ssub16 qadd16 uhadd8 pkhbt sel "
    "usad8 ssat16 vmla.s32 vmlava.s8 vadd.i32 vctp.32 vmlavat.s16 vdup.32 vqrdmulh.s32 vand vorr "
    "vpsel vpst vpnot vpste",
    "other": "it itte nop dsb isb msr mrs cpsid wfi svc udf .byte",
}
RISCV = {
    "load": "lb lbu lh lhu lw lr.w lr.w.aq flw",
    "store": "sb sh sw sc.w sc.w.rl fsw",
    "alu": "add addi sub and andi or ori xor xori sll slli srl srli sra srai slt slti sltu sltiu "
    "lui auipc li mv not neg seqz snez sltz sgtz sh1add clz max minu rori rev8 bexti sext.b",
    "multiply": "mul mulh mulhu mulhsu",
    "divide": "div divu rem remu",
    "branch": "j jal jr jalr ret beq bne blt bltu bge bgeu beqz bnez blez bgez bltz bgtz bgt bleu",
    "fpu": "fadd.s fmadd.s fcvt.w.s fmv.x.w fsqrt.s",
    "other": "csrr csrw csrs fence fence.i ecall ebreak mret wfi amoadd.w amoswap.w.aq nop",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_instructions(kind: str) -> None:
    assert {name: kind_of(name) for name in EXAMPLES[kind].split()} == dict.fromkeys(
        EXAMPLES[kind].split(), kind
    )


@pytest.mark.parametrize("kind", RISCV)
def test_every_kind_has_its_instructions_of_a_riscv(kind: str) -> None:
    names = RISCV[kind].split()
    assert {name: kind_of(name) for name in names} == dict.fromkeys(names, kind)
