#pragma once

#include <cstddef>
#include <cstdint>

#include "measure/clock.h"
#include "measure/state.h"
#include "status.h"

// The commands of MLPerf Tiny's runner, which end with '%' on the wire. Every answer ends with the line m-ready and holds
// no other of that kind: the runner counts them.
class Mlperf {
 public:
  explicit Mlperf(const char* board) : board_(board) {}

  // `command` is printable ASCII without its '%', and may be empty.
  void Answer(const char* command, size_t size, Status setup, Clock* clock, State* state);
  static void AnswerTooLong(size_t limit);
  void Forget() { missing_ = 0; }  // What was announced: another model has another input.

 private:
  class Reply;

  void Execute(const char* command, const char* end, Status setup, Clock* clock, State* state, Reply* reply);
  void Buffer(const char* at, const char* end, Reply* reply);
  void Load(const char* at, const char* end, Reply* reply);
  void Take(const char* digits, size_t size, Reply* reply);
  void Infer(const char* at, const char* end, Clock* clock, State* state, Reply* reply);

  const char* board_;
  size_t missing_ = 0;  // Bytes of the input that "db load" announced and "db HEX" has not brought.
};
