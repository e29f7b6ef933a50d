// The Arm MPS2 FPGA images (AN385, AN386, AN500) as QEMU models them: CMSDK UART and timer.
#include "port/port.h"

#include "app.h"
#include "port/mps2_uart.h"
#include "port/paint.h"
#include "port/ring.h"

extern "C" {
extern uint32_t __stack_limit;  // What the linker script reserves, painted by ResetHandler.
extern uint32_t __stack_top;
}

namespace {

constexpr uint32_t kClockHz = 25000000;

struct CountdownTimer {
  volatile uint32_t ctrl;
  volatile uint32_t value;
  volatile uint32_t reload;
  volatile uint32_t intstatus;
};
constexpr uint32_t kTimerEnable = 1u << 0;
constexpr uint32_t kTimerInterruptEnable = 1u << 3;
constexpr uint32_t kTimerInterrupt = 1u << 0;
constexpr uint32_t kWakeTicks = 1u << 30;  // A quarter of the range of Ticks().

mps2::Uart* const uart = reinterpret_cast<mps2::Uart*>(0x40004000);
CountdownTimer* const timer = reinterpret_cast<CountdownTimer*>(0x40000000);
CountdownTimer* const wake_timer = reinterpret_cast<CountdownTimer*>(0x40001000);

volatile uint32_t* const nvic_enable = reinterpret_cast<volatile uint32_t*>(0xe000e100);
volatile uint32_t* const nvic_pend = reinterpret_cast<volatile uint32_t*>(0xe000e200);
volatile uint32_t* const aircr = reinterpret_cast<volatile uint32_t*>(0xe000ed0c);
constexpr uint32_t kUartRxIrq = 1u << 0;
constexpr uint32_t kWakeIrq = 1u << 9;
constexpr uint32_t kSystemReset = (0x5fau << 16) | (1u << 2);

port::Ring<8192> ring;

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
Mailbox* const volatile* const mailbox_address = reinterpret_cast<Mailbox* const volatile*>(0x003ffffc);
Mailbox* mailbox;

inline void SyncBarrier() { asm volatile("dsb\n isb" ::: "memory"); }

size_t ReadMailbox(uint8_t* dst, size_t capacity) {
  const uint32_t head = mailbox->head;
  uint32_t tail = mailbox->tail;
  size_t size = 0;
  while (tail != head && size < capacity) dst[size++] = mailbox->bytes[tail++ & (kMailboxSize - 1)];
  mailbox->tail = tail;
  return size;
}

// Nothing has come that was not read.
bool Waits() { return mailbox != nullptr ? mailbox->head == mailbox->tail : ring.Empty(); }

}  // namespace

extern "C" void UartRxHandler() {
  // Cleared before reading: a byte that comes in between raises it anew, while the other order would lose that one.
  uart->intstatus = mps2::kRxInterrupt;
  while ((uart->state & mps2::kRxFull) != 0) ring.Put(static_cast<uint8_t>(uart->data));
}

// Its only purpose is to end a sleep.
extern "C" void WakeHandler() { wake_timer->intstatus = kTimerInterrupt; }

namespace port {

Status Setup() {
  timer->reload = UINT32_MAX;
  timer->value = UINT32_MAX;
  timer->ctrl = kTimerEnable;
  wake_timer->reload = kWakeTicks;
  wake_timer->value = kWakeTicks;
  wake_timer->ctrl = kTimerEnable | kTimerInterruptEnable;
  mailbox = *mailbox_address;
  uart->bauddiv = mps2::kLeastDivisor;
  uart->ctrl = mps2::kTxEnable | mps2::kRxEnable | mps2::kRxInterruptEnable;
  // QEMU offers the next byte when one is read. Bytes that came before the enable wait in its multiplexer for that.
  if ((uart->state & mps2::kRxFull) == 0) static_cast<void>(uart->data);
  *nvic_enable = kUartRxIrq | kWakeIrq;
  *nvic_pend = kUartRxIrq;  // A byte that came before the enable raises no edge of its own.
  const bool running = (uart->ctrl & mps2::kRxInterruptEnable) != 0 && (timer->ctrl & kTimerEnable) != 0;
  return running ? Status::kOk : Status::kPortFailed;
}

uint32_t Ticks() { return ~timer->value; }  // It counts down from all ones.

uint32_t TicksPerSecond() { return kClockHz; }

size_t Read(uint8_t* dst, size_t capacity) {
  return mailbox != nullptr ? ReadMailbox(dst, capacity) : ring.Read(dst, capacity);
}

Status Write(const uint8_t* src, size_t size) {
  for (size_t i = 0; i < size; ++i) mps2::Send(uart, src[i]);
  return Status::kOk;
}

Bauds FasterBauds() { return {nullptr, 0}; }  // QEMU moves bytes at its own pace.

uint32_t Baud() { return kBaseBaud; }

void SetBaud(uint32_t) {}

void Sleep() {
  // With interrupts masked WFI still wakes on a pending one, so none can slip in between the look and the sleep.
  asm volatile("cpsid i" ::: "memory");
  if (Waits()) asm volatile("dsb\n wfi" ::: "memory");
  asm volatile("cpsie i\n isb" ::: "memory");
}

void Reset() {
  while ((uart->state & mps2::kTxFull) != 0) {
  }
  SyncBarrier();
  *aircr = kSystemReset;
  for (;;) SyncBarrier();
}

StackUse Stack() { return Measure(&__stack_limit, &__stack_top); }

size_t UniqueId(char*, size_t) { return 0; }

// None but the receive and the wake-up interrupt exist, and masking all at the core takes no bus access.
Quiet::Quiet() { asm volatile("cpsid i" ::: "memory"); }

Quiet::~Quiet() { asm volatile("cpsie i" ::: "memory"); }

}  // namespace port

int main() {
  app::Setup();
  for (;;) app::Poll();
}
