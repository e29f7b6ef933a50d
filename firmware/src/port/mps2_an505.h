// AN505: Arm's SSE-200 with a Cortex-M33, whose firmware runs in its secure state.
#pragma once

#include "port/mps2_countdown.h"

namespace mps2 {

using Timer = CountdownTimer;

constexpr Machine kMachine = {
    .clock_hz = 20000000,
    .timer = 0x50000000,
    .wake_timer = 0x50001000,
    .uart = 0x50200000,
    .fault_uart = 0x50201000,
    .watchdog = 0x5002e000,
    .leds = 0x50302000,
    .wake_irq = 4,
    .uart_irq = 32,
};

}  // namespace mps2
