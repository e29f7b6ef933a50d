// Arm semihosting, as far as the emulated boards use it (Semihosting for AArch32 and AArch64, release 2.0).
#pragma once

#include <cstdint>

namespace semihost {

inline uint32_t Call(uint32_t operation, const void* argument) {
  register uint32_t r0 asm("r0") = operation;
  register const void* r1 asm("r1") = argument;
  asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

// The next byte of the console, for which it waits. QEMU puts it below the stack pointer and returns what is there; 7.2 looks
// before it has put it there, so that the byte is read anew. Interrupts must be masked, for they write there, too.
inline uint8_t ReadByte() {
  register uint32_t r0 asm("r0") = 0x07;
  register uint32_t r1 asm("r1") = 0;
  asm volatile("bkpt 0xab\n ldrb r0, [sp, #-1]" : "+r"(r0) : "r"(r1) : "memory");
  return static_cast<uint8_t>(r0);
}

inline void WriteText(const char* line) { Call(0x04, line); }

}  // namespace semihost
