#include "wire/cobs.h"

size_t CobsEncode(const uint8_t* src, size_t size, uint8_t* dst) {
  uint8_t* code = dst;
  uint8_t* out = dst + 1;
  for (size_t i = 0; i < size; ++i) {
    // A full block is followed by another one only if data is left, so 254 bytes at the end get no trailing 01.
    if (out - code == 255) {
      *code = 255;
      code = out++;
    }
    const uint8_t byte = src[i];
    if (byte != 0) {
      *out++ = byte;
    } else {
      *code = static_cast<uint8_t>(out - code);
      code = out++;
    }
  }
  *code = static_cast<uint8_t>(out - code);
  return static_cast<size_t>(out - dst);
}

size_t CobsDecode(uint8_t* data, size_t size) {
  size_t in = 0;
  size_t out = 0;
  while (in < size) {
    const uint8_t code = data[in++];
    if (code == 0 || size - in < static_cast<size_t>(code - 1)) return kCobsBad;
    for (uint8_t i = 1; i < code; ++i) {
      const uint8_t byte = data[in++];
      if (byte == 0) return kCobsBad;
      data[out++] = byte;
    }
    if (code != 255 && in < size) data[out++] = 0;
  }
  return size == 0 ? kCobsBad : out;
}
