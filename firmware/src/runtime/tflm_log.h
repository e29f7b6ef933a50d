#pragma once

namespace runtime {

// What TFLM logged since boot, lines joined by "; ". It keeps the first of it, which names the cause, and never prints.
const char* TflmLog();

void ForgetTflmLog();  // It begins anew.

}  // namespace runtime
