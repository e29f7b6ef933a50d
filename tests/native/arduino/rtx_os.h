#pragma once

#include <cstdint>

struct osRtxThread_t {
  void* stack_mem;
  uint32_t stack_size;
};
void* osThreadGetId();
