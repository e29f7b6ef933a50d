#pragma once

#include <cstddef>
#include <cstdint>

constexpr size_t kMaxLine = 255;

// Cuts the byte stream into frames and lines. Knows nothing of what they mean.
class Receiver {
 public:
  enum class Event : uint8_t { kNone, kFrame, kFrameTooLong, kLine, kLineTooLong };

  // `capacity` is the largest encoded frame and at least kMaxLine. `gap_limit` is 100 ms, in the unit of Push's `now`.
  Receiver(uint8_t* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) {}
  void SetGapLimit(uint32_t gap_limit) { gap_limit_ = gap_limit; }

  // The event's bytes are in data() and size() until the next Push().
  Event Push(uint8_t byte, uint32_t now);

  uint8_t* data() { return buffer_; }
  size_t size() const { return size_; }

 private:
  enum class State : uint8_t { kIdle, kFrame, kLongFrame, kLine, kLongLine, kGarbage };

  Event PushFrame(uint8_t byte);
  Event PushLine(uint8_t byte);
  void Start(State state);

  uint8_t* buffer_;
  size_t capacity_;
  size_t size_ = 0;
  uint32_t gap_limit_ = 0;
  uint32_t last_ = 0;
  State state_ = State::kIdle;
};
