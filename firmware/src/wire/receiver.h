#pragma once

#include <cstddef>
#include <cstdint>

constexpr size_t kMaxLine = 255;

// Cuts the byte stream into frames, lines and commands. Knows nothing of what they mean.
class Receiver {
 public:
  enum class Event : uint8_t { kNone, kFrame, kFrameTooLong, kLine, kLineTooLong, kCommand, kCommandTooLong };

  // `capacity` is the largest encoded frame and at least kMaxLine.
  Receiver(uint8_t* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) {}

  // Silences after which a frame is given up and a command starts anew, in the unit of Push's `now`.
  void SetLimits(uint64_t frame, uint64_t command) {
    frame_limit_ = frame;
    command_limit_ = command;
  }

  // The event's bytes are in data() and size() until the next Push().
  Event Push(uint8_t byte, uint64_t now);

  uint8_t* data() { return buffer_ + start_; }
  size_t size() const { return size_ - start_; }

 private:
  enum class State : uint8_t { kIdle, kFrame, kLongFrame, kText };
  enum class Text : uint8_t { kGood, kLong, kGarbage };

  Event PushFrame(uint8_t byte);
  Event PushText(uint8_t byte);
  Event EndLine();
  Event EndCommand();
  void Start(State state);
  void StartCommand();

  uint8_t* buffer_;
  size_t capacity_;
  size_t size_ = 0;
  size_t start_ = 0;          // Of what data() shows.
  size_t command_start_ = 0;  // In a text whose beginning may be that of another client, long gone.
  uint64_t frame_limit_ = 0;
  uint64_t command_limit_ = 0;
  uint64_t last_ = 0;
  State state_ = State::kIdle;
  Text line_ = Text::kGood;     // What the text is, should it end as a line,
  Text command_ = Text::kGood;  // or as a command.
};
