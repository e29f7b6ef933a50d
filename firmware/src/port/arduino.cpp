// Any board of an Arduino core: its Serial, native USB or UART, and the finest counter that is seen to count.
#include "port/port.h"

#include "app.h"
#include "port/arduino_core.h"
#include "port/joined_counter.h"
#include "port/paint.h"
#include "port/window_pin.h"
#if defined(HIL_NETDUINOPLUS2)
#include "port/netduinoplus2.h"
#endif

namespace {

constexpr uint32_t kStallMs = 500;  // A host that takes no byte for so long is not listening.
constexpr uint32_t kLeaveMs = 50;   // What the core has queued has left by then: 512 bytes at 115200 baud.

#if defined(SERIAL_RX_BUFFER_SIZE)
// Bytes that find this buffer full are lost without a sign.
static_assert(SERIAL_RX_BUFFER_SIZE > app::kLargestBurst, "set -D SERIAL_RX_BUFFER_SIZE in build_flags");
#endif

struct Counter {
  uint32_t (*read)();
  uint32_t hz;
};

uint32_t Micros() { return static_cast<uint32_t>(micros()); }
constexpr Counter kMicros = {Micros, 1000000};
Counter counter = kMicros;

#if defined(TARGET_RP2040)
port::JoinedCounter joined;

port::JoinedCounter::Reading BothCounters() { return {timer_hw->timerawl, SysTick->VAL}; }

// Its Cortex-M0+ has no cycle counter. RTX, mbed's kernel, has set up SysTick.
Counter JoinedCycles() {
  constexpr uint32_t kCounting = SysTick_CTRL_ENABLE_Msk | SysTick_CTRL_CLKSOURCE_Msk;
  const uint32_t hz = clock_get_hz(clk_sys);
  const uint32_t tick_cycles = SysTick->LOAD + 1;
  const bool counts = (SysTick->CTRL & kCounting) == kCounting;
  if (!counts || tick_cycles != hz / 1000000 * port::JoinedCounter::kTickUs) return kMicros;
  joined.Start(BothCounters(), tick_cycles);
  return {[]() -> uint32_t { return joined.Cycles(BothCounters()); }, hz};
}
#endif

// The CPU's own, started. No core here changes its clock unless the sketch asks for it.
Counter CycleCounter() {
#if defined(ARDUINO_ARCH_ESP32)
  // Each CPU has its own; the core's loop task stays on one.
  return {[]() -> uint32_t { return ESP.getCycleCount(); }, getCpuFrequencyMhz() * 1000000u};
#elif defined(TARGET_RP2040)
  return JoinedCycles();
#elif defined(DWT)
#if defined(DCB)
  DCB->DEMCR |= DCB_DEMCR_TRCENA_Msk;
#else
  CoreDebug->DEMCR |= CoreDebug_DEMCR_TRCENA_Msk;
#endif
#if __CORTEX_M == 7
  DWT->LAR = 0xc5acce55;  // The lock that only the Cortex-M7 has.
#endif
  DWT->CTRL |= DWT_CTRL_CYCCNTENA_Msk;
  return {[]() -> uint32_t { return DWT->CYCCNT; }, SystemCoreClock};
#else
  return kMicros;
#endif
}

// Emulators and some locked chips have a CYCCNT that stands still.
bool Counts(const Counter& candidate) {
  const uint32_t first = candidate.read();
  for (int reads = 0; reads < 100; ++reads) {
    if (candidate.read() != first) return true;
  }
  return false;
}

uint32_t baud = port::kBaseBaud;
#if defined(ARDUINO_ARCH_STM32) && !defined(HIL_NETDUINOPLUS2)
// What an ST-Link's port and a USART at any of the family's clocks have in common.
constexpr uint32_t kFasterBauds[] = {921600, 460800};
constexpr port::Bauds kBauds = {kFasterBauds, sizeof kFasterBauds / sizeof *kFasterBauds};
#else
constexpr port::Bauds kBauds = {nullptr, 0};  // Native USB has no rate, an emulator ignores it, and others were not tried.
#endif

Counter FinestCounter() {
  const Counter cycles = CycleCounter();
  if (cycles.hz > 0 && Counts(cycles)) return cycles;
#if defined(HIL_NETDUINOPLUS2)
  return {netduinoplus2::Ticks, netduinoplus2::kTicksPerSecond};
#else
  return kMicros;
#endif
}

#if defined(ARDUINO_ARCH_MBED) && defined(SERIAL_CDC)

bool Listening() { return _SerialUSB.connected(); }

// Serial.write() waits for a reader without end.
size_t Queue(const uint8_t* src, size_t size) {
  // A packet shorter than 64 bytes ends a transfer; after a full one the host's driver waits for more.
  constexpr size_t kPacket = 63;
  uint32_t queued = 0;
  _SerialUSB.send_nb(const_cast<uint8_t*>(src), size < kPacket ? size : kPacket, &queued);
  return queued;
}

#elif defined(ARDUINO_ARCH_MBED)

bool Listening() { return true; }

size_t Queue(const uint8_t* src, size_t size) { return Serial.write(src, size); }  // Waits for the wire only.

#else

bool Listening() { return true; }  // A stall will tell. To ask Serial takes 10 ms on some cores.

size_t Queue(const uint8_t* src, size_t size) {
  const int free = Serial.availableForWrite();
  if (free <= 0) return 0;
  const size_t room = static_cast<size_t>(free);
  return Serial.write(src, size < room ? size : room);
}

#endif

// Masking interrupts stops the core's tick, and after a while USB. A millisecond harms neither; that an invoke takes
// less is expected if those before it did. With micros() they stay on: it may depend on the tick.
constexpr uint32_t kTrusted = 4;
#if defined(HIL_NETDUINOPLUS2)
constexpr bool kAlwaysMasks = true;  // Nothing is lost there: the UART is asked, and no time limit runs meanwhile.
#else
constexpr bool kAlwaysMasks = false;
#endif
uint32_t brief_in_a_row = 0;
uint32_t quiet_since = 0;
bool masked = false;
#if defined(HIL_SWAP)
constexpr uint32_t kLoadBytes = 48;  // Fewer neither begin a model nor bring one, and a RUN has fewer.
uint32_t came = 0;                   // Bytes since the last time.
#endif

#if defined(ARDUINO_ARCH_MBED) || defined(ARDUINO_ARCH_STM32)

struct Bounds {
  uint32_t* lowest;
  uint32_t* top;
};

#if defined(ARDUINO_ARCH_MBED)

// The main thread's, which setup() and loop() run on, and before them the constructors. RTX checks its lowest word.
Bounds StackBounds() {
  const osRtxThread_t* thread = static_cast<const osRtxThread_t*>(osThreadGetId());
  uint32_t* lowest = static_cast<uint32_t*>(thread->stack_mem);
  return {lowest + 1, lowest + thread->stack_size / sizeof(uint32_t)};
}

uint32_t* StackPointer() { return reinterpret_cast<uint32_t*>(__get_PSP()); }

#else

// From where the heap ends now up to the end of RAM; interrupts use it too.
Bounds StackBounds() {
  constexpr uintptr_t kWord = sizeof(uint32_t);
  const uintptr_t heap_end = reinterpret_cast<uintptr_t>(_sbrk(0));
  return {reinterpret_cast<uint32_t*>((heap_end + kWord - 1) / kWord * kWord), reinterpret_cast<uint32_t*>(&_estack)};
}

uint32_t* StackPointer() { return reinterpret_cast<uint32_t*>(__get_MSP()); }

#endif

// As early as our code can run, so that nearly all of the core's own setup is in the mark.
__attribute__((constructor(101))) void PaintStack() {
  const Bounds stack = StackBounds();
  port::Paint(stack.lowest, StackPointer());
}

#endif

[[maybe_unused]] size_t PutHex(char* dst, size_t capacity, const uint32_t* words, size_t count) {
  constexpr size_t kDigits = 8;
  if (capacity < count * kDigits) return 0;
  for (size_t i = 0; i < count * kDigits; ++i) {
    dst[i] = "0123456789ABCDEF"[(words[i / kDigits] >> (28 - 4 * (i % kDigits))) & 15u];
  }
  return count * kDigits;
}

}  // namespace

