// AN385, AN386 and AN500: Arm's CMSDK with a Cortex-M3, M4 or M7.
#pragma once

#include "port/mps2_countdown.h"

namespace mps2 {

using Timer = CountdownTimer;

constexpr Machine kMachine = {
    .clock_hz = 25000000,
    .timer = 0x40000000,
    .wake_timer = 0x40001000,
    .uart = 0x40004000,
    .fault_uart = 0x40005000,
    .watchdog = 0x40008000,
    .leds = 0x40028000,
    .wake_irq = 9,
    .uart_irq = 0,
    .mailbox_word = 0x003ffffc,
};

}  // namespace mps2
