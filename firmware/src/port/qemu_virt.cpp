// QEMU's RISC-V machine `virt`: 16550 UART behind a PLIC, CLINT, and SiFive's test device, which resets and ends it.
#include "app.h"
#include "port/bare.h"
#include "port/port.h"
#include "port/ring.h"
#include "port/riscv.h"
#include "port/window_pin.h"

namespace {

struct Uart {
  volatile uint8_t data;
  volatile uint8_t interrupt_enable;
  volatile uint8_t fifo_control;
  volatile uint8_t line_control;
  volatile uint8_t modem_control;
  volatile uint8_t line_status;
};
constexpr uint8_t kReceived = 1u << 0;  // In line_status, and in interrupt_enable.
constexpr uint8_t kCanSend = 1u << 5;
constexpr uint8_t kAllSent = 1u << 6;
constexpr uint8_t k8Bits = 3;
constexpr uint32_t kUartIrq = 10;

Uart* const uart = reinterpret_cast<Uart*>(0x10000000);

inline volatile uint32_t& At(uint32_t address) { return *reinterpret_cast<volatile uint32_t*>(address); }

// Of the PLIC, for machine mode of the only hart.
volatile uint32_t& irq_priority = At(0x0c000000 + 4 * kUartIrq);
volatile uint32_t& irq_enable = At(0x0c002000);
volatile uint32_t& irq_threshold = At(0x0c200000);
volatile uint32_t& irq_claim = At(0x0c200004);

// Of the CLINT.
constexpr uint32_t kTimeHz = 10000000;
volatile uint32_t& wake_low = At(0x02004000);
volatile uint32_t& wake_high = At(0x02004004);
volatile uint32_t& time_low = At(0x0200bff8);
volatile uint32_t& time_high = At(0x0200bffc);

volatile uint32_t& test_device = At(0x00100000);
constexpr uint32_t kEnd = 0x5555;
constexpr uint32_t kSystemReset = 0x7777;

// mcycle counts nanoseconds of QEMU's clock where that counts instructions, in every version. minstret does the same up to
// QEMU 9.0 and counts instructions from 9.1 on. A tick is 128 ns, which is one instruction (`icount_shift` 7).
constexpr uint32_t kTickShift = 7;
constexpr uint32_t kClockHz = 1000000000 >> kTickShift;
static_assert(kClockHz << kTickShift == 1000000000, "else the host's figures are rounded");
constexpr uint64_t kWakeAfter = (uint64_t{1} << 30) * kTimeHz / kClockHz;  // A quarter of the range of Ticks().

port::Ring<app::kLargestBurst> ring;

// A second UART, which the harness plugs into the first slot of the PCI bus and reads as the emulator's own words.
constexpr uint32_t kPciSlot = 0x30000000 + (1u << 15);
constexpr uint32_t kPciPort = 0x1000;
constexpr uint32_t kPciPortsEnable = 1u << 0;

Uart* FaultUart() {
  At(kPciSlot + 0x10) = kPciPort;
  At(kPciSlot + 0x04) = kPciPortsEnable;
  return reinterpret_cast<Uart*>(0x03000000 + kPciPort);
}

void Send(Uart* to, uint8_t byte) {
  while ((to->line_status & kCanSend) == 0) {
  }
  to->data = byte;
}

void ReadAll() {
  while ((uart->line_status & kReceived) != 0) ring.Put(uart->data);
}

// QEMU offers the next byte when one is read. Bytes that came before a reset wait in its multiplexer for that. The register
// is 0 after reset: what it holds else came just now.
void ReadFirst() {
  const bool waits = (uart->line_status & kReceived) != 0;
  const uint8_t byte = uart->data;
  if (waits || byte != 0) ring.Put(byte);
}

void SetWake(uint64_t time) {
  wake_high = UINT32_MAX;  // So that no half of it is in the past.
  wake_low = static_cast<uint32_t>(time);
  wake_high = static_cast<uint32_t>(time >> 32);
}

uint64_t Time() {
  for (;;) {
    const uint32_t high = time_high;
    const uint32_t low = time_low;
    if (high == time_high) return static_cast<uint64_t>(high) << 32 | low;
  }
}

}  // namespace

void EndWithFault(const char* line) {
  Uart* const fault_uart = FaultUart();
  for (; *line != '\0'; ++line) Send(fault_uart, static_cast<uint8_t>(*line));
  test_device = kEnd;
  for (;;) asm volatile("");
}

extern "C" __attribute__((interrupt("machine"))) void ExternalHandler() {
  const uint32_t irq = irq_claim;
  ReadAll();
  irq_claim = irq;
}

namespace port {

Status Setup() {
  uart->line_control = k8Bits;
  // Without its FIFO: switching that on empties it, and a byte may have come already. QEMU has the next one at hand.
  uart->fifo_control = 0;
  uart->interrupt_enable = kReceived;
  ReadFirst();
  irq_enable = 1u << kUartIrq;
  irq_priority = 1;
  irq_threshold = 0;  // Last: QEMU looks then for what is pending, and not when an interrupt is enabled.
  riscv::Write<riscv::kMie>(riscv::kExternalInterrupt);
  riscv::Set<riscv::kMstatus>(riscv::kInterruptsOn);
  const bool running = uart->interrupt_enable == kReceived && irq_enable == 1u << kUartIrq;
  return running ? Status::kOk : Status::kPortFailed;
}

// As many instructions whenever it is read: no branch, also where the low half wraps between the two readings of the high
// one. The one that belongs to it is told by its upper bit.
uint32_t Ticks() {
  const uint32_t before = riscv::Read<riscv::kMcycleh>();
  const uint32_t low = riscv::Read<riscv::kMcycle>();
  const uint32_t after = riscv::Read<riscv::kMcycleh>();
  const uint32_t is_before = 0u - (low >> 31);
  const uint32_t high = (before & is_before) | (after & ~is_before);
  return low >> kTickShift | high << (32 - kTickShift);
}

uint32_t TicksPerSecond() { return kClockHz; }

size_t Read(uint8_t* dst, size_t capacity) { return ring.Read(dst, capacity); }

Status Write(const uint8_t* src, size_t size) {
  for (size_t i = 0; i < size; ++i) Send(uart, src[i]);
  return Status::kOk;
}

void Sleep() {
  // With interrupts masked WFI still wakes on a pending one, so none can slip in between the look and the sleep. The
  // timer's is never taken.
  const Quiet quiet;
  if (!ring.Empty()) return;
  SetWake(Time() + kWakeAfter);
  riscv::Set<riscv::kMie>(riscv::kTimerInterrupt);
  asm volatile("wfi" ::: "memory");
  riscv::Clear<riscv::kMie>(riscv::kTimerInterrupt);
}

void Reset() {
  while ((uart->line_status & kAllSent) == 0) {
  }
  test_device = kSystemReset;
  for (;;) asm volatile("");
}

static_assert(!kHasWindowPin, "this machine has no pin");

bool MarksWindows() { return false; }

void Window(bool) {}

}  // namespace port
