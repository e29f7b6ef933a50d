#include "answer/decimal.h"

#include <cfloat>
#include <cmath>
#include <cstring>

#include "format.h"

namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool EqualsIgnoringCase(const char* text, size_t size, const char* lower) {
  if (size != strlen(lower)) return false;
  for (size_t i = 0; i < size; ++i) {
    if ((text[i] | 0x20) != lower[i]) return false;
  }
  return true;
}

// The digits of a number as integer times a power of ten.
struct Scaled {
  uint64_t mantissa = 0;
  int exponent = 0;
  bool any = false;

  void Add(char digit, bool fraction) {
    any = true;
    if (mantissa < 100000000000000000u) {
      mantissa = mantissa * 10 + static_cast<uint64_t>(digit - '0');
      if (fraction) --exponent;
    } else if (!fraction) {
      ++exponent;  // More digits than a float can show: only their weight counts.
    }
  }
};

float ToFloat(const Scaled& number) {
  if (number.mantissa == 0) return 0.0f;
  double value = static_cast<double>(number.mantissa);
  for (int e = number.exponent; e > 0 && value <= static_cast<double>(FLT_MAX); --e) value *= 10.0;
  if (number.exponent < 0) {
    double divisor = 1.0;
    for (int e = number.exponent; e < 0; ++e) {
      if (divisor >= 1e22) {  // Up to here a power of ten is exact.
        value /= divisor;
        divisor = 1.0;
        if (value == 0.0) return 0.0f;
      }
      divisor *= 10.0;
    }
    value /= divisor;
  }
  return value > static_cast<double>(FLT_MAX) ? FLT_MAX : static_cast<float>(value);
}

// An integral double up to FLT_MAX, nine digits at a time. fmod is exact; the quotients above 2^53 are rounded, so the
// digits beyond the sixteenth or so are not those of printf.
size_t IntegerDigits(double value, char* dst) {
  constexpr double kChunk = 1e9;
  uint32_t chunks[5];
  size_t count = 0;
  do {
    const double rest = fmod(value, kChunk);
    chunks[count++] = static_cast<uint32_t>(rest);
    value = (value - rest) / kChunk;
  } while (value >= 1.0 && count < 5);
  size_t size = FormatDigits(chunks[count - 1], 10, 1, dst);
  while (--count > 0) size += FormatDigits(chunks[count - 1], 10, 9, dst + size);
  return size;
}

}  // namespace

Parsed ParseDecimal(const char* text, size_t size, float* value) {
  size_t at = 0;
  const bool negative = size > 0 && text[0] == '-';
  if (size > 0 && (text[0] == '-' || text[0] == '+')) ++at;
  if (EqualsIgnoringCase(text + at, size - at, "nan") || EqualsIgnoringCase(text + at, size - at, "inf")) {
    return Parsed::kNotFinite;
  }

  Scaled number;
  for (; at < size && IsDigit(text[at]); ++at) number.Add(text[at], false);
  if (at < size && text[at] == '.') {
    for (++at; at < size && IsDigit(text[at]); ++at) number.Add(text[at], true);
  }
  if (!number.any) return Parsed::kNotANumber;
  if (at < size && (text[at] | 0x20) == 'e') {
    ++at;
    const bool down = at < size && text[at] == '-';
    if (at < size && (text[at] == '-' || text[at] == '+')) ++at;
    if (at == size) return Parsed::kNotANumber;
    int exponent = 0;
    for (; at < size && IsDigit(text[at]); ++at) {
      if (exponent < 10000) exponent = exponent * 10 + (text[at] - '0');
    }
    number.exponent += down ? -exponent : exponent;
  }
  if (at != size) return Parsed::kNotANumber;
  *value = negative ? -ToFloat(number) : ToFloat(number);
  return Parsed::kNumber;
}

size_t FormatFixed4(double value, char* dst) {
  if (std::isnan(value)) {
    memcpy(dst, "nan", 3);
    return 3;
  }
  size_t size = 0;
  if (std::signbit(value)) dst[size++] = '-';
  double magnitude = fabs(value);
  if (std::isinf(value)) {
    memcpy(dst + size, "inf", 3);
    return size + 3;
  }
  if (magnitude > static_cast<double>(FLT_MAX)) magnitude = static_cast<double>(FLT_MAX);

  // The fraction of a double above 2^39 has fewer than 14 bits, so nothing is lost by treating the parts apart.
  double whole = floor(magnitude);
  const double scaled = (magnitude - whole) * 10000.0;
  uint32_t fraction = static_cast<uint32_t>(scaled);
  const double rest = scaled - static_cast<double>(fraction);
  if (rest > 0.5 || (!(rest < 0.5) && (fraction & 1u) != 0)) ++fraction;
  if (fraction == 10000) {
    fraction = 0;
    whole += 1.0;
  }
  size += IntegerDigits(whole, dst + size);
  dst[size++] = '.';
  return size + FormatDigits(fraction, 10, 4, dst + size);
}
