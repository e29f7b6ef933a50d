#pragma once

#include <cstddef>
#include <cstdint>

#include "port/port.h"

namespace port {  // For ports: how deep a stack has been, by filling it with paint and looking how much is left.

constexpr uint32_t kPaint = 0xcccccccc;  // As mbed's RTX fills the stacks of its threads.

// Paints [from, to) of the stack that it runs on, where `to` is the stack pointer. Inlined, so as to have no frame
// there; volatile, or GCC makes a call of memset from it, which has one.
inline __attribute__((always_inline)) void Paint(uint32_t* from, uint32_t* to) {
  for (volatile uint32_t* word = from; word < to; ++word) *word = kPaint;
}

// A frame that ends in words equal to the paint counts as that much less deep.
inline StackUse Measure(const uint32_t* from, const uint32_t* top) {
  const volatile uint32_t* word = from;
  while (word < top && *word == kPaint) ++word;
  const size_t used = static_cast<size_t>(top - word);
  const size_t capacity = static_cast<size_t>(top - from);
  return {static_cast<uint32_t>(capacity * sizeof(uint32_t)), static_cast<uint32_t>(used * sizeof(uint32_t))};
}

}  // namespace port
