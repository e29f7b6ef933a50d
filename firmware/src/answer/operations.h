#pragma once

#include <cstddef>
#include <cstdint>

#include "answer/loading.h"
#include "measure/clock.h"
#include "measure/measure.h"
#include "measure/profile.h"
#include "measure/state.h"
#include "runtime/runtime.h"
#include "status.h"
#include "wire/fault.h"
#include "wire/wire.h"

enum Op : uint8_t {
  kHello = 0x01,
  kInfer = 0x02,
  kWrite = 0x03,
  kRead = 0x04,
  kRun = 0x05,
  kProfile = 0x06,
  kReset = 0x07,
  kMemory = 0x08,
  kState = 0x09,
  kSpeed = 0x0a,
  kLoad = 0x0b,
  kError = 0x7f,
};

constexpr size_t kHeader = 2;  // Of every payload: seq, op.

// What the board does for each request of docs/protocol.md, from the body of one to the body of its reply.
class Operations {
 public:
  Operations(const char* id, size_t max_payload) : id_(id), max_payload_(max_payload) {}

  // Measures the timer and loads the model.
  void Setup(Status port_status);

  // Of RESET and SPEED only the check: the reply goes first.
  Fault Execute(uint8_t op, Reader& body, Writer& reply);

  size_t max_payload() const { return max_payload_; }
  Status setup() const { return setup_; }  // The first failure of Setup().
  const Timer& timer() const { return timer_; }
  Clock* clock() { return &clock_; }
  State* state() { return &state_; }
  uint32_t asked_baud() const { return asked_baud_; }  // By the last SPEED that was not refused.

 private:
  Fault Hello(Reader& body, Writer& reply);
  Fault Infer(Reader& body, Writer& reply);
  Fault WriteInput(Reader& body, Writer& reply);
  Fault ReadOutput(Reader& body, Writer& reply);
  Fault Run(Reader& body, Writer& reply);
  Fault Memory(Reader& body, Writer& reply);
  Fault Profile(Reader& body, Writer& reply);
  Fault SetState(Reader& body, Writer& reply);
  Fault Speed(Reader& body, Writer& reply);
  Fault Load(Reader& body, Writer& reply);
  Fault Commit(Reader& body, Writer& reply);
  void Begun(Status load_status, bool brought);
  void DescribeBoard(Writer& reply) const;

  Status InvokeOnce(uint32_t* elapsed);
  Fault Window(uint8_t* ticks, size_t count, uint32_t more, uint64_t* more_ticks);
  size_t InferLimit() const;
  uint16_t Capabilities() const;

  Clock clock_;
  const char* id_;
  size_t max_payload_;
  Timer timer_ = {};
  Profiler profiler_;
  State state_;
  Status setup_ = Status::kOk;
  uint32_t asked_baud_ = 0;
  bool session_ = false;
#ifdef HIL_SWAP
  Status base_ = Status::kOk;  // Of the setup, but for the model's.
  Loading loading_;
#endif
};
