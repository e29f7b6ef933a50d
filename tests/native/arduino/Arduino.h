#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

// As much of an Arduino core as firmware/src/port/arduino.cpp uses, on simulated time. ARDUINO_ARCH_* picks the family.
namespace fake {

struct Reset {};  // Thrown instead of starting anew.

struct World {
  uint64_t now_us = 0;
  bool counter_runs = true;     // Else CYCCNT stands still, as in QEMU.
  bool trace_enabled = false;   // CYCCNT needs it.
  bool masked = false;
  bool terminal = true;         // DTR, as far as the family can see it.
  size_t taken_per_ms = 11;     // By the host; 0: it does not read.
  size_t most_per_write = 64;   // A core may take less than it announced.
  size_t largest_packet = 0;    // Handed over in one call.
  uint64_t last_write_us = 0;
  int read_errors = 0;          // Serial.read() fails so often, whatever available() said.
  size_t rx_buffer_size = 64;
  int begun = 0;                // How often; by us, and on mbed by the core's own main().
  unsigned long baud = 0;
  std::string pin;              // What became of pin 7, in order: o made an output, 0 and 1 driven; ? for any other pin.
  std::deque<uint8_t> to_board;
  std::deque<uint8_t> queue;    // In the core, on its way to the host.
  std::string received;         // By the host.
};
extern World world;

constexpr size_t kQueueSize = 64;
constexpr uint32_t kClockHz = 64000000;

// The stack that loop() runs on grows down from its end; so many words of it are in use.
constexpr size_t kStackWords = 64;
constexpr size_t kDepth = 10;
extern uint32_t stack[kStackWords];

void Pass(uint64_t us);  // Time in which the host may read.
size_t Take(const uint8_t* src, size_t size);

struct CycleCounter {
  operator uint32_t() const;
};

struct Serial {
  void begin(unsigned long baud) {
    ++world.begun;
    world.baud = baud;
  }
  void end();
  void flush();
  size_t setRxBufferSize(size_t size) { return world.rx_buffer_size = world.begun > 0 ? 0 : size; }
  int available() const { return static_cast<int>(world.to_board.size()); }
  int read();
  int availableForWrite() const { return static_cast<int>(kQueueSize - world.queue.size()); }
  size_t write(const uint8_t* src, size_t size) { return Take(src, size); }
};

}  // namespace fake

extern fake::Serial Serial;
unsigned long millis();
unsigned long micros();
void delay(unsigned long ms);
void yield();
constexpr int OUTPUT = 1;
constexpr int LOW = 0;
constexpr int HIGH = 1;
inline void pinMode(int pin, int mode) { fake::world.pin += pin == 7 && mode == OUTPUT ? 'o' : '?'; }
inline void digitalWrite(int pin, int level) { fake::world.pin += pin == 7 ? static_cast<char>('0' + level) : '?'; }
void noInterrupts();
void interrupts();

void setup();
void loop();

#if defined(ARDUINO_ARCH_ESP32)

struct Esp {
  uint32_t getCycleCount() const { return fake::CycleCounter(); }
  uint64_t getEfuseMac() const { return 0x0000a1b2c3d4e5f6; }
  void restart() const { throw fake::Reset(); }
};
extern Esp ESP;
inline size_t getArduinoLoopTaskStackSize() { return sizeof fake::stack; }
unsigned uxTaskGetStackHighWaterMark(void* task);
inline uint32_t getCpuFrequencyMhz() { return fake::kClockHz / 1000000; }

#else

#define __CORTEX_M 4
constexpr uint32_t SystemCoreClock = fake::kClockHz;

struct DwtRegisters {
  uint32_t CTRL;
  fake::CycleCounter CYCCNT;
};
struct DebugRegisters {
  uint32_t DEMCR;
};
extern DwtRegisters dwt_registers;
extern DebugRegisters debug_registers;
#define DWT (&dwt_registers)
#define DCB (&debug_registers)
#define DCB_DEMCR_TRCENA_Msk (1u << 24)
#define DWT_CTRL_CYCCNTENA_Msk 1u

inline void NVIC_SystemReset() { throw fake::Reset(); }

inline uint32_t HAL_GetUIDw0() { return 0x00112233; }
inline uint32_t HAL_GetUIDw1() { return 0x44556677; }
inline uint32_t HAL_GetUIDw2() { return 0x8899aabb; }

inline uintptr_t __get_MSP() { return reinterpret_cast<uintptr_t>(fake::stack + fake::kStackWords - fake::kDepth); }
inline uintptr_t __get_PSP() { return __get_MSP(); }

#if defined(ARDUINO_ARCH_MBED)
uint8_t getUniqueSerialNumber(uint8_t* name);
#endif

#endif
