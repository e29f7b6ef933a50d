#pragma once

#include <cstddef>
#include <cstdint>

constexpr size_t kSha256Size = 32;

// FIPS 180-4. Without state between calls: all of `data` at once.
void Sha256(const uint8_t* data, size_t size, uint8_t* digest);
