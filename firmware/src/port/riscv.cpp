// Reset, faults and masked interrupts of a bare RISC-V.
#include "port/riscv.h"

#include "format.h"
#include "port/bare.h"
#include "port/port.h"

extern "C" {
void TrapVectors();
[[noreturn]] void Start();
[[noreturn]] void ReportFault(uint32_t sp, uint32_t ra);
}

// Entry 0 is of all exceptions, entry n of interrupt n. Each is one instruction of four bytes.
asm(R"(
  .section .text.TrapVectors, "ax", @progbits
  .option push
  .option norvc
  .balign 64
  .globl TrapVectors
  .type TrapVectors, @function
TrapVectors:
  .rept 11
  j FaultHandler
  .endr
  j ExternalHandler
  .size TrapVectors, . - TrapVectors
  .option pop
)");

namespace {

constexpr uint32_t kVectored = 1;

void AddRegister(TextBuffer* text, const char* name, uint32_t value) { text->Add(name).Add("=0x").AddHex(value, 8); }

// As table 3.6 of the privileged architecture has them, but for those of modes that are not used.
const char* FaultName(uint32_t cause) {
  switch (cause) {
    case 0: return "instruction address misaligned";
    case 1: return "instruction access fault";
    case 2: return "illegal instruction";
    case 3: return "breakpoint";
    case 4: return "load address misaligned";
    case 5: return "load access fault";
    case 6: return "store address misaligned";
    case 7: return "store access fault";
    case 11: return "environment call";
    default: return cause >> 31 != 0 ? "unexpected interrupt" : "unexpected exception";
  }
}

}  // namespace

extern "C" void ReportFault(uint32_t sp, uint32_t ra) {
  const uint32_t cause = riscv::Read<riscv::kMcause>();
  static char line[192];
  TextBuffer text(line, sizeof line);
  text.Add("firmware fault: ").Add(FaultName(cause));
  AddRegister(&text, " mcause", cause);
  AddRegister(&text, " mepc", riscv::Read<riscv::kMepc>());
  AddRegister(&text, " mtval", riscv::Read<riscv::kMtval>());
  AddRegister(&text, " sp", sp);
  AddRegister(&text, " ra", ra);
  text.Add('\n');
  EndWithFault(line);
}

// The report has the stack to itself: where it was may be what is wrong, and nobody returns to it.
extern "C" __attribute__((naked)) void FaultHandler() {
  asm volatile("mv a0, sp\n mv a1, ra\n la sp, __stack_top\n j ReportFault");
}

extern "C" void Start() {
  riscv::Write<riscv::kMtvec>(reinterpret_cast<uint32_t>(&TrapVectors) | kVectored);
  uint32_t* stack_pointer;
  asm volatile("mv %0, sp" : "=r"(stack_pointer));
  RunProgram(stack_pointer);
  for (;;) __builtin_trap();
}

// Where code begins: there the CPU comes out of reset.
extern "C" __attribute__((naked, section(".vectors"), used)) void ResetHandler() {
  asm volatile("la sp, __stack_top\n j Start");
}

namespace port {

// The receiver's is the only interrupt that is taken.
Quiet::Quiet() { riscv::Clear<riscv::kMstatus>(riscv::kInterruptsOn); }

Quiet::~Quiet() { riscv::Set<riscv::kMstatus>(riscv::kInterruptsOn); }

}  // namespace port
