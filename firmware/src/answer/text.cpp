#include "answer/text.h"

#include <cstring>

#include "answer/decimal.h"
#include "format.h"
#include "port/port.h"

void Text::Add(const char* text, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (used_ == sizeof buffer_) Flush();
    buffer_[used_++] = static_cast<uint8_t>(text[i]);
  }
}

void Text::Add(const char* text) { Add(text, strlen(text)); }

void Text::Add(uint64_t value) {
  char digits[kMostDigits];
  Add(digits, FormatDigits(value, 10, 1, digits));
}

void Text::Add(double value) {
  char digits[kDecimalCapacity];
  Add(digits, FormatFixed4(value, digits));
}

void Text::AddHex(uint8_t byte) {
  char digits[kMostDigits];
  Add(digits, FormatDigits(byte, 16, 2, digits));
}

void Text::Flush() {
  (void)port::Write(buffer_, used_);  // As for frames: a link that fails cannot carry the error.
  used_ = 0;
}
