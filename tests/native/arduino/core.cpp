#include <algorithm>

#include "Arduino.h"
#if defined(ARDUINO_ARCH_MBED)
#include <rtx_os.h>

#include "USB/PluggableUSBSerial.h"
#endif

namespace fake {

World world;
uint32_t stack[kStackWords];

void Pass(uint64_t us) {
  const uint64_t before_ms = world.now_us / 1000;
  world.now_us += us;
  size_t taken = (world.now_us / 1000 - before_ms) * world.taken_per_ms;
  for (; taken > 0 && world.terminal && !world.queue.empty(); --taken) {
    world.received.push_back(static_cast<char>(world.queue.front()));
    world.queue.pop_front();
  }
}

size_t Take(const uint8_t* src, size_t size) {
  const size_t taken = std::min({size, kQueueSize - world.queue.size(), world.most_per_write});
  world.queue.insert(world.queue.end(), src, src + taken);
  world.largest_packet = std::max(world.largest_packet, taken);
  return taken;
}

// As the cores: what has not left yet is lost.
void Serial::end() {
  world.queue.clear();
  world.baud = 0;
}

void Serial::flush() {
  while (!world.queue.empty()) Pass(20);
}

int Serial::read() {
  if (world.read_errors > 0) return --world.read_errors, -1;
  if (world.to_board.empty()) return -1;
  const uint8_t byte = world.to_board.front();
  world.to_board.pop_front();
  return byte;
}

#if defined(ARDUINO_ARCH_ESP32)
CycleCounter::operator uint32_t() const {
  return world.counter_runs ? static_cast<uint32_t>((world.now_us += 1) * (kClockHz / 1000000)) : 7;
}
#else
CycleCounter::operator uint32_t() const {
  const bool enabled = (DCB->DEMCR & DCB_DEMCR_TRCENA_Msk) != 0 && (DWT->CTRL & DWT_CTRL_CYCCNTENA_Msk) != 0;
  return world.counter_runs && enabled ? static_cast<uint32_t>((world.now_us += 1) * (kClockHz / 1000000)) : 0;
}
#endif

#if defined(ARDUINO_ARCH_MBED)
// As the core: one packet at a time, and nothing while the last one waits for the host.
void UsbSerial::send_nb(uint8_t* src, uint32_t size, uint32_t* actual, bool) {
  *actual = world.terminal && world.queue.empty() ? static_cast<uint32_t>(Take(src, size)) : 0;
}
#endif

}  // namespace fake

fake::Serial Serial;
unsigned long millis() { return fake::world.now_us / 1000; }
unsigned long micros() { return fake::world.now_us += 1; }
void delay(unsigned long ms) { fake::Pass(ms * 1000); }
void yield() { fake::Pass(20); }
void noInterrupts() { fake::world.masked = true; }
void interrupts() { fake::world.masked = false; }

#if defined(ARDUINO_ARCH_ESP32)
Esp ESP;
#else
DwtRegisters dwt_registers;
DebugRegisters debug_registers;
#endif
#if defined(ARDUINO_ARCH_MBED)
fake::UsbSerial _SerialUSB;
uint8_t getUniqueSerialNumber(uint8_t* name) {
  const char digits[] = "0123456789ABCDEF";
  for (int i = 0; i < 16; ++i) {
    name[2 * i] = static_cast<uint8_t>(digits[i]);
    name[2 * i + 1] = 0;
  }
  return 32;
}
#endif

#if defined(ARDUINO_ARCH_MBED)
void* osThreadGetId() {
  static osRtxThread_t thread = {fake::stack, sizeof fake::stack};
  return &thread;
}
#elif defined(ARDUINO_ARCH_ESP32)
unsigned uxTaskGetStackHighWaterMark(void*) { return sizeof fake::stack - 100; }
#else
extern "C" char* _sbrk(int) { return reinterpret_cast<char*>(fake::stack) + 3; }
asm(".globl _estack\n.set _estack, _ZN4fake5stackE + 256");
#endif
