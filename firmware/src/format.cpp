#include "format.h"

// Not inlined, here and below: every caller would hold a copy.
[[gnu::noinline]] size_t FormatDigits(uint64_t value, unsigned base, size_t least, char* dst) {
  char reversed[kMostDigits];
  size_t count = 0;
  do {
    reversed[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0 || count < least);
  for (size_t i = 0; i < count; ++i) dst[i] = reversed[count - 1 - i];
  return count;
}

TextBuffer::TextBuffer(char* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) {
  if (capacity_ > 0) buffer_[0] = '\0';
}

[[gnu::noinline]] TextBuffer& TextBuffer::Add(char c) {
  if (size_ + 1 < capacity_) {
    buffer_[size_] = c;
    buffer_[size_ + 1] = '\0';
  }
  ++size_;
  return *this;
}

[[gnu::noinline]] TextBuffer& TextBuffer::Add(const char* text) {
  while (*text != '\0') Add(*text++);
  return *this;
}

TextBuffer& TextBuffer::AddNumber(uint64_t value) { return AddDigits(value, 10, 1); }

TextBuffer& TextBuffer::AddHex(uint64_t value, size_t least) { return AddDigits(value, 16, least); }

TextBuffer& TextBuffer::AddDigits(uint64_t value, unsigned base, size_t least) {
  char digits[kMostDigits + 1];
  digits[FormatDigits(value, base, least, digits)] = '\0';
  return Add(digits);
}
