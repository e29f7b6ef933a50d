#include "wire/frame.h"

#include "wire/crc32.h"
#include "wire/wire.h"

size_t SealFrame(uint8_t* buffer, size_t offset, size_t payload_size) {
  uint8_t* payload = buffer + offset;
  StoreU32(payload + payload_size, Crc32(payload, payload_size));
  buffer[0] = 0;
  const size_t encoded = CobsEncode(payload, payload_size + kCrcSize, buffer + 1);
  buffer[1 + encoded] = 0;
  return encoded + 2;
}

Frame OpenFrame(uint8_t* encoded, size_t size, size_t max_payload) {
  Frame frame = {Status::kBadFrame, encoded, 0, 0};
  const size_t decoded = CobsDecode(encoded, size);
  if (decoded == kCobsBad || decoded < kCrcSize + 2) return frame;
  frame.size = decoded - kCrcSize;
  if (frame.size > max_payload) {
    frame.status = Status::kFrameTooLong;
    return frame;
  }
  frame.crc = LoadU32(encoded + frame.size);
  if (Crc32(encoded, frame.size) == frame.crc) frame.status = Status::kOk;
  return frame;
}