namespace port {

Status Setup() {
#if defined(ARDUINO_ARCH_ESP32)
  Serial.setRxBufferSize(app::kLargestBurst + 1);  // Only before begin().
#endif
  // mbed's own main() has begun its USB serial: once more would start a second thread and attach a callback twice.
#if !(defined(ARDUINO_ARCH_MBED) && defined(SERIAL_CDC))
  Serial.begin(kBaseBaud);  // Nobody is waited for: an unattended board must start.
#endif
  if constexpr (kHasWindowPin) {
    pinMode(kWindowPin, OUTPUT);
    Window(kMlperfEnergy);
  }
  counter = FinestCounter();
  return Status::kOk;
}

uint32_t Ticks() { return counter.read(); }

uint32_t TicksPerSecond() { return counter.hz; }

size_t Read(uint8_t* dst, size_t capacity) {
#if defined(HIL_NETDUINOPLUS2)
  netduinoplus2::ServeSerial();
#endif
  const int waiting = Serial.available();
  size_t size = 0;
  while (size < capacity && static_cast<int>(size) < waiting) {
    const int byte = Serial.read();
    if (byte < 0) break;
    dst[size++] = static_cast<uint8_t>(byte);
  }
#if defined(HIL_SWAP)
  came += static_cast<uint32_t>(size);
#endif
  return size;
}

// kPortFailed when nobody reads. What is left of the message is dropped; the next frame's first byte ends its piece.
Status Write(const uint8_t* src, size_t size) {
  uint32_t moved_ms = static_cast<uint32_t>(millis());
  while (size > 0) {
    if (!Listening()) return Status::kPortFailed;
    const size_t queued = Queue(src, size);
    const uint32_t now_ms = static_cast<uint32_t>(millis());
    if (queued > 0) {
      src += queued;
      size -= queued;
      moved_ms = now_ms;
    } else if (now_ms - moved_ms >= kStallMs) {
      return Status::kPortFailed;
    } else {
      yield();
    }
#if defined(HIL_NETDUINOPLUS2)
    netduinoplus2::ServeSerial();
#endif
  }
  return Status::kOk;
}

Bauds FasterBauds() { return kBauds; }

uint32_t Baud() { return baud; }

void SetBaud(uint32_t wanted) {
#if defined(ARDUINO_ARCH_STM32)
  Serial.flush();  // end() would cut off what has not left.
  Serial.end();
  Serial.begin(wanted);
#endif
  baud = wanted;
}

#if defined(HIL_NETDUINOPLUS2)
void Sleep() { netduinoplus2::Sleep(); }
#else
void Sleep() { yield(); }  // No deeper: cycle counters stand still while the CPU sleeps.
#endif

void Reset() {
  delay(kLeaveMs);
#if defined(ARDUINO_ARCH_ESP32)
  ESP.restart();
#elif defined(TARGET_RP2040)
  watchdog_reboot(0, 0, 0);  // SYSRESETREQ would leave USB and the other core as they are.
#elif defined(__CORTEX_M)
  NVIC_SystemReset();
#else
#error "arduino.cpp does not know how this family resets"
#endif
  for (;;) {
  }
}

StackUse Stack() {
#if defined(ARDUINO_ARCH_ESP32)
  // FreeRTOS paints by itself; ESP-IDF counts in bytes.
  const uint32_t capacity = static_cast<uint32_t>(getArduinoLoopTaskStackSize());
  return {capacity, capacity - static_cast<uint32_t>(uxTaskGetStackHighWaterMark(nullptr))};
#elif defined(ARDUINO_ARCH_MBED) || defined(ARDUINO_ARCH_STM32)
  const Bounds stack = StackBounds();
  return Measure(stack.lowest, stack.top);
#else
  return {0, 0};
#endif
}

// As in the board's USB descriptor where it has native USB, so that a host can match them.
size_t UniqueId([[maybe_unused]] char* dst, [[maybe_unused]] size_t capacity) {
#if defined(HIL_NETDUINOPLUS2)
  return 0;  // QEMU has no memory where the chip keeps it, and reading there is a fault.
#elif defined(ARDUINO_ARCH_MBED) && defined(SERIAL_CDC)
  uint8_t utf16[64];
  const size_t bytes = getUniqueSerialNumber(utf16);
  size_t size = 0;
  while (size < capacity && 2 * size < bytes) {
    dst[size] = static_cast<char>(utf16[2 * size]);
    ++size;
  }
  return size;
#elif defined(ARDUINO_ARCH_ESP32)
  const uint64_t mac = ESP.getEfuseMac();
  const uint32_t words[] = {static_cast<uint32_t>(mac >> 32), static_cast<uint32_t>(mac)};
  return PutHex(dst, capacity, words, 2);
#elif defined(ARDUINO_ARCH_STM32)
  const uint32_t words[] = {HAL_GetUIDw2(), HAL_GetUIDw1(), HAL_GetUIDw0()};
  return PutHex(dst, capacity, words, 3);
#elif defined(NRF_FICR)
  const uint32_t words[] = {NRF_FICR->DEVICEID[1], NRF_FICR->DEVICEID[0]};
  return PutHex(dst, capacity, words, 2);
#else
#error "arduino.cpp does not know where this family keeps its unique id"
#endif
}

bool MarksWindows() { return kHasWindowPin && !kMlperfEnergy; }

bool MlperfEnergy() { return kMlperfEnergy; }

void Window(bool open) {
  if constexpr (kHasWindowPin) digitalWrite(kWindowPin, open ? HIGH : LOW);
}

Quiet::Quiet() {
#if defined(HIL_SWAP)
  if (came >= kLoadBytes) brief_in_a_row = 0;  // Perhaps another model, which nobody knows to be brief.
  came = 0;
#endif
  masked = counter.read != Micros && (kAlwaysMasks || brief_in_a_row >= kTrusted);
  quiet_since = counter.read();
  if (masked) noInterrupts();
}

Quiet::~Quiet() {
  if (masked) interrupts();
  const bool brief = counter.read() - quiet_since < counter.hz / 1000;
  brief_in_a_row = brief ? brief_in_a_row + 1 : 0;
}

}  // namespace port

void setup() { app::Setup(); }

void loop() { app::Poll(); }
