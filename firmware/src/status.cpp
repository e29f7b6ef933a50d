#include "status.h"

const char* StatusName(Status status) {
  switch (status) {
    case Status::kOk: return "ok";
    case Status::kBadFrame: return "bad_frame";
    case Status::kFrameTooLong: return "frame_too_long";
    case Status::kUnknownOp: return "unknown_op";
    case Status::kBadSize: return "bad_size";
    case Status::kBadValue: return "bad_value";
    case Status::kBadInput: return "bad_input";
    case Status::kNoSession: return "no_session";
    case Status::kModelNotLoaded: return "model_not_loaded";
    case Status::kInvokeFailed: return "invoke_failed";
    case Status::kUnsupported: return "unsupported";
    case Status::kTimerStuck: return "timer_stuck";
    case Status::kArenaTooSmall: return "arena_too_small";
    case Status::kPortFailed: return "port_failed";
    case Status::kBadVersion: return "bad_version";
    case Status::kBadSchema: return "bad_schema";
#ifdef HIL_SWAP
    case Status::kBadModel: return "bad_model";
    case Status::kUnknownOperator: return "unknown_operator";
#endif
  }
  return "unknown";
}
