#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor.h"

// Kept to C++11, since Arduino cores compile the generated file with their own default standard.
namespace runtime {

// Everything a model compiled ahead of time brings, by BakeNN or by the generator of a runtime that is not ours. The generated
// file defines kAotModel and nothing else that is visible outside of it, so a new model or build id recompiles generated files only.
struct AotModel {
  const char* id;    // Of the runtime.
  void (*infer)();  // One inference from `input` to `output`; must not write `input`.
  uint8_t* input;
  uint32_t input_size;
  const uint8_t* output;
  uint32_t output_size;
  uint32_t arena_used;
  uint32_t arena_capacity;
  TensorSpecs inputs;
  TensorSpecs outputs;
  uint8_t model_sha256[32];
  uint8_t build_id[16];
  const char* version;
  const char* kernels;
  const char* model_name;
};

extern const AotModel kAotModel;

}  // namespace runtime
