// The SSE-300's system timers: one counter that goes up, and timers that compare with it.
#pragma once

#include "port/mps2_machine.h"

namespace mps2 {

class SystemTimer {
 public:
  static bool Start(const Machine& machine) {
    volatile uint32_t* const control = reinterpret_cast<volatile uint32_t*>(machine.counter);
    *control = kEnable;
    return (*control & kEnable) != 0;
  }

  static uint32_t Ticks(const Machine& machine) { return At(machine.timer)->count_low; }

  // An interrupt every so many ticks.
  static void StartWaking(const Machine& machine, uint32_t ticks) {
    At(machine.wake_timer)->downcount = ticks;
    At(machine.wake_timer)->ctrl = kEnable;
  }

  // Called by the interrupt, which stays up until the next one is set.
  static void Woken(const Machine& machine, uint32_t ticks) { At(machine.wake_timer)->downcount = ticks; }

 private:
  struct Registers {
    volatile uint32_t count_low;
    volatile uint32_t count_high;
    uint32_t unused[8];
    volatile uint32_t downcount;  // Writing it sets the comparison to so many ticks from now.
    volatile uint32_t ctrl;
  };
  static constexpr uint32_t kEnable = 1u << 0;

  static Registers* At(uint32_t address) { return reinterpret_cast<Registers*>(address); }
};

}  // namespace mps2
