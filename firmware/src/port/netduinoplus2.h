#pragma once

#include <cstdint>

// What QEMU's netduinoplus2 lacks of an STM32F405, for arduino.cpp to make up for.
namespace netduinoplus2 {

// QEMU raises no interrupt for an empty transmitter and loses the receiver's when the next byte follows at once.
// The core's handler goes by the flags, so it is called until they leave it nothing to do.
void ServeSerial();

uint32_t Ticks();  // Timer 2. CYCCNT reads 0, and micros() is coarser than an instruction.
constexpr uint32_t kTicksPerSecond = 1000000000;  // QEMU's own clock for it, whatever RCC would say.

}  // namespace netduinoplus2
