// Nordic's nRF52840 DK: the UART of its interface chip, and the CPU's own cycle counter.
#include "port/port.h"

#include <cstring>

#include "app.h"
#include "port/bare.h"
#include "port/cortex_m.h"
#include "port/nrf52840_registers.h"
#include "port/ring.h"
#include "port/window_pin.h"

namespace {

namespace core = nrf52840::core;

constexpr uint32_t kClockHz = 64000000;
constexpr uint32_t kCrystalReads = 1000000;  // Some 100 ms; the crystal takes less than one.

// As the board's schematic has them. RTS (5) and CTS (7) stay unused: the host sends no more than the ring holds.
constexpr uint32_t kTxPin = 6;
constexpr uint32_t kRxPin = 8;

nrf52840::Uarte* const uart = reinterpret_cast<nrf52840::Uarte*>(0x40002000);

port::Ring<app::kLargestBurst> ring;

// EasyDMA reaches RAM only. One byte at a time is received: a transfer that is longer would end only when it is full, while
// the receiver's FIFO holds what comes until the next one is started.
volatile uint8_t received;
uint8_t sending[256];
bool sends;  // A transfer from `sending` may still be under way.

// 2 Mbaud is more than the UARTE has.
constexpr uint32_t kFasterBauds[] = {1000000, 460800};
volatile uint32_t baud = port::kBaseBaud;

constexpr uint32_t BaudRegister(uint32_t wanted) {
  if (wanted == 9600) return nrf52840::kUarteBaud9600;
  return wanted == 1000000 ? nrf52840::kUarteBaud1000000 : wanted == 460800 ? nrf52840::kUarteBaud460800 : nrf52840::kUarteBaud115200;
}

void ChangeBaud(uint32_t wanted) {
  uart->baudrate = BaudRegister(wanted);
  baud = wanted;
}

// The RC oscillator that runs after reset is too far off for a UART and for a clock that counts cycles.
bool StartCrystal() {
  nrf52840::clock::EventsHfclkStarted() = 0;
  nrf52840::clock::TasksHfclkStart() = 1;
  for (uint32_t reads = 0; reads < kCrystalReads; ++reads) {
    if (nrf52840::clock::EventsHfclkStarted() != 0) return true;
  }
  return false;
}

bool StartCounter() {
  core::DebugControl() = core::DebugControl() | core::kTraceEnable;
  core::DwtControl() = core::DwtControl() | core::kCycleCountEnable;
  const uint32_t first = core::CycleCount();
  cortex_m::Barrier();
  return core::CycleCount() != first;
}

void StartUart() {
  nrf52840::gpio::Set(kTxPin);
  nrf52840::gpio::PinConfig(kTxPin) = nrf52840::gpio::kOutput;
  nrf52840::gpio::PinConfig(kRxPin) = nrf52840::gpio::kInputPullUp;
  uart->psel_txd = kTxPin;
  uart->psel_rxd = kRxPin;
  ChangeBaud(port::kBaseBaud);
  uart->config = 0;  // No flow control, no parity, one stop bit.
  uart->enable = nrf52840::kUarteEnable;
  uart->rxd_ptr = reinterpret_cast<uint32_t>(&received);
  uart->rxd_maxcnt = 1;
  uart->intenset = nrf52840::kUarteEndRx | nrf52840::kUarteError;
  cortex_m::EnableInterrupt(nrf52840::kUarteIrq);
  uart->tasks_startrx = 1;
}

void StartWindowPin() {
  if constexpr (port::kHasWindowPin) {
    static_assert(port::kWindowPin != kTxPin && port::kWindowPin != kRxPin, "the UART's");
    port::Window(port::kMlperfEnergy);
    nrf52840::gpio::PinConfig(port::kWindowPin) = nrf52840::gpio::kOutput;
  }
}

void WaitUntilSent() {
  if (!sends) return;
  while (uart->events_endtx == 0) {
  }
  sends = false;
}

void Send(const uint8_t* src, size_t size) {
  WaitUntilSent();
  memcpy(sending, src, size);
  uart->events_endtx = 0;
  uart->txd_ptr = reinterpret_cast<uint32_t>(sending);
  uart->txd_maxcnt = static_cast<uint32_t>(size);
  cortex_m::Barrier();  // The bytes are in RAM before the transfer begins.
  uart->tasks_starttx = 1;
  sends = true;
}

}  // namespace

