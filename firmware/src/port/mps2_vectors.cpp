// Vectors of the MPS2 and MPS3 boards, and the end of their firmware by a fault.
#include "port/bare.h"
#include "port/cortex_m.h"
#include "port/mps2_uart.h"
#include HIL_MACHINE

extern "C" {
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

mps2::Uart* const fault_uart = reinterpret_cast<mps2::Uart*>(mps2::kMachine.fault_uart);
Watchdog* const watchdog = reinterpret_cast<Watchdog*>(mps2::kMachine.watchdog);

constexpr cortex_m::Interrupt kUsed[] = {
    {mps2::kMachine.uart_irq, UartRxHandler},
    {mps2::kMachine.wake_irq, WakeHandler},
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

// QEMU raises no other interrupt than those that are used: none is enabled.
extern "C" __attribute__((section(".vectors"), used)) constexpr cortex_m::Vectors<64> vectors =
    cortex_m::MakeVectors<64>(kUsed, NmiHandler);
