#include "port/netduinoplus2.h"

#include "port/arduino_core.h"

// In place of the core's: QEMU has no RCC, so that waiting for an oscillator would end in Error_Handler().
extern "C" void SystemClock_Config() {
  SystemCoreClock = 168000000;  // The CPU and SysTick run at this rate.
  static_cast<void>(HAL_InitTick(TICK_INT_PRIORITY));
  TIM2->PSC = netduinoplus2::kPrescaler - 1;
}

namespace netduinoplus2 {

namespace {

int RoomWhenEmpty() {
  static const int room = Serial.availableForWrite();  // Before the first byte is written.
  return room;
}

}  // namespace

void ServeSerial() {
  const int empty = RoomWhenEmpty();
  do {
    NVIC_SetPendingIRQ(USART1_IRQn);
    __DSB();
    __ISB();
  } while (Serial.availableForWrite() < empty);
}

void Sleep() {
  __disable_irq();
  // The flag too: its interrupt may be lost. Masked ones that are pending still end the sleep.
  if (Serial.available() == 0 && (USART1->SR & USART_SR_RXNE) == 0) {
    __DSB();
    __WFI();
  }
  __enable_irq();
  __ISB();
}

uint32_t Ticks() { return TIM2->CNT; }

}  // namespace netduinoplus2
