#include "runtime/tflm.h"

#include <cstring>

#include "format.h"
#include "runtime/cmsis_nn.h"
#include "runtime/runtime.h"
#include "runtime/tflm_log.h"

#pragma GCC diagnostic push  // Foreign headers answer to their authors' warnings.
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#include "tensorflow/lite/micro/arena_allocator/single_arena_buffer_allocator.h"
#include "tensorflow/lite/micro/memory_planner/greedy_memory_planner.h"
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#ifdef HIL_PROFILE
#include "tensorflow/lite/micro/memory_helpers.h"
#include "tensorflow/lite/micro/micro_profiler.h"
#endif
#include "tensorflow/lite/schema/schema_generated.h"
#pragma GCC diagnostic pop

#ifdef HIL_PROFILE
#include "runtime/steps.h"
#endif

namespace runtime {
namespace {

// TFLM reports a lack of memory only in the text of its log: this records the sizes that were refused.
class Arena : public tflite::SingleArenaBufferAllocator {
 public:
  Arena(uint8_t* buffer, size_t size) : SingleArenaBufferAllocator(buffer, size) {}

  TfLiteStatus ResizeBuffer(uint8_t* buffer, size_t size, size_t alignment) override {
    const TfLiteStatus status = SingleArenaBufferAllocator::ResizeBuffer(buffer, size, alignment);
    if (status != kTfLiteOk) Refused(GetPersistentUsedBytes() + size + alignment);
    return status;
  }

  uint8_t* AllocatePersistentBuffer(size_t size, size_t alignment) override {
    uint8_t* const buffer = SingleArenaBufferAllocator::AllocatePersistentBuffer(size, alignment);
    if (buffer == nullptr) Refused(GetUsedBytes() + size + alignment);
    return buffer;
  }

  uint8_t* AllocateTemp(size_t size, size_t alignment) override {
    uint8_t* const buffer = SingleArenaBufferAllocator::AllocateTemp(size, alignment);
    if (buffer == nullptr) Refused(GetUsedBytes() + size + alignment);
    return buffer;
  }

  void Refused(size_t wanted) {
    if (wanted > wanted_) wanted_ = wanted;
  }
  size_t wanted() const { return wanted_; }  // The capacity that would have got it further; 0: nothing was refused.

  void operator delete(void*) {}  // Asked for by the virtual destructor, never called.

 private:
  size_t wanted_ = 0;
};

// Records the size of the finished plan, which TFLM compares with what is left before it asks for it.
class Planner : public tflite::GreedyMemoryPlanner {
 public:
  size_t GetMaximumMemorySize() override {
    planned_ = GreedyMemoryPlanner::GetMaximumMemorySize();
    return planned_;
  }

  size_t planned() const { return planned_; }

  void operator delete(void*) {}

 private:
  size_t planned_ = 0;
};

class Interpreter : public tflite::MicroInterpreter {
 public:
  using MicroInterpreter::context;
  using MicroInterpreter::MicroInterpreter;
};

#ifdef HIL_PROFILE

// TFLM reports an event for every operator. One inside another, of a graph that an operator calls, is that operator's.
class Events : public tflite::MicroProfilerInterface {
 public:
  uint32_t BeginEvent(const char*) override {
    if (open_++ == 0 && observer != nullptr) observer->Begin();
    return 0;
  }
  void EndEvent(uint32_t) override {
    if (--open_ == 0 && observer != nullptr) observer->End();
  }

  StepObserver* observer = nullptr;

  void operator delete(void*) {}

