#pragma once

#include <cstddef>

#include "measure/measure.h"
#include "measure/state.h"
#include "status.h"

namespace human {  // Lines of text, for a person at a serial monitor.

constexpr size_t kMaxNumbers = 64;

// `line` is printable ASCII without its line end, at least one byte.
void Answer(const char* line, size_t size, Status setup, const Timer& timer, State* state);

void AnswerTooLong(size_t limit);

}  // namespace human
