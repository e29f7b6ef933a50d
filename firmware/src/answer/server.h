#pragma once

#include <cstddef>
#include <cstdint>

#include "answer/mlperf.h"
#include "measure/clock.h"
#include "measure/measure.h"
#include "measure/profile.h"
#include "runtime/runtime.h"
#include "status.h"
#include "wire/fault.h"
#include "wire/frame.h"
#include "wire/receiver.h"
#include "wire/wire.h"

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
      : id_(id),
        max_payload_(kMaxPayload),
        tx_(buffers->tx),
        receiver_(buffers->rx, sizeof buffers->rx),
        mlperf_(id) {}

  // Measures the timer and loads the model. A failure, or `port_status`, stays visible in every answer.
  void Setup(Status port_status);

  void Feed(const uint8_t* bytes, size_t size);
  void Idle();  // When there is nothing to feed, at least once per turn of port::Ticks().

 private:
  using Fault = ::Fault;

  void Answer(Receiver::Event event);
  void AnswerFrame();
  void AnswerFault(Status status, uint32_t detail);
  void AnswerLine();
  void AnswerCommand();
  Status InvokeOnce(uint32_t* elapsed);

  Fault Execute(uint8_t op, Reader& body, Writer& reply);
  Fault Hello(Reader& body, Writer& reply);
  Fault Infer(Reader& body, Writer& reply);
  Fault WriteInput(Reader& body, Writer& reply);
  Fault ReadOutput(Reader& body, Writer& reply);
  Fault Run(Reader& body, Writer& reply);
  Fault Memory(Reader& body, Writer& reply);
  Fault Profile(Reader& body, Writer& reply);

  size_t InferLimit() const;
  uint16_t Capabilities() const;

  const char* id_;
  size_t max_payload_;
  uint8_t* tx_;
  Receiver receiver_;
  Mlperf mlperf_;
  Clock clock_;

  Status setup_ = Status::kOk;
  Timer timer_ = {};
  bool session_ = false;

  // The last reply stays encoded in tx_ for a host that asks again.
  size_t reply_size_ = 0;
  uint32_t request_crc_ = 0;
  uint8_t request_seq_ = 0;
  Profiler profiler_;
};
