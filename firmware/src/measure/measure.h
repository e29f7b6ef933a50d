#pragma once

#include <cstdint>

#include "measure/state.h"
#include "status.h"

struct Timer {
  uint32_t step_ticks;  // Smallest change of the counter that was seen.
  uint32_t read_ticks;  // Least difference of two back-to-back reads.
};

// kTimerStuck, and a Timer of zeros, when the counter does not advance.
[[nodiscard]] Status MeasureTimer(Timer* timer);

// One inference on runtime::Input(). `ticks` still holds the cost of reading the counter, but not of a reset.
[[nodiscard]] Status TimedInvoke(State* state, uint32_t* ticks);

uint64_t Microseconds(uint32_t ticks, const Timer& timer);  // Of an invoke, without that cost; rounded.
