// Reset and masked interrupts of a bare Cortex-M. Each port provides its vectors.
#include "port/cortex_m.h"

#include "port/bare.h"
#include "port/port.h"

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
