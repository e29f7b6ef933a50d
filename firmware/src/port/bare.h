// What the ports without an operating system or a core of others share: start, faults, and a heap that nobody may use.
// What a CPU needs for that is in a file of its family, such as cortex_m.cpp.
#pragma once

#include <cstdint>

#include "port/fault_end.h"
#include "port/paint.h"

extern "C" {
// From the linker script.
extern uint32_t __data_load;
extern uint32_t __data_start;
extern uint32_t __data_end;
extern uint32_t __bss_start;
extern uint32_t __bss_end;
extern void (*__init_array_start)();
extern void (*__init_array_end)();

int main();
}

// The first thing after reset, once the CPU can execute all code. Inlined, since it paints the stack below `stack_pointer`,
// which is that of the function it is in. Returns if main() does.
inline __attribute__((always_inline)) void RunProgram(uint32_t* stack_pointer) {
  port::Paint(&__stack_limit, stack_pointer);
  const uint32_t* load = &__data_load;
  for (uint32_t* word = &__data_start; word < &__data_end; ++word) *word = *load++;
  for (uint32_t* word = &__bss_start; word < &__bss_end; ++word) *word = 0;
  for (void (**init)() = &__init_array_start; init < &__init_array_end; ++init) (*init)();
  main();
}
