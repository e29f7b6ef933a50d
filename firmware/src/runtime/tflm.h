#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#ifdef HIL_SWAP
#include "format.h"
#include "runtime/runtime.h"
#endif
#include "tensor.h"

struct TfLiteContext;

namespace tflite {
class MicroAllocator;
class MicroOpResolver;
class MicroResourceVariables;
}

// Kept to C++11, since Arduino cores compile the generated file with their own default standard.
namespace runtime {

// Storage for one object that is never destroyed: a static one would register with atexit, which needs a heap.
template <typename T>
class Forever {
 public:
  template <typename... Arguments>
  T* Make(Arguments&&... arguments) {
    return new (place_) T(static_cast<Arguments&&>(arguments)...);
  }

 private:
  alignas(T) unsigned char place_[sizeof(T)];
};

// How many of the model's kinds of operator there are, and for how many an optimized kernel is linked in.
struct KernelCounts {
  uint8_t operators;
  uint8_t cmsis_nn;
  uint8_t esp_nn;
};

// Everything a model run by the interpreter brings. The generated model_tflm.cpp defines kTflmModel and nothing else
// that is visible outside of it, so a new model or build id recompiles that file only. It includes nothing of TFLM,
// whose headers take seconds to compile: operators_tflm.cpp does, and stays the same for models of the same operators.
struct TflmModel {
  const uint8_t* flatbuffer;
  uint8_t* arena;
  uint32_t arena_capacity;
  uint8_t* input;  // Kept apart from the arena, where Invoke() may write over its input tensors.
  uint32_t input_size;
  uint8_t* output;  // For several output tensors, which are not contiguous in the arena; nullptr for one.
  uint32_t output_size;
  TensorSpecs inputs;
  TensorSpecs outputs;
  uint8_t model_sha256[32];
  uint8_t build_id[16];
  const char* version;
  const char* model_name;
  bool stateful;
  uint32_t variables_bytes;  // At least what Variables() takes of the arena.
};

extern const TflmModel kTflmModel;

#ifdef HIL_SWAP

// What a firmware has beside its own model, for those that are brought to it. kTflmModel's buffers for inputs and outputs are
// as large as the largest model needs. Generated into model_tflm.cpp.
struct TflmRoom {
  uint8_t* model;
  uint32_t model_bytes;
  uint32_t input_bytes;
  uint8_t* output;
  uint32_t output_bytes;
  TensorSpec* specs;  // Of inputs and outputs together.
  uint8_t most_specs;
};

extern const TflmRoom kTflmRoom;

// What cannot be seen from a model's file in a few lines.
struct TflmTraits {
  bool quantized;
  uint16_t variables;
  uint8_t initializer_count;
  uint16_t initializers[kMostInitializers];
};

extern const TflmTraits kTflmTraits;  // Of the model that is linked in.
const TflmTraits& RunningTraits();

// A kind of operator that the resolver has: name and number of TFLite, and which optimized kernels are linked in for it.
struct OperatorKind {
  const char* name;
  int32_t code;
  bool cmsis_nn;
  bool esp_nn;
};

// Generated into operators_tflm.cpp.
size_t KindCount();
OperatorKind KindAt(size_t index);

// Whether TFLM can be given the file in the room: offsets, sizes and indices within bounds, known operators, and inputs and
// outputs that there is room for. Then `run` is a model that runs it. That its operators get tensors of shapes that they
// expect is the host's to check.
[[nodiscard]] Status CheckModel(const BroughtModel& model, TflmModel* run, TextBuffer* note);

KernelCounts CountKernels(const uint8_t* flatbuffer, bool quantized);

#endif

// Generated into operators_tflm.cpp.
const tflite::MicroOpResolver* Resolver();  // With the model's operators and no others; nullptr if refused.
KernelCounts Kernels();                    // Not with HIL_SWAP.
tflite::MicroResourceVariables* Variables(tflite::MicroAllocator* allocator);  // Room for them; nullptr if there are none.
bool AssignVariables(const TfLiteContext* context);  // Their initial values, which CALL_ONCE assigns once only.

}  // namespace runtime
