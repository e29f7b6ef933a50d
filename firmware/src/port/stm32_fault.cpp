// How firmware of STM32's Arduino core ends by a fault. The core's own handlers turn in a loop without a word, as do abort()
// and a failed assert() of its C library.
#include "port/arduino_core.h"
#include "port/fault_end.h"

namespace {

UART_HandleTypeDef* UartOf(HardwareSerial& serial) { return serial.getHandle(); }

template <typename Usb>
UART_HandleTypeDef* UartOf(Usb&) {  // Its driver needs interrupts.
  return nullptr;
}

void Send(USART_TypeDef* uart, uint8_t byte) {
#if defined(USART_SR_TXE)
  while ((uart->SR & USART_SR_TXE) == 0) {
  }
  uart->DR = byte;
#else
  while ((uart->ISR & (1u << 7)) == 0) {  // TXE, or TXE_TXFNF in the headers of the families that have a FIFO.
  }
  uart->TDR = byte;
#endif
}

}  // namespace

// By the only UART that the host has, behind two bytes 0, as from nrf51.cpp. Then the board is silent, until it is reset.
void EndWithFault(const char* line) {
  __disable_irq();
  const UART_HandleTypeDef* const uart = UartOf(Serial);
  if (uart != nullptr && uart->Instance != nullptr) {  // Else it was not begun yet.
    Send(uart->Instance, 0);
    Send(uart->Instance, 0);
    for (; *line != '\0'; ++line) Send(uart->Instance, static_cast<uint8_t>(*line));
  }
  for (;;) {
  }
}

extern "C" {

// Those of the other faults are not enabled by the core, so that each becomes this one.
__attribute__((naked)) void HardFault_Handler() { asm volatile("b.w FaultHandler"); }

// Newlib's would signal itself, and its assert print through a heap.
void abort() { __builtin_trap(); }

void __assert_func(const char*, int, const char*, const char*) { __builtin_trap(); }

}  // extern "C"
