#include "protocol/receiver.h"

Receiver::Event Receiver::Push(uint8_t byte, uint32_t now) {
  const uint32_t gap = now - last_;
  last_ = now;
  const bool in_frame = state_ == State::kFrame || state_ == State::kLongFrame;
  // Looked at only when a byte arrives. A silence of nearly a whole turn of the clock (171 s at 25 MHz) can look
  // short, and the stale half frame then spoils the next one: its CRC says so and the host sends it again.
  if (in_frame && gap >= gap_limit_) Start(State::kIdle);

  if (state_ == State::kFrame || state_ == State::kLongFrame) return PushFrame(byte);
  if (byte == 0) {
    Start(State::kFrame);
    return Event::kNone;
  }
  if (state_ == State::kIdle) Start(State::kLine);
  return PushLine(byte);
}

void Receiver::Start(State state) {
  state_ = state;
  size_ = 0;
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

Receiver::Event Receiver::PushLine(uint8_t byte) {
  if (byte == '\n') {
    const State ended = state_;
    state_ = State::kIdle;
    if (ended == State::kLongLine) return Event::kLineTooLong;
    return ended == State::kLine && size_ > 0 ? Event::kLine : Event::kNone;
  }
  if (byte == '\r') return Event::kNone;
  if (byte < 0x20 || byte > 0x7e) {
    state_ = State::kGarbage;
  } else if (state_ == State::kLine) {
    if (size_ == kMaxLine) {
      state_ = State::kLongLine;
    } else {
      buffer_[size_++] = byte;
    }
  }
  return Event::kNone;
}
