// The Arm MPS2 and MPS3 FPGA images as QEMU models them. What they differ in is in the header of each machine.
#include "port/port.h"

#include "app.h"
#include "port/cortex_m.h"
#include "port/mps2_uart.h"
#include "port/ring.h"
#include "port/window_pin.h"
#include HIL_MACHINE

namespace {

using mps2::kMachine;
using mps2::Timer;

constexpr uint32_t kWakeTicks = 1u << 30;  // A quarter of the range of Ticks().

mps2::Uart* const uart = reinterpret_cast<mps2::Uart*>(kMachine.uart);

port::Ring<app::kLargestBurst> ring;

// Where outputs count and time does not, the harness shares memory with the board and puts its address at the end of code
// memory, else 0. Bytes for the board then come by that memory, and one for the UART wakes it: each of those takes an
// iteration of QEMU's main loop. What the board sends goes through the UART as ever. Indices only grow, as the ring's.
constexpr uint32_t kMailboxSize = 65536;
struct Mailbox {
  volatile uint32_t head;  // The harness's.
  volatile uint32_t tail;  // The board's.
  uint32_t unused[1022];
  volatile uint8_t bytes[kMailboxSize];
};
Mailbox* mailbox;

Mailbox* FindMailbox() {
  if (kMachine.mailbox_word == 0) return nullptr;
  return *reinterpret_cast<Mailbox* const volatile*>(kMachine.mailbox_word);
}

size_t ReadMailbox(uint8_t* dst, size_t capacity) {
  const uint32_t head = mailbox->head;
  uint32_t tail = mailbox->tail;
  size_t size = 0;
  while (tail != head && size < capacity) dst[size++] = mailbox->bytes[tail++ & (kMailboxSize - 1)];
  mailbox->tail = tail;
  return size;
}

bool NothingCame() { return mailbox != nullptr ? mailbox->head == mailbox->tail : ring.Empty(); }

}  // namespace

extern "C" void UartRxHandler() {
  // Cleared before reading: a byte that comes in between raises it anew, while the other order would lose that one.
  uart->intstatus = mps2::kRxInterrupt;
  while ((uart->state & mps2::kRxFull) != 0) ring.Put(static_cast<uint8_t>(uart->data));
}

// Its only purpose is to end a sleep.
extern "C" void WakeHandler() { Timer::Woken(kMachine, kWakeTicks); }

namespace port {

Status Setup() {
  const bool counts = Timer::Start(kMachine);
  Timer::StartWaking(kMachine, kWakeTicks);
  mailbox = FindMailbox();
  uart->bauddiv = mps2::kLeastDivisor;
  uart->ctrl = mps2::kTxEnable | mps2::kRxEnable | mps2::kRxInterruptEnable;
  // QEMU offers the next byte when one is read. Bytes that came before the enable wait in its multiplexer for that.
  if ((uart->state & mps2::kRxFull) == 0) static_cast<void>(uart->data);
  cortex_m::EnableInterrupt(kMachine.wake_irq);
  cortex_m::EnableInterrupt(kMachine.uart_irq);
  cortex_m::PendInterrupt(kMachine.uart_irq);  // A byte that came before the enable raises no edge of its own.
  return counts && (uart->ctrl & mps2::kRxInterruptEnable) != 0 ? Status::kOk : Status::kPortFailed;
}

uint32_t Ticks() { return Timer::Ticks(kMachine); }

uint32_t TicksPerSecond() { return kMachine.clock_hz; }

size_t Read(uint8_t* dst, size_t capacity) {
  return mailbox != nullptr ? ReadMailbox(dst, capacity) : ring.Read(dst, capacity);
}

Status Write(const uint8_t* src, size_t size) {
  for (size_t i = 0; i < size; ++i) mps2::Send(uart, src[i]);
  return Status::kOk;
}

void Sleep() { cortex_m::SleepWhile(NothingCame); }

void Reset() {
  while ((uart->state & mps2::kTxFull) != 0) {
  }
  cortex_m::Reset();
}

bool MarksWindows() { return kHasWindowPin; }

// A LED: QEMU has no pins beside them.
void Window(bool open) {
  if constexpr (kHasWindowPin) cortex_m::At(kMachine.leds) = open ? 1u << kWindowPin : 0;
}

}  // namespace port
