#include "runtime/aot.h"

#include "runtime/runtime.h"

namespace runtime {

Status Load() {
  const bool consistent = kAotModel.input_size > 0 && kAotModel.input_size == SizeBytes(kAotModel.inputs) &&
                          kAotModel.output_size > 0 && kAotModel.output_size == SizeBytes(kAotModel.outputs);
  if (!consistent) return Status::kModelNotLoaded;
  return kAotModel.arena_used <= kAotModel.arena_capacity ? Status::kOk : Status::kArenaTooSmall;
}

Description Describe() {
  Description description = {};
  description.id = kAotModel.id;
  description.version = kAotModel.version;
  description.kernels = kAotModel.kernels;
  description.arena_used = kAotModel.arena_used;
  description.arena_capacity = kAotModel.arena_capacity;
  description.model_sha256 = kAotModel.model_sha256;
  description.build_id = kAotModel.build_id;
  description.inputs = kAotModel.inputs;
  description.outputs = kAotModel.outputs;
  description.model_name = kAotModel.model_name;
  description.note = "";
  description.stateful = false;  // The generator has no operator that keeps state.
  return description;
}

InputBuffer Input() { return {kAotModel.input, kAotModel.input_size}; }

void Prepare() {}  // The generated code reads the caller's buffer and does not write it.

Status ResetState() { return Status::kOk; }

Status Invoke() {
  kAotModel.infer();
  return Status::kOk;
}

OutputBuffer Output() { return {kAotModel.output, kAotModel.output_size}; }

}  // namespace runtime

#ifdef HIL_PROFILE

#include "runtime/steps.h"

namespace {

runtime::StepObserver* observer = nullptr;

}  // namespace

extern "C" void hil_step_begin(void) {
  if (observer != nullptr) observer->Begin();
}

extern "C" void hil_step_end(void) {
  if (observer != nullptr) observer->End();
}

namespace runtime {

Steps ModelSteps() { return {kSteps.values, kSteps.count}; }

Status InvokeObserved(StepObserver* told) {
  observer = told;
  const Status status = Invoke();
  observer = nullptr;
  return status;
}

void ObserveNothing(StepObserver* told) {
  observer = told;
  hil_step_begin();
  hil_step_end();
  hil_step_begin();
  hil_step_end();
  observer = nullptr;
}

OutputBuffer StepOutput(size_t step) { return {kSteps.outputs[step].data, kSteps.outputs[step].size}; }

}  // namespace runtime

#endif
