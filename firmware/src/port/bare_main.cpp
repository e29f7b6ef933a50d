#include "app.h"
#include "port/bare.h"
#include "port/port.h"

namespace port {

StackUse Stack() { return Measure(&__stack_limit, &__stack_top); }

}  // namespace port

int main() {
  app::Setup();
  for (;;) app::Poll();
}
