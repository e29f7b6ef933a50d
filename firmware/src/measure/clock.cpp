#include "measure/clock.h"

#include "port/port.h"

uint64_t Clock::Ticks() {
  ticks_ += port::Ticks() - static_cast<uint32_t>(ticks_);
  return ticks_;
}

uint64_t Clock::Microseconds() {
  const uint64_t ticks = Ticks();
  const uint64_t rate = port::TicksPerSecond();
  return ticks / rate * 1000000u + ticks % rate * 1000000u / rate;  // The product of both would overflow in hours.
}
