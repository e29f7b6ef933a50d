#include "measure/profile.h"

#ifdef HIL_PROFILE

#include "measure/stamp.h"
#include "port/port.h"
#include "runtime/runtime.h"
#include "wire/crc32.h"
#include "wire/ticks.h"

namespace {

constexpr size_t kRequest = 7;       // what, step, input_crc
constexpr size_t kOffset = 4;        // and in a request for an output
constexpr size_t kValuesFixed = 16;  // steps, whole, empty, pitch, count
constexpr int kEmptySteps = 16;

// Ticks of each step. A call costs the same for an empty step as for any other, so that its cost can be measured.
class Stopwatch final : public runtime::StepObserver {
 public:
  explicit Stopwatch(const runtime::Steps& steps) : steps_(steps) {}
  void Begin() override {
    const uint32_t start = Stamp();
    pitch_ = start - start_;
    start_ = start;
  }
  void End() override {
    const uint32_t end = Stamp();
    if (step_ < steps_.count) steps_.values[step_] = end - start_;
    ++step_;
  }
  size_t seen() const { return step_; }
  uint32_t pitch() const { return pitch_; }  // From the last but one beginning to the last.

 private:
  const runtime::Steps steps_;
  size_t step_ = 0;
  uint32_t start_ = 0;
  uint32_t pitch_ = 0;
};

class Checksums final : public runtime::StepObserver {
 public:
  explicit Checksums(const runtime::Steps& steps) : steps_(steps) {}
  void Begin() override {}
  void End() override {
    if (step_ < steps_.count) {
      const runtime::OutputBuffer output = runtime::StepOutput(step_);
      steps_.values[step_] = Crc32(output.data, output.size);
    }
    ++step_;
  }
  size_t seen() const { return step_; }

 private:
  const runtime::Steps steps_;
  size_t step_ = 0;
};

// Writes a step's output from `offset` on, as much as fits, behind the size of the whole.
class Capture final : public runtime::StepObserver {
 public:
  Capture(size_t step, size_t offset, Writer* reply) : wanted_(step), offset_(offset), reply_(reply) {}
  void Begin() override {}
  void End() override {
    if (step_++ != wanted_) return;
    const runtime::OutputBuffer output = runtime::StepOutput(wanted_);
    size_ = output.size;
    reply_->U32(static_cast<uint32_t>(size_));
    if (offset_ >= size_) return;
    const size_t left = size_ - offset_;
    reply_->Bytes(output.data + offset_, left < reply_->room() ? left : reply_->room());
  }
  size_t size() const { return size_; }

 private:
  const size_t wanted_;
  const size_t offset_;
  Writer* const reply_;
  size_t step_ = 0;
  size_t size_ = 0;
};

}  // namespace

bool Profiler::able() const { return runtime::ModelSteps().count > 0; }

Fault Profiler::Answer(Reader& body, Writer& reply, State* state) {
  if (body.left() < kRequest) return {Status::kBadSize, kRequest, "body"};
  const uint8_t what = body.U8();
  if (what > kStepOutput) return {Status::kBadValue, kStepOutput, "what"};
  const size_t step = body.U16();
  const uint32_t wanted_crc = body.U32();
  const size_t more = what == kStepOutput ? kOffset : 0;
  if (body.left() != more) return {Status::kBadSize, static_cast<uint32_t>(kRequest + more), "body"};

  const size_t last = what == kStepOutput || what == kept_ ? runtime::ModelSteps().count - 1 : 0;
  if (step > last) return {Status::kBadValue, static_cast<uint32_t>(last), "step"};
  const runtime::InputBuffer input = runtime::Input();
  const uint32_t input_crc = Crc32(input.data, input.size);
  if (input_crc != wanted_crc) return {Status::kBadInput, input_crc, "input_crc"};
  if (what != kStepOutput) return Values(static_cast<What>(what), step, reply, state);

  const size_t offset = body.U32();
  Capture capture(step, offset, &reply);
  if (state->BeforeInvoke() != Status::kOk) return {Status::kInvokeFailed, 0, ""};
  runtime::Prepare();
  if (runtime::InvokeObserved(&capture) != Status::kOk) return {Status::kInvokeFailed, 0, ""};
  if (offset >= capture.size()) return {Status::kBadValue, static_cast<uint32_t>(capture.size()), "offset"};
  return {};
}

// For step 0 an inference is run; for a later one the values of that inference are continued.
Fault Profiler::Values(What what, size_t first, Writer& reply, State* state) {
  const runtime::Steps steps = runtime::ModelSteps();
  if (first == 0) {
    kept_ = kNothing;
    if (Observe(what, state) != Status::kOk) return {Status::kInvokeFailed, 0, ""};
    kept_ = what;
  }
  const size_t room = (reply.room() - kValuesFixed - kTicksHeader) / kTicks;
  const size_t left = steps.count - first;
  const size_t count = left < room ? left : room;
  reply.U16(static_cast<uint16_t>(steps.count));
  reply.U32(whole_ticks_);
  reply.U32(empty_ticks_);
  reply.U32(pitch_ticks_);
  reply.U16(static_cast<uint16_t>(count));
  uint8_t* const packed = reply.Reserve(kTicksHeader + count * kTicks);
  if (packed == nullptr) return {};
  for (size_t i = 0; i < count; ++i) StoreU32(packed + kTicksHeader + i * kTicks, steps.values[first + i]);
  reply.Drop(PackTicks(packed, count));
  return {};
}

Status Profiler::Observe(What what, State* state) {
  const runtime::Steps steps = runtime::ModelSteps();
  whole_ticks_ = empty_ticks_ = pitch_ticks_ = 0;
  const Status ready = state->BeforeInvoke();
  if (ready != Status::kOk) return ready;
  runtime::Prepare();
  if (what == kStepChecksums) {
    Checksums checksums(steps);
    const Status status = runtime::InvokeObserved(&checksums);
    return checksums.seen() == steps.count ? status : Status::kInvokeFailed;
  }
  MeasureEmptyStep();
  const port::Quiet quiet;
  Stopwatch stopwatch(steps);
  const uint32_t start = Stamp();
  const Status status = runtime::InvokeObserved(&stopwatch);
  whole_ticks_ = Stamp() - start;
  return stopwatch.seen() == steps.count ? status : Status::kInvokeFailed;
}

// The ticks that an empty step is measured to take, and those until the next can begin: the least of several.
void Profiler::MeasureEmptyStep() {
  const port::Quiet quiet;
  empty_ticks_ = pitch_ticks_ = UINT32_MAX;
  for (int repeat = 0; repeat < kEmptySteps; ++repeat) {
    uint32_t steps[2] = {};
    Stopwatch stopwatch({steps, 2});
    runtime::ObserveNothing(&stopwatch);
    if (stopwatch.pitch() < pitch_ticks_) pitch_ticks_ = stopwatch.pitch();
    for (const uint32_t step : steps) {
      if (step < empty_ticks_) empty_ticks_ = step;
    }
  }
}

#endif
