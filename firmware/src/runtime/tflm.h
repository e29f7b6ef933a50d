#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

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

// Generated into operators_tflm.cpp.
const tflite::MicroOpResolver* Resolver();  // With the model's operators and no others; nullptr if refused.
KernelCounts Kernels();
tflite::MicroResourceVariables* Variables(tflite::MicroAllocator* allocator);  // Room for them; nullptr if there are none.
bool AssignVariables(const TfLiteContext* context);  // Their initial values, which CALL_ONCE assigns once only.

}  // namespace runtime
