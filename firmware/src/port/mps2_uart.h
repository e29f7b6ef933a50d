// The CMSDK's UART, of which the MPS2 boards have several.
#pragma once

#include <cstdint>

namespace mps2 {

struct Uart {
  volatile uint32_t data;
  volatile uint32_t state;
  volatile uint32_t ctrl;
  volatile uint32_t intstatus;  // Write 1 to clear.
  volatile uint32_t bauddiv;
};
constexpr uint32_t kTxFull = 1u << 0;
constexpr uint32_t kRxFull = 1u << 1;
constexpr uint32_t kTxEnable = 1u << 0;
constexpr uint32_t kRxEnable = 1u << 1;
constexpr uint32_t kRxInterruptEnable = 1u << 3;
constexpr uint32_t kRxInterrupt = 1u << 1;
constexpr uint32_t kLeastDivisor = 16;  // The least the hardware takes; QEMU moves bytes at its own pace.

inline void Send(Uart* uart, uint8_t byte) {
  while ((uart->state & kTxFull) != 0) {
  }
  uart->data = byte;
}

}  // namespace mps2
