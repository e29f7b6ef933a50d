#pragma once

#include <cstddef>
#include <cstdint>

// CRC-32 as zlib's (IEEE 802.3).
uint32_t Crc32(const uint8_t* data, size_t size);
