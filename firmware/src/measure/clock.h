#pragma once

#include <cstdint>

// The board's time in 64 bits, from a counter of 32 bits that wraps within minutes. It must be read at least once per
// wrap: after every invoke, and whenever port::Sleep() returns.
class Clock {
 public:
  uint64_t Ticks();  // Of port::TicksPerSecond(); since the counter last stood at 0 before the first call.
  uint64_t Microseconds();

 private:
  uint64_t ticks_ = 0;
};
