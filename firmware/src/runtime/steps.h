#pragma once

#include <cstddef>
#include <cstdint>

// What a model generated for HIL_PROFILE brings beside itself. Kept to C++11, as aot.h and tflm.h are.
namespace runtime {

struct StepPlace {
  const uint8_t* data;
  uint32_t size;
};

struct GeneratedSteps {
  const StepPlace* outputs;  // Of code compiled ahead of time; nullptr where the interpreter knows.
  uint32_t* values;
  uint16_t count;
};

extern const GeneratedSteps kSteps;

}  // namespace runtime

extern "C" {
// Called by generated C around each of its steps.
void hil_step_begin(void);
void hil_step_end(void);
}
