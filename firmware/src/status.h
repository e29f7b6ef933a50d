#pragma once

#include <cstdint>

// The numbers are those of the status table in docs/protocol.md.
enum class Status : uint8_t {
  kOk = 0,
  kBadFrame = 1,
  kFrameTooLong = 2,
  kUnknownOp = 3,
  kBadSize = 4,
  kBadValue = 5,
  kBadInput = 6,
  kNoSession = 7,
  kModelNotLoaded = 8,
  kInvokeFailed = 9,
  kUnsupported = 10,
  kTimerStuck = 11,
  kArenaTooSmall = 12,
  kPortFailed = 13,
  kBadVersion = 14,
  kBadSchema = 15,
#ifdef HIL_SWAP
  kBadModel = 16,
  kUnknownOperator = 17,
#endif
};

const char* StatusName(Status status);
