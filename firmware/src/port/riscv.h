// What bare ports of a RISC-V with machine mode only share: control registers, interrupts masked, and their numbers.
#pragma once

#include <cstdint>

extern "C" void ExternalHandler();  // Supplied by each such port: the interrupt that its controller raises.

namespace riscv {

// Numbers as in the RISC-V Privileged Architecture, version 1.12, section 2.2.
enum Csr : uint32_t {
  kMstatus = 0x300,
  kMie = 0x304,
  kMtvec = 0x305,
  kMepc = 0x341,
  kMcause = 0x342,
  kMtval = 0x343,
  kMcycle = 0xb00,
  kMcycleh = 0xb80,
};
constexpr uint32_t kInterruptsOn = 1u << 3;      // In kMstatus.
constexpr uint32_t kTimerInterrupt = 1u << 7;    // In kMie.
constexpr uint32_t kExternalInterrupt = 1u << 11;

// The compiler chooses its C library by -march, and has none for a name with zicsr.
#define HIL_ZICSR(instruction) ".option push\n .option arch, +zicsr\n " instruction "\n .option pop"

template <Csr kCsr>
inline uint32_t Read() {
  uint32_t value;
  asm volatile(HIL_ZICSR("csrr %0, %1") : "=r"(value) : "i"(kCsr) : "memory");
  return value;
}

template <Csr kCsr>
inline void Write(uint32_t value) {
  asm volatile(HIL_ZICSR("csrw %1, %0") : : "r"(value), "i"(kCsr) : "memory");
}

template <Csr kCsr>
inline void Set(uint32_t bits) {
  asm volatile(HIL_ZICSR("csrs %1, %0") : : "r"(bits), "i"(kCsr) : "memory");
}

template <Csr kCsr>
inline void Clear(uint32_t bits) {
  asm volatile(HIL_ZICSR("csrc %1, %0") : : "r"(bits), "i"(kCsr) : "memory");
}

}  // namespace riscv
