// The port of any Zephyr board with a UART that has receive interrupts; a thread of its own answers the harness.
#include <string.h>
#include <tinyml_hil.h>
#include <zephyr/device.h>
#include <zephyr/drivers/hwinfo.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>
#include <zephyr/sys/reboot.h>
#include <zephyr/sys/util.h>
#include <zephyr/timing/timing.h>

#include "uart.h"

#define DRAIN_MS 20  // For what a UART still holds at 115200 baud: some 230 bytes.

static const struct device* const uart = DEVICE_DT_GET(HIL_UART);
static K_SEM_DEFINE(came, 0, 1);
static k_timeout_t longest;

#if defined(CONFIG_CORTEX_M_SYSTICK) && !defined(CONFIG_TINYML_HIL_DWT)
#include <cmsis_core.h>
#define TICKS_BY_SYSTICK 1
#define TRUSTED 8U      // So many invokes in a row that were brief: the next is expected to be.
#define READING 1024U   // More of SysTick's ticks than two readings of it take.
#define A_MODEL 256U    // Bytes; fewer bring no other model.
#endif

static uint32_t Ticks(void) {
#ifdef CONFIG_TINYML_HIL_DWT
  return (uint32_t)timing_counter_get();
#else
  return k_cycle_get_32();
#endif
}

static uint32_t TicksPerSecond(void) {
#ifdef CONFIG_TINYML_HIL_DWT
  timing_init();
  timing_start();
  return (uint32_t)timing_freq_get();
#else
  return (uint32_t)sys_clock_hw_cycles_per_sec();
#endif
}

static int Write(const uint8_t* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) uart_poll_out(uart, bytes[i]);
  return 1;
}

static void Restart(void) {
  k_msleep(DRAIN_MS);
  // A UART that a reset leaves as it is (QEMU's PL011) would interrupt before its driver has a callback, for ever.
  uart_irq_rx_disable(uart);
  sys_reboot(SYS_REBOOT_COLD);
}

static void Sleep(void) { (void)k_sem_take(&came, longest); }
static unsigned int held;

#ifdef TICKS_BY_SYSTICK
// k_cycle_get_32() loses time where SysTick wraps twice while interrupts are held off, and takes longer right after
// it has wrapped. So they are held off only while an invoke is expected to end before the next wrap. One that takes
// more than half a round has them on, as have those after it and after bytes that may be another model: their
// time has the timer's interrupts in it, and is whole.
static struct {
  unsigned int brief_in_a_row;
  uint32_t last;   // Ticks of the invoke before.
  uint32_t since;
  bool holds;
} invoke;
static volatile uint32_t came_since;  // Bytes since an invoke began.

static void HoldUntilWrap(void) {
  const uint32_t needed = invoke.last + READING;
  held = irq_lock();
  for (uint32_t tries = 0; SysTick->VAL < needed && tries < needed; ++tries) {
    irq_unlock(held);
    held = irq_lock();
  }
}

static void Quiet(void) {
  k_sched_lock();
  if (came_since >= A_MODEL) invoke.brief_in_a_row = 0;
  came_since = 0;
  invoke.holds = invoke.brief_in_a_row >= TRUSTED;
  if (invoke.holds) HoldUntilWrap();
  invoke.since = k_cycle_get_32();
}

static void Loud(void) {
  const bool wrapped = invoke.holds && (SCB->ICSR & SCB_ICSR_PENDSTSET_Msk) != 0;
  invoke.last = k_cycle_get_32() - invoke.since;
  if (invoke.holds) irq_unlock(held);
  const bool brief = !wrapped && invoke.last + READING < SysTick->LOAD / 2;
  invoke.brief_in_a_row = brief ? invoke.brief_in_a_row + 1 : 0;
  k_sched_unlock();
}
#else
static void Quiet(void) { held = irq_lock(); }
static void Loud(void) { irq_unlock(held); }
#endif

static void Stack(uint32_t* capacity_bytes, uint32_t* used_bytes) {
  size_t unused = 0;
  (void)k_thread_stack_space_get(k_current_get(), &unused);
  *capacity_bytes = (uint32_t)k_current_get()->stack_info.size;
  *used_bytes = *capacity_bytes - (uint32_t)unused;
}

static size_t UniqueId(char* text, size_t capacity) {
#ifdef CONFIG_HWINFO
  uint8_t id[16];
  char hex[2 * sizeof id + 1];
  const ssize_t size = hwinfo_get_device_id(id, sizeof id);
  if (size <= 0) return 0;
  const size_t length = MIN(bin2hex(id, (size_t)size, hex, sizeof hex), capacity);
  memcpy(text, hex, length);
  return length;
#else
  ARG_UNUSED(text);
  ARG_UNUSED(capacity);
  return 0;
#endif
}

static void Received(const struct device* device, void* user) {
  uint8_t bytes[16];
  ARG_UNUSED(user);
  if (!uart_irq_update(device)) return;
  while (uart_irq_rx_ready(device)) {
    const int size = uart_fifo_read(device, bytes, sizeof bytes);
    if (size <= 0) break;
    hil_received(bytes, (size_t)size);
#ifdef TICKS_BY_SYSTICK
    came_since += (uint32_t)size;
#endif
  }
  k_sem_give(&came);
}

static void Answer(void* first, void* second, void* third) {
  static hil_port port = {
      .ticks = Ticks, .write = Write, .reset = Restart, .sleep = Sleep, .quiet = Quiet, .loud = Loud, .stack = Stack, .unique_id = UniqueId};
  unsigned char early;
  ARG_UNUSED(first);
  ARG_UNUSED(second);
  ARG_UNUSED(third);
  k_sleep(K_TICKS(2));  // Until its first timeout is over a tickless kernel is interrupted each tick.
  port.ticks_per_second = TicksPerSecond();
  // Within half the time in which ticks wraps, as the library asks for.
  longest = K_SECONDS((uint32_t)INT32_MAX / port.ticks_per_second);
  hil_setup(&port);
  uart_irq_callback_set(uart, Received);
  uart_irq_rx_enable(uart);
  // A byte that came before is nobody's interrupt, and keeps all others out of a UART that holds one.
  const unsigned int off = irq_lock();
  while (uart_poll_in(uart, &early) == 0) hil_received(&early, 1);
  irq_unlock(off);
  for (;;) hil_poll();
}

K_THREAD_DEFINE(tinyml_hil, CONFIG_TINYML_HIL_STACK_SIZE, Answer, NULL, NULL, NULL, CONFIG_TINYML_HIL_PRIORITY, 0, 0);
