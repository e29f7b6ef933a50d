// What a port supplies that reports its faults and uses of a heap.
#pragma once

#include <cstdint>

extern "C" {
// From the linker script, or from the env's flags where that is the core's: RAM, and the stack at the end of it.
extern uint32_t __ram_start;
extern uint32_t __stack_limit;
extern uint32_t __stack_top;
}

// Hands on a line of text that ends in a newline, then stops.
[[noreturn]] void EndWithFault(const char* line);
