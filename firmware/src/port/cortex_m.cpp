// Reset, faults and masked interrupts of a bare Cortex-M. Each port provides its vectors.
#include "port/cortex_m.h"

#include "format.h"
#include "port/bare.h"
#include "port/port.h"

extern "C" {
[[noreturn]] void ReportFault(const uint32_t* stacked, uint32_t exc_return);
}

namespace {

void AddRegister(TextBuffer* text, const char* name, uint32_t value) { text->Add(name).Add("=0x").AddHex(value, 8); }

const char* FaultName(uint32_t exception) {
  switch (exception) {
    case 2: return "NMI";
    case 3: return "HardFault";
    case 4: return "MemManage";
    case 5: return "BusFault";
    case 6: return "UsageFault";
    case 7: return "SecureFault";
    default: return "unexpected exception";
  }
}

void AddCause(TextBuffer* text) {
#if defined(__ARM_ARCH_6M__)
  static_cast<void>(text);  // That architecture has no such registers.
#else
  AddRegister(text, " cfsr", cortex_m::At(0xe000ed28));
  AddRegister(text, " hfsr", cortex_m::At(0xe000ed2c));
  AddRegister(text, " mmfar", cortex_m::At(0xe000ed34));
  AddRegister(text, " bfar", cortex_m::At(0xe000ed38));
#endif
}

}  // namespace

extern "C" void ReportFault(const uint32_t* stacked, uint32_t exc_return) {
  uint32_t exception;
  asm volatile("mrs %0, ipsr" : "=r"(exception));
  static char line[320];
  TextBuffer text(line, sizeof line);
  text.Add("firmware fault: ").Add(FaultName(exception));
  AddRegister(&text, " ipsr", exception);
  AddCause(&text);
  AddRegister(&text, " exc_return", exc_return);
  AddRegister(&text, " sp", reinterpret_cast<uint32_t>(stacked));
  // After a stack overflow the stacked registers are not there, and reading them would be a second fault.
  if (stacked >= &__ram_start && stacked < &__stack_top) {
    AddRegister(&text, " pc", stacked[6]);
    AddRegister(&text, " lr", stacked[5]);
    AddRegister(&text, " xpsr", stacked[7]);
    AddRegister(&text, " r0", stacked[0]);
  }
  text.Add('\n');
  EndWithFault(line);
}

// A call, since a jump of a Cortex-M0 reaches 2 KB only.
extern "C" __attribute__((naked)) void FaultHandler() { asm volatile("mrs r0, msp\n mov r1, lr\n bl ReportFault"); }

extern "C" void ResetHandler() {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  cortex_m::At(0xe000ed88) = cortex_m::At(0xe000ed88) | 0xfu << 20;  // CPACR: full access to CP10 and CP11.
  cortex_m::Barrier();
#endif
  uint32_t* stack_pointer;
  asm volatile("mov %0, sp" : "=r"(stack_pointer));
  RunProgram(stack_pointer);
  FaultHandler();
}

namespace port {

// The receiver's interrupt and those that end a sleep are all there are, and masking them at the core takes no bus access.
Quiet::Quiet() { asm volatile("cpsid i" ::: "memory"); }

Quiet::~Quiet() { asm volatile("cpsie i" ::: "memory"); }

}  // namespace port
