#pragma once

#include <cstddef>
#include <cstdint>

constexpr size_t kCobsBad = SIZE_MAX;

constexpr size_t CobsOverhead(size_t size) { return size == 0 ? 1 : (size + 253) / 254; }

// Writes size + CobsOverhead(size) bytes at most and returns how many. `dst` may lie before `src` in the same
// buffer, by CobsOverhead(size) bytes or more.
size_t CobsEncode(const uint8_t* src, size_t size, uint8_t* dst);

// Decodes in place. Returns the decoded size, or kCobsBad.
size_t CobsDecode(uint8_t* data, size_t size);
