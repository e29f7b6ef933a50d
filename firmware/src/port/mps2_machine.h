// What the MPS2 and MPS3 FPGA images differ in, as QEMU models them. The header of a machine, which its board's JSON names,
// holds this table as `kMachine` and says which timer it has as `Timer`.
#pragma once

#include <cstdint>

namespace mps2 {

struct Machine {
  uint32_t clock_hz;      // Of the timers.
  uint32_t timer;         // Read by Ticks().
  uint32_t wake_timer;    // Of the same kind.
  uint32_t counter = 0;   // What these two count, where it is apart from them.
  uint32_t uart;
  uint32_t fault_uart;    // The second one, which the harness reads as the emulator's own words.
  uint32_t watchdog;      // One that raises NMI.
  uint32_t leds;          // The register of the FPGA's user LEDs, a bit for each.
  uint32_t wake_irq;
  uint32_t uart_irq;      // Of the receiver.
  // The last word of code memory, where there is a mailbox: see mps2.cpp.
  uint32_t mailbox_word = 0;
};

}  // namespace mps2
