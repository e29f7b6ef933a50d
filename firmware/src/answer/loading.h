#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/runtime.h"
#include "status.h"
#include "wire/fault.h"
#include "wire/wire.h"

#ifdef HIL_SWAP

// Takes a model from op LOAD into the runtime's room for it, and checks that all of it has come. What runs is not touched.
class Loading {
 public:
  bool able() const { return runtime::RoomForModel().capacity > 0; }

  void Describe(Writer& reply) const;  // HELLO's part.
  Fault Operators(Reader& body, Writer& reply) const;
  Fault Begin(Reader& body, Writer& reply);
  Fault Piece(Reader& body, Writer& reply);

  // Whether the model is whole; a note says why not. The next piece is refused, either way.
  [[nodiscard]] Status End();
  const char* note() const { return note_; }
  const runtime::BroughtModel& model() const { return model_; }

  void SetRuns(bool runs) { runs_ = runs; }  // The model that came, and not the one that is linked in.
  bool runs() const { return runs_; }

 private:
  runtime::BroughtModel model_ = {};
  size_t end_ = 0;  // Bytes that have come.
  bool open_ = false;
  bool runs_ = false;
  char note_[80] = {};
};

#else

// In firmware that runs the model it was built with. The compiler leaves nothing of it.
class Loading {};

#endif
