#pragma once

#include <cstdint>

// What QEMU's netduinoplus2 lacks of an STM32F405, for arduino.cpp to make up for.
namespace netduinoplus2 {

// QEMU raises no interrupt for an empty transmitter and loses the receiver's when the next byte follows at once.
// The core's handler goes by the flags, so it is called until they leave it nothing to do.
void ServeSerial();

// Until a byte may be waiting: what polls instead slows QEMU down, so that requests come late and are sent again.
void Sleep();

// Timer 2. CYCCNT reads 0, and micros() is coarser than an instruction. QEMU's own clock for it is 1 GHz, whatever RCC would
// say, and would wrap after 4.3 s. A tick of 32 ns is a fourth of an instruction, which boards.toml gives 128 ns.
uint32_t Ticks();
constexpr uint32_t kPrescaler = 32;
constexpr uint32_t kTicksPerSecond = 1000000000 / kPrescaler;

}  // namespace netduinoplus2
