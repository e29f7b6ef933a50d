#include "measure/state.h"

#include "runtime/runtime.h"

Status State::Reset() {
  const Status status = runtime::Describe().stateful ? runtime::ResetState() : Status::kOk;
  if (status == Status::kOk) invokes_ = 0;
  return status;
}

// One that fails counts too: nobody knows what it left.
Status State::BeforeInvoke() {
  const Status status = each_ ? Reset() : Status::kOk;
  if (status == Status::kOk) Count();
  return status;
}
