// Nordic's nRF51822 as QEMU's `microbit` models it: a UART, and a timer of 32 bits. Chapters are those of the nRF51 Series
// Reference Manual, version 3.0.
#include "app.h"
#include "port/bare.h"
#include "port/cortex_m.h"
#include "port/port.h"
#include "port/ring.h"
#include "port/window_pin.h"

namespace {

using cortex_m::At;

// Chapter 29. Pins as the board's schematic has them.
constexpr uint32_t kUart = 0x40002000;
constexpr uint32_t kUartIrq = 2;
constexpr uint32_t kTxPin = 24;
constexpr uint32_t kRxPin = 25;
constexpr uint32_t kEnable = 4;
constexpr uint32_t kReceivedInterrupt = 1u << 2;
constexpr uint32_t kBaud115200 = 0x01d7e000;
constexpr uint32_t kStartRx = kUart + 0x000;
constexpr uint32_t kStartTx = kUart + 0x008;
constexpr uint32_t kReceived = kUart + 0x108;
constexpr uint32_t kSent = kUart + 0x11c;
constexpr uint32_t kUartInterrupts = kUart + 0x304;
constexpr uint32_t kUartEnable = kUart + 0x500;
constexpr uint32_t kRxData = kUart + 0x518;
constexpr uint32_t kTxData = kUart + 0x51c;

// Chapter 18: TIMER0, the only one of 32 bits. Compare register 0 takes readings, 1 ends a sleep.
constexpr uint32_t kTimer = 0x40008000;
constexpr uint32_t kTimerIrq = 8;
constexpr uint32_t kTimerHz = 16000000;
constexpr uint32_t k32Bits = 3;
constexpr uint32_t kWakeInterrupt = 1u << 17;
constexpr uint32_t kWakeTicks = 1u << 30;  // A quarter of the range of Ticks().
constexpr uint32_t kCapture = kTimer + 0x040;
constexpr uint32_t kWakes = kTimer + 0x144;
constexpr uint32_t kTimerBits = kTimer + 0x508;
constexpr uint32_t kReading = kTimer + 0x540;
constexpr uint32_t kWakeAt = kTimer + 0x544;

port::Ring<app::kLargestBurst> ring;

void StartTimer() {
  At(kTimerBits) = k32Bits;
  At(kTimer + 0x510) = 0;  // No prescaler.
  At(kWakeAt) = kWakeTicks;
  At(kTimer + 0x304) = kWakeInterrupt;
  At(kTimer + 0x000) = 1;
}

void StartUart() {
  At(kUart + 0x50c) = kTxPin;
  At(kUart + 0x514) = kRxPin;
  At(kUart + 0x524) = kBaud115200;
  At(kUartEnable) = kEnable;
  At(kStartTx) = 1;
  At(kStartRx) = 1;
}

void Send(uint8_t byte) {
  At(kSent) = 0;
  At(kTxData) = byte;
  while (At(kSent) == 0) {
  }
}

}  // namespace

extern "C" {

// Reading a byte raises the event anew if another one waits.
void UartHandler() {
  while (At(kReceived) != 0) {
    At(kReceived) = 0;
    ring.Put(static_cast<uint8_t>(At(kRxData)));
  }
}

// Its only purpose is to end a sleep.
void WakeHandler() {
  At(kWakes) = 0;
  At(kWakeAt) = At(kWakeAt) + kWakeTicks;
}

}  // extern "C"

namespace {

constexpr cortex_m::Interrupt kUsed[] = {{kUartIrq, UartHandler}, {kTimerIrq, WakeHandler}};

}  // namespace

extern "C" __attribute__((section(".vectors"), used)) constexpr cortex_m::Vectors<32> vectors =
    cortex_m::MakeVectors<32>(kUsed);

// QEMU models neither a second UART nor a watchdog: the line goes to the harness among the board's answers, behind two
// bytes 0 that are in none of those. The first may be lost, where the fault came while a byte was being sent.
void EndWithFault(const char* line) {
  asm volatile("cpsid i" ::: "memory");
  StartUart();
  Send(0);
  Send(0);
  for (; *line != '\0'; ++line) Send(static_cast<uint8_t>(*line));
  for (;;) asm volatile("");
}

namespace port {

Status Setup() {
  StartTimer();
  StartUart();
  At(kUartInterrupts) = kReceivedInterrupt;
  cortex_m::EnableInterrupt(kTimerIrq);
  cortex_m::EnableInterrupt(kUartIrq);
  const bool running = At(kTimerBits) == k32Bits && At(kUartInterrupts) == kReceivedInterrupt;
  return running ? Status::kOk : Status::kPortFailed;
}

uint32_t Ticks() {
  At(kCapture) = 1;
  return At(kReading);
}

uint32_t TicksPerSecond() { return kTimerHz; }

size_t Read(uint8_t* dst, size_t capacity) { return ring.Read(dst, capacity); }

Status Write(const uint8_t* src, size_t size) {
  for (size_t i = 0; i < size; ++i) Send(src[i]);
  return Status::kOk;
}

void Sleep() {
  cortex_m::SleepWhile([] { return ring.Empty(); });
}

void Reset() { cortex_m::Reset(); }

static_assert(!kHasWindowPin, "QEMU's micro:bit has no pin that anything sees");

bool MarksWindows() { return false; }

void Window(bool) {}

}  // namespace port
