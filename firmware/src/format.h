#pragma once

#include <cstddef>
#include <cstdint>

// Text without printf, which takes memory from the heap in newlib.

constexpr size_t kMostDigits = 20;

// Writes `value` to `dst`, with leading zeros up to `least` digits. Returns how many there are, at most kMostDigits.
size_t FormatDigits(uint64_t value, unsigned base, size_t least, char* dst);

// Terminated text in a fixed buffer. What does not fit is left out and still counted, as vsnprintf does.
class TextBuffer {
 public:
  TextBuffer(char* buffer, size_t capacity);

  TextBuffer& Add(char c);
  TextBuffer& Add(const char* text);
  TextBuffer& AddNumber(uint64_t value);
  TextBuffer& AddHex(uint64_t value, size_t least = 1);

  size_t size() const { return size_; }

 private:
  TextBuffer& AddDigits(uint64_t value, unsigned base, size_t least);

  char* buffer_;
  size_t capacity_;
  size_t size_ = 0;
};
