#pragma once

#include <cstddef>
#include <cstdint>

// Decimal text without strtod and printf, which take memory from the heap in newlib.

enum class Parsed : uint8_t { kNumber, kNotANumber, kNotFinite };

// The whole of `text` must be the number. Beyond float's range it is the largest float of that sign.
Parsed ParseDecimal(const char* text, size_t size, float* value);

constexpr size_t kDecimalCapacity = 48;  // The longest is that of FLT_MAX: sign, 39 digits, point, 4 digits.

// As printf("%.4f"), halves to even. Returns the number of bytes written to `dst`, at most kDecimalCapacity.
size_t FormatFixed4(double value, char* dst);
