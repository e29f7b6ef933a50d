// A fault of the kernel or the processor is named on the UART, as the harness's own ports do: behind two bytes 0, which no
// answer has before text. Then the board stands still, until it is reset.
#include <zephyr/device.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/fatal.h>
#include <zephyr/kernel.h>

#include "uart.h"

static const struct device* const uart = DEVICE_DT_GET(HIL_UART);

static void Say(const char* text) {
  for (; *text != '\0'; ++text) uart_poll_out(uart, (unsigned char)*text);
}

static void SayRegister(const char* name, uint32_t value) {
  char hex[9] = "";
  for (int at = 7; at >= 0; --at, value >>= 4) hex[at] = "0123456789abcdef"[value & 15];
  Say(name);
  Say(hex);
}

static const char* Named(unsigned int reason) {
  switch (reason) {
    case K_ERR_CPU_EXCEPTION:
      return "CPU exception";
    case K_ERR_SPURIOUS_IRQ:
      return "unhandled interrupt";
    case K_ERR_STACK_CHK_FAIL:
      return "stack overflow";
    case K_ERR_KERNEL_OOPS:
      return "kernel oops";
    case K_ERR_KERNEL_PANIC:
      return "kernel panic";
    default:
      return "fault of the processor";
  }
}

void k_sys_fatal_error_handler(unsigned int reason, const struct arch_esf* esf) {
  (void)irq_lock();
  uart_poll_out(uart, 0);
  uart_poll_out(uart, 0);
  Say("firmware fault: ");
  Say(Named(reason));
  SayRegister(", reason 0x", reason);
#if defined(CONFIG_CPU_CORTEX_M)
  if (esf != NULL) SayRegister(", pc 0x", esf->basic.pc);
  if (esf != NULL) SayRegister(", lr 0x", esf->basic.lr);
#elif defined(CONFIG_RISCV)
  if (esf != NULL) SayRegister(", pc 0x", (uint32_t)esf->mepc);
  if (esf != NULL) SayRegister(", ra 0x", (uint32_t)esf->ra);
#else
  ARG_UNUSED(esf);
#endif
  Say("\n");
  k_fatal_halt(reason);
}
