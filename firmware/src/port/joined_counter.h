#pragma once

#include <cstdint>

namespace port {

// Cycles of a CPU that has no counter for them, from two that run by the same crystal: SysTick counts cycles, but anew
// in each tick of the operating system; a timer of microseconds says how many ticks have passed meanwhile, also where
// their interrupts are masked.
class JoinedCounter {
 public:
  struct Reading {
    uint32_t us;    // Wraps at 2^32.
    uint32_t left;  // SysTick's value: cycles until the tick ends.
  };

  static constexpr uint32_t kTickUs = 1000;

  void Start(Reading now, uint32_t tick_cycles) {
    last_ = now;
    tick_cycles_ = tick_cycles;
    us_cycles_ = tick_cycles / kTickUs;
  }

  // Free-running; wraps at 2^32. At least once in 71 minutes, or time is lost. Both values of a reading may be apart by
  // less than half a tick: an interrupt may come between.
  uint32_t Cycles(Reading now) {
    uint32_t us = now.us - last_.us;
    uint32_t ticks = 0;
    if (us >= kTickUs) {  // Else no division: that is slow where the CPU has none.
      ticks = us / kTickUs;
      us -= ticks * kTickUs;
    }
    const uint32_t into_tick = last_.left - now.left + (now.left > last_.left ? tick_cycles_ : 0);
    const uint32_t by_timer = us * us_cycles_;
    if (by_timer > into_tick + tick_cycles_ / 2) {
      ++ticks;
    } else if (into_tick > by_timer + tick_cycles_ / 2 && ticks > 0) {
      --ticks;
    }
    cycles_ += ticks * tick_cycles_ + into_tick;
    last_ = now;
    return cycles_;
  }

 private:
  Reading last_ = {0, 0};
  uint32_t tick_cycles_ = 0;
  uint32_t us_cycles_ = 0;
  uint32_t cycles_ = 0;
};

}  // namespace port
