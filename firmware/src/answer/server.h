#pragma once

#include <cstddef>
#include <cstdint>

#include "answer/mlperf.h"
#include "answer/operations.h"
#include "status.h"
#include "wire/frame.h"
#include "wire/receiver.h"

// HELLO's reply is 76 bytes and then names and tensor specs: it must fit one frame.
constexpr size_t kMinPayload = 256;

template <size_t kMaxPayload>
struct ServerBuffers {
  static_assert(kMaxPayload >= kMinPayload && kMaxPayload <= UINT16_MAX, "max_payload is a u16 of at least 256");
  static_assert(EncodedSize(kMaxPayload) >= kMaxLine, "lines share the receive buffer");
  uint8_t rx[EncodedSize(kMaxPayload)];
  uint8_t tx[TxCapacity(kMaxPayload)];
};

// The board's side of docs/protocol.md: bytes in, answers out through port::Write.
class Server {
 public:
  template <size_t kMaxPayload>
  Server(const char* id, ServerBuffers<kMaxPayload>* buffers)
      : operations_(id, kMaxPayload), mlperf_(id), receiver_(buffers->rx, sizeof buffers->rx), tx_(buffers->tx) {}

  // Measures the timer and loads the model. A failure, or `port_status`, stays visible in every answer.
  void Setup(Status port_status);

  void Feed(const uint8_t* bytes, size_t size);
  void Idle();  // When there is nothing to feed, at least once per wrap of port::Ticks().

 private:
  void Answer(Receiver::Event event);
  void AnswerFrame();
  void Reply();
  void AnswerFault(Status status, uint32_t detail);
  void AnswerLine();
  void AnswerCommand();
  uint64_t LeaveSilentBaud();  // Returns what the clock shows.

  Operations operations_;
  Mlperf mlperf_;
  Receiver receiver_;
  uint8_t* tx_;

  // The last reply stays encoded in tx_ for a host that asks again.
  size_t reply_size_ = 0;
  uint32_t request_crc_ = 0;
  uint8_t request_seq_ = 0;
  uint8_t request_op_ = 0;  // As the reply has it: ERROR if it was refused.

  uint64_t heard_ = 0;  // The last frame that opened, or rather the end of its answer.
  uint64_t baud_limit_ = 0;
};
