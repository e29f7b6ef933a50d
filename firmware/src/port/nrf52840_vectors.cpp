// Vectors of the nRF52840: entries 1 to 15 are the core's exceptions, 16 is interrupt 0.
#include <cstdint>

#include "port/bare.h"

extern "C" {
extern uint32_t __stack_top;
void UarteHandler();
}

namespace {

struct Vectors {
  uint32_t* stack;
  void (*core[15])();
  void (*interrupts[48])();
};

}  // namespace

extern "C" __attribute__((section(".vectors"), used)) const Vectors vectors = {
    &__stack_top,
    {ResetHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler,
     FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler},
    {FaultHandler, FaultHandler, UarteHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler,
     FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler,
     FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler,
     FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler,
     FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler,
     FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler, FaultHandler}};
