#pragma once

#include <cstddef>
#include <cstdint>

#include "status.h"
#include "wire/cobs.h"

constexpr size_t kCrcSize = 4;

// Bytes between the delimiters of the largest frame.
constexpr size_t EncodedSize(size_t payload) { return payload + kCrcSize + CobsOverhead(payload + kCrcSize); }

// Where a payload must lie in a transmit buffer for SealFrame() to work in place, and how large that buffer is.
constexpr size_t PayloadOffset(size_t max_payload) { return 1 + CobsOverhead(max_payload + kCrcSize); }
constexpr size_t TxCapacity(size_t max_payload) { return PayloadOffset(max_payload) + max_payload + kCrcSize + 1; }

// Turns the payload at buffer + offset into a whole frame at the start of `buffer`; returns its size.
size_t SealFrame(uint8_t* buffer, size_t offset, size_t payload_size);

struct Frame {
  Status status;  // kOk, kBadFrame or kFrameTooLong; the rest is valid only for kOk.
  const uint8_t* payload;
  size_t size;
  uint32_t crc;
};

// Opens the bytes between two delimiters, in place.
Frame OpenFrame(uint8_t* encoded, size_t size, size_t max_payload);
