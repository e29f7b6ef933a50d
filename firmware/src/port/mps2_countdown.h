// The CMSDK's timer, which counts down.
#pragma once

#include "port/mps2_machine.h"

namespace mps2 {

class CountdownTimer {
 public:
  static bool Start(const Machine& machine) {
    Registers* const timer = At(machine.timer);
    timer->reload = UINT32_MAX;
    timer->value = UINT32_MAX;
    timer->ctrl = kEnable;
    return (timer->ctrl & kEnable) != 0;
  }

  static uint32_t Ticks(const Machine& machine) { return ~At(machine.timer)->value; }  // It starts with all ones.

  // An interrupt every so many ticks.
  static void StartWaking(const Machine& machine, uint32_t ticks) {
    Registers* const timer = At(machine.wake_timer);
    timer->reload = ticks;
    timer->value = ticks;
    timer->ctrl = kEnable | kInterruptEnable;
  }

  // Called by the interrupt.
  static void Woken(const Machine& machine, uint32_t) { At(machine.wake_timer)->intstatus = kInterrupt; }

 private:
  struct Registers {
    volatile uint32_t ctrl;
    volatile uint32_t value;
    volatile uint32_t reload;
    volatile uint32_t intstatus;
  };
  static constexpr uint32_t kEnable = 1u << 0;
  static constexpr uint32_t kInterruptEnable = 1u << 3;
  static constexpr uint32_t kInterrupt = 1u << 0;

  static Registers* At(uint32_t address) { return reinterpret_cast<Registers*>(address); }
};

}  // namespace mps2
