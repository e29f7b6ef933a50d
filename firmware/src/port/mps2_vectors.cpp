// Vectors of the MPS2 boards, and the end of their firmware by a fault.
#include <cstdint>

#include "port/bare.h"
#include "port/mps2_uart.h"

extern "C" {
extern uint32_t __stack_top;
void NmiHandler();
void UartRxHandler();
void WakeHandler();
}

namespace {

// Raises NMI when it has counted down, and when it has done so again what the emulator was told to do then: to end.
struct Watchdog {
  volatile uint32_t load;
  volatile uint32_t value;
  volatile uint32_t ctrl;
};
constexpr uint32_t kWatchdogEnable = 3;

// The second UART, which the harness reads as the emulator's own words.
mps2::Uart* const fault_uart = reinterpret_cast<mps2::Uart*>(0x40005000);
Watchdog* const watchdog = reinterpret_cast<Watchdog*>(0x40008000);

struct Vectors {
  uint32_t* stack;
  void (*handlers[25])();
};

}  // namespace

void EndWithFault(const char* line) {
  fault_uart->bauddiv = mps2::kLeastDivisor;
  fault_uart->ctrl = mps2::kTxEnable;
  for (; *line != '\0'; ++line) mps2::Send(fault_uart, static_cast<uint8_t>(*line));
  watchdog->load = 1;
  watchdog->ctrl = kWatchdogEnable;
  for (;;) asm volatile("");
}

extern "C" void NmiHandler() {
  while (watchdog->ctrl != 0) {  // The watchdog's, after a fault that was reported.
  }
  FaultHandler();
}

// Entries 1 to 15 are the core's exceptions, 16 is interrupt 0. QEMU raises no other than 0 and 9: none is enabled.
extern "C" __attribute__((section(".vectors"), used)) const Vectors vectors = {
    &__stack_top,
    {ResetHandler, NmiHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler,
     FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, UartRxHandler,
     FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler,
     WakeHandler}};
