#pragma once

#include <cstdint>

#include "status.h"

// Why a request is refused: what an ERROR frame says, or kOk.
struct Fault {
  Status status = Status::kOk;
  uint32_t detail = 0;
  const char* field = "";
};
