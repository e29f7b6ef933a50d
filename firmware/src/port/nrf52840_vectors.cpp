#include "port/cortex_m.h"
#include "port/nrf52840_registers.h"

extern "C" void UarteHandler();

namespace {

constexpr cortex_m::Interrupt kUsed[] = {{nrf52840::kUarteIrq, UarteHandler}};

}  // namespace

extern "C" __attribute__((section(".vectors"), used)) constexpr cortex_m::Vectors<48> vectors =
    cortex_m::MakeVectors<48>(kUsed);
