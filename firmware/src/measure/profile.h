#pragma once

#include <cstddef>
#include <cstdint>

#include "measure/state.h"
#include "wire/fault.h"
#include "wire/wire.h"

#ifdef HIL_PROFILE

// Answers op PROFILE.
class Profiler {
 public:
  bool able() const;
  Fault Answer(Reader& body, Writer& reply, State* state);

 private:
  enum What : uint8_t { kStepTicks = 0, kStepChecksums = 1, kStepOutput = 2, kNothing = 0xff };

  Fault Values(What what, size_t first, Writer& reply, State* state);
  Status Observe(What what, State* state);
  void MeasureEmptyStep();

  What kept_ = kNothing;  // What the steps' values are.
  uint32_t whole_ticks_ = 0;
  uint32_t empty_ticks_ = 0;
  uint32_t pitch_ticks_ = 0;
};

#else

// In firmware whose latency counts. The compiler leaves nothing of it.
class Profiler {
 public:
  bool able() const { return false; }
  Fault Answer(Reader&, Writer&, State*) { return {Status::kUnsupported, 0, ""}; }
};

#endif
