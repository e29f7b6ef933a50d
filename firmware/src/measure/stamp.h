#pragma once

#include <cstdint>

#include "port/port.h"

// Reads the counter right here: without the barriers the compiler may move the timed work across.
inline uint32_t Stamp() {
  asm volatile("" ::: "memory");
  const uint32_t now = port::Ticks();
  asm volatile("" ::: "memory");
  return now;
}
