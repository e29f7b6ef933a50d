// Reset and faults of a bare Cortex-M. The linker script provides the symbols, each port its vectors.
#include <cstdint>

#include "format.h"
#include "port/bare.h"
#include "port/paint.h"

extern "C" {
extern uint32_t __stack_limit;
extern uint32_t __stack_top;
extern uint32_t __data_load;
extern uint32_t __data_start;
extern uint32_t __data_end;
extern uint32_t __bss_start;
extern uint32_t __bss_end;
extern void (*__init_array_start)();
extern void (*__init_array_end)();

int main();
[[noreturn]] void ReportFault(const uint32_t* stacked, uint32_t exc_return);
}

namespace {

uint32_t Register(uint32_t address) { return *reinterpret_cast<volatile uint32_t*>(address); }

void AddRegister(TextBuffer* text, const char* name, uint32_t value) { text->Add(name).Add("=0x").AddHex(value, 8); }

const char* FaultName(uint32_t exception) {
  switch (exception) {
    case 2: return "NMI";
    case 3: return "HardFault";
    case 4: return "MemManage";
    case 5: return "BusFault";
    case 6: return "UsageFault";
    default: return "unexpected exception";
  }
}

}  // namespace

extern "C" void ReportFault(const uint32_t* stacked, uint32_t exc_return) {
  uint32_t exception;
  asm volatile("mrs %0, ipsr" : "=r"(exception));
  static char line[320];
  TextBuffer text(line, sizeof line);
  text.Add("firmware fault: ").Add(FaultName(exception));
  AddRegister(&text, " ipsr", exception);
  AddRegister(&text, " cfsr", Register(0xe000ed28));
  AddRegister(&text, " hfsr", Register(0xe000ed2c));
  AddRegister(&text, " mmfar", Register(0xe000ed34));
  AddRegister(&text, " bfar", Register(0xe000ed38));
  AddRegister(&text, " exc_return", exc_return);
  const uint32_t frame = reinterpret_cast<uint32_t>(stacked);
  AddRegister(&text, " sp", frame);
  // After a stack overflow the stacked registers are not there, and reading them would be a second fault.
  if (frame >= 0x20000000u && frame < reinterpret_cast<uint32_t>(&__stack_top)) {
    AddRegister(&text, " pc", stacked[6]);
    AddRegister(&text, " lr", stacked[5]);
    AddRegister(&text, " xpsr", stacked[7]);
    AddRegister(&text, " r0", stacked[0]);
  }
  text.Add('\n');
  EndWithFault(line);
}

extern "C" __attribute__((naked)) void FaultHandler() { asm volatile("mrs r0, msp\n mov r1, lr\n b ReportFault"); }

extern "C" void ResetHandler() {
#if defined(__ARM_FP)
  *reinterpret_cast<volatile uint32_t*>(0xe000ed88) |= 0xfu << 20;  // CPACR: full access to CP10 and CP11.
  asm volatile("dsb\n isb" ::: "memory");
#endif
  uint32_t* stack_pointer;
  asm volatile("mov %0, sp" : "=r"(stack_pointer));
  port::Paint(&__stack_limit, stack_pointer);
  const uint32_t* load = &__data_load;
  for (uint32_t* word = &__data_start; word < &__data_end; ++word) *word = *load++;
  for (uint32_t* word = &__bss_start; word < &__bss_end; ++word) *word = 0;
  for (void (**init)() = &__init_array_start; init < &__init_array_end; ++init) (*init)();
  main();
  FaultHandler();
}