extern "C" void UarteHandler() {
  if (uart->events_error != 0) {
    uart->events_error = 0;
    const uint32_t errors = uart->errorsrc;
    uart->errorsrc = errors;  // Cleared by what is written as 1.
    // So a 00 at the base rate looks at any faster one: a host that knows of none has opened the port.
    if ((errors & nrf52840::kUarteBreak) != 0 && baud != port::kBaseBaud) ChangeBaud(port::kBaseBaud);
  }
  while (uart->events_endrx != 0) {
    uart->events_endrx = 0;
    const uint8_t byte = received;
    uart->tasks_startrx = 1;
    ring.Put(byte);
  }
}

// Text among the frames, for the log of the link: nobody listens to a console here. Then the board is silent, which the
// harness notices, and resets it.
void EndWithFault(const char* line) {
  asm volatile("cpsid i" ::: "memory");
  if (uart->enable == nrf52840::kUarteEnable) {
    const size_t size = strlen(line);
    Send(reinterpret_cast<const uint8_t*>(line), size < sizeof sending ? size : sizeof sending);
    WaitUntilSent();
  }
  for (;;) {
  }
}

namespace port {

Status Setup() {
  nrf52840::nvmc::IcacheConfig() = nrf52840::nvmc::kCacheEnable;
  const bool crystal = StartCrystal();
  const bool counts = StartCounter();
  StartUart();
  StartWindowPin();
  return crystal && counts ? Status::kOk : Status::kPortFailed;
}

uint32_t Ticks() { return core::CycleCount(); }

uint32_t TicksPerSecond() { return kClockHz; }

size_t Read(uint8_t* dst, size_t capacity) { return ring.Read(dst, capacity); }

Status Write(const uint8_t* src, size_t size) {
  while (size > 0) {
    const size_t part = size < sizeof sending ? size : sizeof sending;
    Send(src, part);
    src += part;
    size -= part;
  }
  return Status::kOk;
}

Bauds FasterBauds() { return {kFasterBauds, sizeof kFasterBauds / sizeof *kFasterBauds}; }

uint32_t Baud() { return baud; }

void SetBaud(uint32_t wanted) {
  WaitUntilSent();
  ChangeBaud(wanted);
}

// No WFI: the cycle counter stands still while the CPU sleeps. YIELD does nothing here, and tells a simulator that nothing
// happens before the next interrupt; masked, so that none can slip in between the look and the hint.
void Sleep() {
  asm volatile("cpsid i" ::: "memory");
  if (ring.Empty()) asm volatile("yield" ::: "memory");
  asm volatile("cpsie i\n isb" ::: "memory");
}

void Reset() {
  WaitUntilSent();
  cortex_m::Reset();
}

size_t UniqueId(char* dst, size_t capacity) {
  constexpr size_t kDigits = 16;
  if (capacity < kDigits) return 0;
  for (size_t i = 0; i < kDigits; ++i) {
    const uint32_t word = nrf52840::ficr::DeviceId(i < kDigits / 2 ? 1 : 0);
    dst[i] = "0123456789ABCDEF"[(word >> (28 - 4 * (i % 8))) & 15u];
  }
  return kDigits;
}

bool MarksWindows() { return kHasWindowPin && !kMlperfEnergy; }

bool MlperfEnergy() { return kMlperfEnergy; }

void Window(bool open) {
  if constexpr (kHasWindowPin) open ? nrf52840::gpio::Set(kWindowPin) : nrf52840::gpio::Clear(kWindowPin);
}

}  // namespace port
