#include "wire/receiver.h"

#include <cstring>

Receiver::Event Receiver::Push(uint8_t byte, uint64_t now) {
  const uint64_t gap = now - last_;
  last_ = now;
  const bool in_frame = state_ == State::kFrame || state_ == State::kLongFrame;
  if (in_frame && gap >= frame_limit_) Start(State::kIdle);
  if (state_ == State::kText && gap >= command_limit_) StartCommand();

  if (state_ == State::kFrame || state_ == State::kLongFrame) return PushFrame(byte);
  if (byte == 0) {
    Start(State::kFrame);
    return Event::kNone;
  }
  if (state_ == State::kIdle) Start(State::kText);
  return PushText(byte);
}

void Receiver::Start(State state) {
  state_ = state;
  size_ = start_ = command_start_ = 0;
  line_ = command_ = Text::kGood;
}

// The text so far is kept only for the sake of a line.
void Receiver::StartCommand() {
  if (line_ != Text::kGood) size_ = 0;
  command_start_ = size_;
  command_ = Text::kGood;
}

Receiver::Event Receiver::PushFrame(uint8_t byte) {
  if (byte != 0) {
    if (state_ == State::kLongFrame) return Event::kNone;
    if (size_ == capacity_) {
      state_ = State::kLongFrame;
    } else {
      buffer_[size_++] = byte;
    }
    return Event::kNone;
  }
  if (state_ == State::kLongFrame) {
    state_ = State::kIdle;
    return Event::kFrameTooLong;
  }
  if (size_ == 0) return Event::kNone;  // One more delimiter in a row: the frame is still to start.
  state_ = State::kIdle;
  return Event::kFrame;
}

Receiver::Event Receiver::PushText(uint8_t byte) {
  if (byte == '\n') return EndLine();
  if (byte == '%') return EndCommand();
  if (byte == '\r') return Event::kNone;
  if (byte < 0x20 || byte > 0x7e) {
    line_ = command_ = Text::kGarbage;
    return Event::kNone;
  }
  if (size_ == kMaxLine) {
    if (line_ == Text::kGood) line_ = Text::kLong;
    if (command_start_ == 0) {
      if (command_ == Text::kGood) command_ = Text::kLong;
      return Event::kNone;
    }
    size_ -= command_start_;  // Too long for a line, but not for the command in it.
    memmove(buffer_, buffer_ + command_start_, size_);
    command_start_ = 0;
  }
  buffer_[size_++] = byte;
  return Event::kNone;
}

Receiver::Event Receiver::EndLine() {
  state_ = State::kIdle;
  if (line_ == Text::kLong) return Event::kLineTooLong;
  return line_ == Text::kGood && size_ > 0 ? Event::kLine : Event::kNone;
}

Receiver::Event Receiver::EndCommand() {
  state_ = State::kIdle;
  start_ = command_start_;
  if (command_ == Text::kLong) return Event::kCommandTooLong;
  return command_ == Text::kGood ? Event::kCommand : Event::kNone;
}
