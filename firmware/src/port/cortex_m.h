// What bare ports of a Cortex-M share: vectors, interrupts and reset, as the Arm architecture has them.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
extern uint32_t __stack_top;
void ResetHandler();
void FaultHandler();  // For every exception and interrupt that a port does not use.
}

namespace cortex_m {

using Register = volatile uint32_t;

inline Register& At(uint32_t address) { return *reinterpret_cast<Register*>(address); }

inline void Barrier() { asm volatile("dsb\n isb" ::: "memory"); }

inline void EnableInterrupt(uint32_t irq) { At(0xe000e100 + irq / 32 * 4) = 1u << irq % 32; }

inline void PendInterrupt(uint32_t irq) { At(0xe000e200 + irq / 32 * 4) = 1u << irq % 32; }

// Until an interrupt comes, if `nothing_came` says so. With interrupts masked WFI still wakes on a pending one, so that none
// can slip in between the look and the sleep.
template <typename Nothing>
inline void SleepWhile(Nothing nothing_came) {
  asm volatile("cpsid i" ::: "memory");
  if (nothing_came()) asm volatile("dsb\n wfi" ::: "memory");
  asm volatile("cpsie i\n isb" ::: "memory");
}

[[noreturn]] inline void Reset() {
  Barrier();
  At(0xe000ed0c) = (0x5fau << 16) | (1u << 2);
  for (;;) Barrier();
}

using Handler = void (*)();

struct Interrupt {
  uint32_t irq;
  Handler handler;
};

// Entries 1 to 15 are the core's exceptions, then come `kInterrupts` interrupts.
template <size_t kInterrupts>
struct Vectors {
  uint32_t* stack;
  Handler core[15];
  Handler interrupts[kInterrupts];
};

constexpr size_t kNmi = 2;

// Those that are not named are faults. An interrupt beyond the table is an error of the compiler's.
template <size_t kInterrupts, size_t kUsed>
constexpr Vectors<kInterrupts> MakeVectors(const Interrupt (&used)[kUsed], Handler nmi = FaultHandler) {
  Vectors<kInterrupts> vectors{&__stack_top, {}, {}};
  for (Handler& handler : vectors.core) handler = FaultHandler;
  for (Handler& handler : vectors.interrupts) handler = FaultHandler;
  vectors.core[0] = ResetHandler;
  vectors.core[kNmi - 1] = nmi;
  for (const Interrupt& interrupt : used) vectors.interrupts[interrupt.irq] = interrupt.handler;
  return vectors;
}

}  // namespace cortex_m
