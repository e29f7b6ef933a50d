// Registers of the nRF52840, as far as its port uses them; names and offsets are those of the nRF52840 Product Specification.
#pragma once

#include <cstdint>

#include "port/cortex_m.h"

namespace nrf52840 {

using cortex_m::At;
using cortex_m::Register;

namespace core {  // Of any Cortex-M4: ARMv7-M Architecture Reference Manual, B3 and C1.
inline Register& DwtControl() { return At(0xe0001000); }
inline Register& CycleCount() { return At(0xe0001004); }
inline Register& DebugControl() { return At(0xe000edfc); }
constexpr uint32_t kCycleCountEnable = 1u << 0;
constexpr uint32_t kTraceEnable = 1u << 24;
}  // namespace core

namespace clock {
inline Register& TasksHfclkStart() { return At(0x40000000); }
inline Register& EventsHfclkStarted() { return At(0x40000100); }
}  // namespace clock

namespace nvmc {
inline Register& IcacheConfig() { return At(0x4001e540); }
constexpr uint32_t kCacheEnable = 1u << 0;
}  // namespace nvmc

namespace ficr {
inline Register& DeviceId(uint32_t word) { return At(0x10000060 + 4 * word); }
}  // namespace ficr

namespace gpio {  // Pin n of P0 is n, pin n of P1 is 32 + n.
constexpr uint32_t Port(uint32_t pin) { return pin < 32 ? 0x50000000 : 0x50000300; }
constexpr uint32_t Bit(uint32_t pin) { return 1u << pin % 32; }
inline void Set(uint32_t pin) { At(Port(pin) + 0x508) = Bit(pin); }
inline void Clear(uint32_t pin) { At(Port(pin) + 0x50c) = Bit(pin); }
inline Register& PinConfig(uint32_t pin) { return At(Port(pin) + 0x700 + 4 * (pin % 32)); }
constexpr uint32_t kOutput = 3;        // Direction out, input buffer off.
constexpr uint32_t kInputPullUp = 12;  // Direction in, input buffer on.
}  // namespace gpio

struct Uarte {
  Register tasks_startrx;
  Register tasks_stoprx;
  Register tasks_starttx;
  Register tasks_stoptx;
  uint32_t unused_010[60];
  Register events_cts;
  Register events_ncts;
  Register events_rxdrdy;
  uint32_t unused_10c;
  Register events_endrx;
  uint32_t unused_114[2];
  Register events_txdrdy;
  Register events_endtx;
  Register events_error;
  uint32_t unused_128[118];
  Register inten;
  Register intenset;
  Register intenclr;
  uint32_t unused_30c[93];
  Register errorsrc;  // Write 1 to clear.
  uint32_t unused_484[31];
  Register enable;
  uint32_t unused_504;
  Register psel_rts;
  Register psel_txd;
  Register psel_cts;
  Register psel_rxd;
  uint32_t unused_518[3];
  Register baudrate;
  uint32_t unused_528[3];
  Register rxd_ptr;
  Register rxd_maxcnt;
  Register rxd_amount;
  uint32_t unused_540;
  Register txd_ptr;
  Register txd_maxcnt;
  Register txd_amount;
  uint32_t unused_550[7];
  Register config;
};
static_assert(sizeof(Uarte) == 0x570, "config is at 0x56c");

constexpr uint32_t kUarteIrq = 2;
constexpr uint32_t kUarteEnable = 8;
constexpr uint32_t kUarteEndRx = 1u << 4;
constexpr uint32_t kUarteError = 1u << 9;
constexpr uint32_t kUarteBreak = 1u << 3;  // Of errorsrc: the line was low for longer than a byte.
constexpr uint32_t kUarteBaud9600 = 0x00275000;
constexpr uint32_t kUarteBaud115200 = 0x01d60000;
constexpr uint32_t kUarteBaud460800 = 0x07400000;
constexpr uint32_t kUarteBaud1000000 = 0x10000000;

}  // namespace nrf52840
