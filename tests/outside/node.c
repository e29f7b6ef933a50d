// The firmware of a sensor node that is not the harness's: its own start, vectors, UART and counter. It answers the harness by
// three calls of tinyml_hil.h. The chip is the one that QEMU's mps2-an386 emulates.
#include <tinyml_hil.h>

#define REGISTER(address) (*(volatile uint32_t*)(address))
#define UART_DATA REGISTER(0x40004000)
#define UART_STATE REGISTER(0x40004004)
#define UART_CONTROL REGISTER(0x40004008)
#define UART_INTERRUPT REGISTER(0x4000400c)
#define UART_DIVISOR REGISTER(0x40004010)
#define TIMER_CONTROL REGISTER(0x40000000)
#define TIMER_VALUE REGISTER(0x40000004)
#define TIMER_RELOAD REGISTER(0x40000008)

static void ReceiveHandler(void) {
  UART_INTERRUPT = 2;
  while (UART_STATE & 2) {
    const uint8_t byte = (uint8_t)UART_DATA;
    hil_received(&byte, 1);
  }
}

static uint32_t Ticks(void) { return ~TIMER_VALUE; }

static int Write(const uint8_t* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    while (UART_STATE & 1) {
    }
    UART_DATA = bytes[i];
  }
  return 1;
}

static void Restart(void) {
  while (UART_STATE & 1) {
  }
  REGISTER(0xe000ed0c) = 0x05fa0004;
  for (;;) {
  }
}

static void Quiet(void) { __asm volatile("cpsid i" ::: "memory"); }
static void Loud(void) { __asm volatile("cpsie i" ::: "memory"); }

// With interrupts held WFI still wakes on a pending one, so that none slips in between the look and the sleep.
static void Sleep(void) {
  Quiet();
  if (!hil_waiting()) __asm volatile("dsb\n wfi" ::: "memory");
  Loud();
}

static const hil_port node = {
    .ticks = Ticks, .ticks_per_second = 25000000, .write = Write, .reset = Restart, .sleep = Sleep, .quiet = Quiet, .loud = Loud};

int main(void) {
  TIMER_RELOAD = UINT32_MAX;
  TIMER_VALUE = UINT32_MAX;
  TIMER_CONTROL = 1;
  UART_DIVISOR = 16;
  UART_CONTROL = 1 | 2 | 8;
  if (!(UART_STATE & 2)) (void)UART_DATA;  // QEMU offers a byte that came before the enable once one is read.
  REGISTER(0xe000e100) = 1;
  REGISTER(0xe000e200) = 1;
  hil_setup(&node);
  for (;;) hil_poll();
}

extern uint32_t data_source, data_begin, data_end, bss_begin, bss_end, stack_top;
extern void (*init_begin)(void);
extern void (*init_end)(void);

void Start(void) {
  REGISTER(0xe000ed88) |= 0xfu << 20;
  __asm volatile("dsb\n isb" ::: "memory");
  for (uint32_t *from = &data_source, *to = &data_begin; to < &data_end;) *to++ = *from++;
  for (uint32_t* to = &bss_begin; to < &bss_end;) *to++ = 0;
  for (void (**call)(void) = &init_begin; call < &init_end; ++call) (*call)();
  main();
}

static void Stop(void) {
  for (;;) {
  }
}

__attribute__((section(".vectors"), used)) static void* const vectors[] = {
    &stack_top, Start, Stop, Stop, Stop, Stop, Stop, 0, 0, 0, 0, Stop, Stop, 0, Stop, Stop, ReceiveHandler};