 private:
  uint32_t open_ = 0;
};

Forever<Events> events_place;
Events* const events = events_place.Make();

#else

constexpr tflite::MicroProfilerInterface* events = nullptr;

#endif

Forever<Arena> arena_place;
Forever<Planner> planner_place;
Forever<Interpreter> interpreter_place;

#ifdef HIL_SWAP
const TflmModel* running = &kTflmModel;
const TflmTraits* traits = &kTflmTraits;
TflmModel brought;
TflmTraits brought_traits;

const TflmModel& Running() { return *running; }
#else
const TflmModel& Running() { return kTflmModel; }
#endif

Interpreter* interpreter = nullptr;
uint32_t arena_used = 0;  // After a failure for want of arena: what would have got it further.
char note[200];
char kernels[64];

void DescribeKernels(const KernelCounts& counts) {
  const bool cmsis_nn = counts.cmsis_nn > counts.esp_nn;
  const uint8_t optimized = cmsis_nn ? counts.cmsis_nn : counts.esp_nn;
  TextBuffer text(kernels, sizeof kernels);
  if (optimized > 0) text.Add(cmsis_nn ? "CMSIS-NN" HIL_CMSIS_NN_VARIANT : "ESP-NN");
  if (optimized == counts.operators) return;
  if (optimized > 0) text.Add(" (").AddNumber(optimized).Add(" of ").AddNumber(counts.operators).Add(" operators) + ");
  text.Add("TFLM reference");
}

bool Fits(const TfLiteTensor* tensor, const TensorSpec& spec) {
  // The interpreter's numbers are the file's but for float32, since its 0 is "no type".
  const TfLiteType type = spec.dtype == kFloat32 ? kTfLiteFloat32 : static_cast<TfLiteType>(spec.dtype);
  return tensor != nullptr && tensor->data.raw != nullptr && tensor->type == type &&
         tensor->bytes == SizeBytes({&spec, 1});
}

// The generated description is what the host was told: it must be the interpreter's own.
bool TensorsFit() {
  if (interpreter->inputs_size() != Running().inputs.count) return false;
  if (interpreter->outputs_size() != Running().outputs.count) return false;
  for (uint8_t i = 0; i < Running().inputs.count; ++i) {
    if (!Fits(interpreter->input(i), Running().inputs.items[i])) return false;
  }
  for (uint8_t i = 0; i < Running().outputs.count; ++i) {
    if (!Fits(interpreter->output(i), Running().outputs.items[i])) return false;
  }
  return true;
}

// The note: `reason`, and what TFLM logged.
Status Fail(Status status, const char* reason) {
  TextBuffer text(note, sizeof note);
  text.Add(reason);
  if (TflmLog()[0] != '\0') text.Add(text.size() > 0 ? ": " : "").Add(TflmLog());
  return status;
}

Status FailForWantOfArena() {
  char reason[80];
  TextBuffer text(reason, sizeof reason);
  text.Add("the arena has ").AddNumber(Running().arena_capacity);
  text.Add(" bytes, at least ").AddNumber(arena_used).Add(" are needed");
  return Fail(Status::kArenaTooSmall, reason);
}

Status Plan(Arena* arena, const tflite::Model* model, const tflite::MicroOpResolver* resolver) {
  // Its own object is the one thing TFLM places in the arena without a look at whether there is room.
  constexpr size_t kOwn = sizeof(tflite::MicroAllocator) + alignof(tflite::MicroAllocator);
  if (Running().arena_capacity < kOwn) {
    arena->Refused(kOwn);
    return Status::kArenaTooSmall;
  }
  Planner* const planner = planner_place.Make();
  tflite::MicroAllocator* const allocator = tflite::MicroAllocator::Create(arena, planner);
  // Nor does it look before it places its list of variables.
  if (arena->GetAvailableMemory(1) < Running().variables_bytes) {
    arena->Refused(arena->GetUsedBytes() + Running().variables_bytes);
    return Status::kArenaTooSmall;
  }
  interpreter = interpreter_place.Make(model, *resolver, allocator, Variables(allocator), events);
  if (interpreter->AllocateTensors() == kTfLiteOk) return Status::kOk;
  const size_t planned = arena->GetPersistentUsedBytes() + planner->planned();
  if (planned > Running().arena_capacity) arena->Refused(planned);
  return arena->wanted() > 0 ? Status::kArenaTooSmall : Status::kModelNotLoaded;
}

// The running model, from its file on.
Status LoadRunning() {
  const tflite::Model* const model = tflite::GetModel(Running().flatbuffer);
  if (model->version() != TFLITE_SCHEMA_VERSION) {
    TextBuffer text(note, sizeof note);
    text.Add("model has schema version ").AddNumber(model->version());
    text.Add(", the library reads ").AddNumber(TFLITE_SCHEMA_VERSION);
    return Status::kBadSchema;
  }
  const tflite::MicroOpResolver* const resolver = Resolver();
  if (resolver == nullptr) return Fail(Status::kModelNotLoaded, "an operator was not accepted");
  Arena* const arena = arena_place.Make(Running().arena, Running().arena_capacity);
  const Status planned = Plan(arena, model, resolver);
  arena_used = static_cast<uint32_t>(arena->wanted() > 0 ? arena->wanted() : arena->GetUsedBytes());
  if (planned != Status::kOk) {
    interpreter = nullptr;
    return planned == Status::kArenaTooSmall ? FailForWantOfArena() : Fail(planned, "");
  }
  return TensorsFit() ? Status::kOk : Fail(Status::kModelNotLoaded, "its tensors are not those described");
}

}  // namespace

#ifndef HIL_SWAP

Status Load() {
  DescribeKernels(Kernels());
  return LoadRunning();
}

#else

namespace {

void Run(const TflmModel* model, const TflmTraits* its_traits) {
  running = model;
  traits = its_traits;
  interpreter = nullptr;
  arena_used = 0;
  note[0] = '\0';
  ForgetTflmLog();
}

}  // namespace

Status Load() {
  Run(&kTflmModel, &kTflmTraits);
  DescribeKernels(CountKernels(kTflmModel.flatbuffer, kTflmTraits.quantized));
  return LoadRunning();
}

ModelRoom RoomForModel() { return {kTflmRoom.model, kTflmRoom.model_bytes}; }

size_t OperatorCount() { return KindCount(); }

const char* OperatorName(size_t kind) { return KindAt(kind).name; }

const TflmTraits& RunningTraits() { return *traits; }

Status Swap(const BroughtModel& model) {
  Run(&kTflmModel, &kTflmTraits);
  TextBuffer text(note, sizeof note);
  const Status checked = CheckModel(model, &brought, &text);
  if (checked != Status::kOk) return checked;
  brought_traits = {model.quantized, model.variables, model.initializer_count, {}};
  memcpy(brought_traits.initializers, model.initializers, sizeof model.initializers);
  Run(&brought, &brought_traits);
  DescribeKernels(CountKernels(brought.flatbuffer, model.quantized));
  return LoadRunning();
}

#endif

Description Describe() {
  Description description = {};
  description.id = "tflm";
  description.version = Running().version;
  description.kernels = kernels;
  description.arena_used = arena_used;
  description.arena_capacity = Running().arena_capacity;
  description.model_sha256 = Running().model_sha256;
  description.build_id = Running().build_id;
  description.inputs = Running().inputs;
  description.outputs = Running().outputs;
  description.model_name = Running().model_name;
  description.note = note;
  description.stateful = Running().stateful;
  return description;
}

InputBuffer Input() { return {Running().input, Running().input_size}; }

void Prepare() {
  const uint8_t* from = Running().input;
  for (uint8_t i = 0; i < Running().inputs.count; ++i) {
    TfLiteTensor* const tensor = interpreter->input(i);
    memcpy(tensor->data.raw, from, tensor->bytes);
    from += tensor->bytes;
  }
}

// TFLM fills its variables with zeros, and CALL_ONCE, which has run, does not assign them again.
Status ResetState() {
  const bool done = interpreter->Reset() == kTfLiteOk && AssignVariables(&interpreter->context());
  return done ? Status::kOk : Status::kInvokeFailed;
}

// A kernel may end a run before its end, which is no error: CIRCULAR_BUFFER does until its stride has passed.
Status Invoke() { return interpreter->Invoke() == kTfLiteError ? Status::kInvokeFailed : Status::kOk; }

OutputBuffer Output() {
  if (interpreter == nullptr) return {nullptr, Running().output_size};
  if (Running().outputs.count == 1) return {interpreter->output(0)->data.uint8, Running().output_size};
  uint8_t* to = Running().output;
  for (uint8_t i = 0; i < Running().outputs.count; ++i) {
    const TfLiteTensor* const tensor = interpreter->output(i);
    memcpy(to, tensor->data.raw, tensor->bytes);
    to += tensor->bytes;
  }
  return {Running().output, Running().output_size};
}

}  // namespace runtime

#ifdef HIL_PROFILE

namespace runtime {

Steps ModelSteps() { return {kSteps.values, kSteps.count}; }

Status InvokeObserved(StepObserver* observer) {
  events->observer = observer;
  const Status status = Invoke();
  events->observer = nullptr;
  return status;
}

void ObserveNothing(StepObserver* observer) {
  events->observer = observer;
  {
    const tflite::ScopedMicroProfiler first("", events);
  }
  {
    const tflite::ScopedMicroProfiler second("", events);
  }
  events->observer = nullptr;
}

OutputBuffer StepOutput(size_t step) {
  const auto* const node = tflite::GetModel(Running().flatbuffer)->subgraphs()->Get(0)->operators()->Get(step);
  if (node->outputs() == nullptr || node->outputs()->size() == 0) return {nullptr, 0};
  const TfLiteContext* const context = &interpreter->context();
  const TfLiteEvalTensor* const tensor = context->GetEvalTensor(context, node->outputs()->Get(0));
  size_t size = 0;
  if (tflite::TfLiteEvalTensorByteLength(tensor, &size) != kTfLiteOk) return {nullptr, 0};
  return {tensor->data.uint8, size};
}

}  // namespace runtime

#endif
