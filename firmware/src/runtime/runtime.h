#pragma once

#include <cstddef>
#include <cstdint>

#include "status.h"
#include "tensor.h"

namespace runtime {  // What executes the model. One implementation is linked into a firmware.

struct Description {
  const char* id;
  const char* version;
  const char* kernels;
  uint32_t arena_used;
  uint32_t arena_capacity;
  const uint8_t* model_sha256;  // 32 bytes.
  const uint8_t* build_id;      // 16 bytes.
  TensorSpecs inputs;
  TensorSpecs outputs;
  const char* model_name;
  const char* note;  // Why Load() failed, with numbers; empty if it did not.
  bool stateful;     // It keeps something from one invoke to the next, which ResetState() forgets.
};

struct InputBuffer {
  uint8_t* data;
  size_t size;
};

struct OutputBuffer {
  const uint8_t* data;
  size_t size;
};

[[nodiscard]] Status Load();
Description Describe();  // Valid after Load(), whatever that returned; unknown tensors are left out.

// All input tensors' bytes in order. They keep their value until the caller changes them, also over Invoke():
// a runtime whose Invoke() overwrites its input tensors owns a second buffer and hands out that one.
InputBuffer Input();

void Prepare();  // Before every Invoke(), not timed: puts Input() where the kernels read, if that is elsewhere.
[[nodiscard]] Status Invoke();  // What is timed: nothing but the model.

// Of a stateful model: all that it keeps is as after Load(). This may write over the input tensors, but not over Input(), and over the outputs.
[[nodiscard]] Status ResetState();

OutputBuffer Output();  // All output tensors' bytes in order, of the last Invoke(). Not timed.

// What follows is in a firmware built with HIL_PROFILE only: one whose latency is measured has no instrumentation at all.

// Told before and after each step of an inference: an operator, or a call of generated code.
class StepObserver {
 public:
  virtual void Begin() = 0;
  virtual void End() = 0;

 protected:
  ~StepObserver() = default;
};

struct Steps {
  uint32_t* values;  // Room for one number per step, which the runtime does not touch.
  size_t count;
};

Steps ModelSteps();
[[nodiscard]] Status InvokeObserved(StepObserver* observer);  // As Invoke(), telling `observer` of every step in order.
void ObserveNothing(StepObserver* observer);  // Two empty steps: what the calls of an observer cost.
OutputBuffer StepOutput(size_t step);  // What a step has written. Valid during its End() only: the memory is used again.

// What follows is in a firmware built with HIL_SWAP only: one that takes a model over the link, in the place of its own.

struct ModelRoom {
  uint8_t* data;    // Aligned to 16.
  size_t capacity;  // 0: it takes none.
};

constexpr size_t kMostModelName = 63;
constexpr size_t kMostInitializers = 8;

// A model whose file lies in ModelRoom(), and what the host says of it.
struct BroughtModel {
  size_t size;
  uint8_t sha256[32];
  bool stateful;
  bool quantized;  // To int8 or int16: the kernels of CMSIS-NN and ESP-NN serve no others.
  uint16_t variables;
  uint8_t initializer_count;
  uint16_t initializers[kMostInitializers];  // Subgraphs that CALL_ONCE runs to assign variables.
  char name[kMostModelName + 1];
};

ModelRoom RoomForModel();
size_t OperatorCount();                 // Kinds that a model may have; at least 1 where there is room.
const char* OperatorName(size_t kind);  // As TFLite names it.

// In the place of the model that ran. When it fails, Describe() says why, and Load() is to be called: it brings back the model
// that is linked in, after a success too. Whatever the file holds, this reads and writes within bounds.
[[nodiscard]] Status Swap(const BroughtModel& model);

}  // namespace runtime
