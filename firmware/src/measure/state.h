#pragma once

#include <cstdint>

#include "status.h"

// What the model keeps from one invoke to the next: all who invoke ask here first. A model without state is not touched.
class State {
 public:
  [[nodiscard]] Status Reset();         // As after Load(). The last output is gone, the input stays.
  [[nodiscard]] Status BeforeInvoke();  // Not timed, and before runtime::Prepare().

  void Count() { ++invokes_; }          // An invoke that goes on from the one before, whatever the mode.

  void ResetBeforeEach(bool each) { each_ = each; }
  uint32_t invokes() const { return invokes_; }  // Since the last reset.

 private:
  bool each_ = false;
  uint32_t invokes_ = 0;
};
