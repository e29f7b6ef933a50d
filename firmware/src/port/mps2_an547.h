// AN547: Arm's SSE-300 with a Cortex-M55, whose firmware runs in its secure state.
#pragma once

#include "port/mps2_system_timer.h"

namespace mps2 {

using Timer = SystemTimer;

constexpr Machine kMachine = {
    .clock_hz = 32000000,
    .timer = 0x58000000,
    .wake_timer = 0x58001000,
    .counter = 0x58100000,
    .uart = 0x59303000,
    .fault_uart = 0x59304000,
    .watchdog = 0x5802e000,
    .leds = 0x59302000,
    .wake_irq = 4,
    .uart_irq = 33,
};

}  // namespace mps2
