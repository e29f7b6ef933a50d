// What a fault of a Cortex-M was, in one line. Where the stack is, __ram_start, __stack_limit and __stack_top say.
#include "format.h"
#include "port/cortex_m.h"
#include "port/fault_end.h"

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

#if defined(__ARM_ARCH_6M__)  // That architecture has no registers that tell the cause.

void AddClass(TextBuffer*) {}

void AddCause(TextBuffer*) {}

#else

// Faults of these classes are not enabled, so that each becomes a HardFault. CFSR has a byte, a byte and a half of bits.
void AddClass(TextBuffer* text) {
  const uint32_t cfsr = cortex_m::At(0xe000ed28);
  if (cfsr == 0) return;
  text->Add(" (").Add(FaultName(cfsr >> 16 != 0 ? 6 : cfsr >> 8 != 0 ? 5 : 4)).Add(')');
}

struct Cause {
  const char* name;
  uint32_t address;
};
constexpr Cause kCauses[] = {
    {" cfsr", 0xe000ed28}, {" hfsr", 0xe000ed2c}, {" mmfar", 0xe000ed34}, {" bfar", 0xe000ed38}};

void AddCause(TextBuffer* text) {
  for (const Cause& cause : kCauses) AddRegister(text, cause.name, cortex_m::At(cause.address));
}

#endif

}  // namespace

extern "C" void ReportFault(const uint32_t* stacked, uint32_t exc_return) {
  uint32_t exception;
  asm volatile("mrs %0, ipsr" : "=r"(exception));
  static char line[320];
  TextBuffer text(line, sizeof line);
  text.Add("firmware fault: ").Add(FaultName(exception));
  AddClass(&text);
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

// Where the stack pointer is out of the stack, that is what is wrong, and the report begins the stack anew. It ends in a call,
// since a jump of a Cortex-M0 reaches 2 KB only.
extern "C" __attribute__((naked)) void FaultHandler() {
  asm volatile(R"(
    mrs r0, msp
    mov r1, lr
    ldr r2, =__stack_top
    ldr r3, =__stack_limit
    cmp r0, r3
    blo 1f
    cmp r0, r2
    blo 2f
  1:
    msr msp, r2
  2:
    bl ReportFault
    .pool
  )");
}
