// Usage: arduino_test NAME runs one test; without a name it lists them.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "Arduino.h"
#include "app.h"
#include "port/joined_counter.h"
#include "port/port.h"

namespace {

int setups = 0;
int polls = 0;

void Check(bool holds, const char* what, int line) {
  if (holds) return;
  std::fprintf(stderr, "line %d: not so: %s\n", line, what);
  std::exit(1);
}
#define CHECK(condition) Check(condition, #condition, __LINE__)

using fake::world;

const std::string kMessage = [] {
  std::string text(1000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  return text;
}();

Status Send(const std::string& text) { return port::Write(reinterpret_cast<const uint8_t*>(text.data()), text.size()); }

void Boot() { CHECK(port::Setup() == Status::kOk); }

void SectionOf(uint64_t us, bool* masked) {
  const port::Quiet quiet;
  *masked = world.masked;
  world.now_us += us;
}

void WriteSurvivesShortWrites() {
  world.most_per_write = 7;
  Boot();
  CHECK(Send(kMessage) == Status::kOk);
  delay(1000);
  CHECK(world.received == kMessage);
}

void WritePacketsEndTheirTransfer() {
  Boot();
  CHECK(Send(kMessage) == Status::kOk);
#if defined(ARDUINO_ARCH_MBED)
  CHECK(world.largest_packet == 63);
#endif
}

void WriteWaitsForASlowReader() {
  world.taken_per_ms = 1;
  Boot();
  const std::string twice = kMessage + kMessage;
  CHECK(Send(twice) == Status::kOk);
  CHECK(world.now_us > 1500000);
  delay(1000);
  CHECK(world.received == twice);
}

void WriteGivesUpWhenNobodyReads() {
  world.taken_per_ms = 0;
  Boot();
  CHECK(Send(kMessage) == Status::kPortFailed);
  CHECK(world.now_us >= 500000 && world.now_us < 600000);
}

void NextMessageStartsClean() {
  world.taken_per_ms = 0;
  Boot();
  CHECK(Send(kMessage) == Status::kPortFailed);
  world.taken_per_ms = 11;
  const std::string frame = std::string(1, '\0') + "next" + std::string(1, '\0');
  CHECK(Send(frame) == Status::kOk);
  delay(100);
  // A piece of the first message, whole from its start, and then nothing but the next one.
  const size_t piece = world.received.find('\0');
  CHECK(piece <= fake::kQueueSize && kMessage.compare(0, piece, world.received, 0, piece) == 0);
  CHECK(world.received.substr(piece) == frame);
}

void WriteWithoutTerminalTakesNoTime() {
#if defined(ARDUINO_ARCH_MBED)
  world.terminal = false;
  Boot();
  const uint64_t before_us = world.now_us;
  CHECK(Send(kMessage) == Status::kPortFailed);
  CHECK(world.now_us - before_us < 1000);
  world.terminal = true;
  CHECK(Send("again") == Status::kOk);
  delay(100);
  CHECK(world.received == "again");
#endif
}

void RealCycleCounterIsUsed() {
  Boot();
  CHECK(port::TicksPerSecond() == fake::kClockHz);
  const uint32_t start = port::Ticks();
  world.now_us += 1000;
  const uint32_t passed = port::Ticks() - start;
  CHECK(passed >= 64000 && passed < 64000 + 1000);
}

void StuckCycleCounterIsFoundOut() {
  world.counter_runs = false;
  Boot();
  CHECK(port::TicksPerSecond() == 1000000);
  const uint32_t start = port::Ticks();
  world.now_us += 1000;
  const uint32_t passed = port::Ticks() - start;
  CHECK(passed >= 1000 && passed < 1010);
}

void TicksWrapAtAFullWord() {
  world.counter_runs = false;
  Boot();
  world.now_us = 0xffffffff;
  const uint32_t before = port::Ticks();
  world.now_us += 100;
  CHECK(port::Ticks() - before < 200);
}

void ReadStaysWithinItsBuffer() {
  Boot();
  for (int i = 0; i < 100; ++i) world.to_board.push_back(static_cast<uint8_t>(i));
  for (const size_t capacity : {1u, 64u, 64u}) {
    const std::unique_ptr<uint8_t[]> exact(new uint8_t[capacity]);
    const uint8_t next = world.to_board.front();
    const size_t size = port::Read(exact.get(), capacity);
    CHECK(size > 0 && size <= capacity && exact[0] == next);
  }
  CHECK(world.to_board.empty());
  CHECK(port::Read(nullptr, 0) == 0);
}

void ReadReturnsWhatThereIs() {
  Boot();
  uint8_t byte = 0;
  CHECK(port::Read(&byte, 1) == 0);
  world.to_board.push_back(5);
  world.read_errors = 1;
  CHECK(port::Read(&byte, 1) == 0);
  CHECK(port::Read(&byte, 1) == 1 && byte == 5);
}

// Ticks of 1 ms at 125 MHz, SysTick reloaded 0.3 us after the timer's millisecond, and readings at any distance.
void JoinedCounterCountsAcrossTicks() {
  constexpr uint64_t kMhz = 125, kTick = 1000 * kMhz, kApart = 37;
  const auto at = [](uint64_t cycle) {
    const uint64_t left = kTick - 1 - (cycle + kTick - kApart) % kTick;
    return port::JoinedCounter::Reading{static_cast<uint32_t>(cycle / kMhz), static_cast<uint32_t>(left)};
  };
  uint64_t now = (uint64_t{1} << 32) * kMhz - 3 * kTick;  // The timer wraps soon.
  port::JoinedCounter joined;
  joined.Start(at(now), kTick);
  uint32_t expected = 0;
  for (uint64_t step : {1ull, 36ull, 37ull, 38ull, 124ull, 125ull, 126ull, 62499ull, 62500ull, 62501ull, 124962ull,
                        124999ull, 125000ull, 125001ull, 249999ull, 250001ull, 12500001ull, 125000000001ull, 2ull}) {
    for (int again = 0; again < 50; ++again) {
      now += step;
      expected += static_cast<uint32_t>(step);
      CHECK(joined.Cycles(at(now)) == expected);
    }
  }
  // 0.4 ms of interrupts between the timer's reading and SysTick's, then none.
  port::JoinedCounter::Reading torn = at(now + 50);
  torn.left = at(now + 50 + 400 * kMhz).left;
  CHECK(joined.Cycles(torn) == expected + 50 + 400 * kMhz);
  CHECK(joined.Cycles(at(now + 401 * kMhz)) == expected + 401 * kMhz);
}

void QuietMasksWhatIsKnownToBeBrief() {
  Boot();
  bool masked = true;
  for (int section = 0; section < 4; ++section) {
    SectionOf(100, &masked);
    CHECK(!masked);
  }
  SectionOf(600000, &masked);  // Longer than those before it: masked this once.
  CHECK(masked && !world.masked);
  for (int section = 0; section < 4; ++section) {
    SectionOf(100, &masked);
    CHECK(!masked);
  }
  SectionOf(100, &masked);
  CHECK(masked && !world.masked);
}

void QuietNeverMasksALongOrATickedClock() {
  Boot();
  bool masked = true;
  for (int section = 0; section < 20; ++section) {
    SectionOf(2000, &masked);
    CHECK(!masked);
  }
  world.counter_runs = false;
  Boot();
  for (int section = 0; section < 20; ++section) {
    SectionOf(100, &masked);
    CHECK(!masked);
  }
}

// The new model's first invoke may take seconds, for which no USB lives without interrupts.
void QuietKnowsNothingOfAModelThatMayHaveCome() {
  Boot();
  bool masked = true;
  for (int section = 0; section < 5; ++section) SectionOf(100, &masked);
  CHECK(masked);
  world.to_board.assign(300, 1);
  uint8_t bytes[64];
  while (port::Read(bytes, sizeof bytes) > 0) {
  }
  SectionOf(600000, &masked);
#if defined(HIL_SWAP)
  CHECK(!masked);
#else
  CHECK(masked);  // Such a firmware takes none.
#endif
}

void UniqueIdIsPrintableAndBounded() {
#if defined(ARDUINO_ARCH_MBED)
  const std::string wanted = "0123456789ABCDEF";
#elif defined(ARDUINO_ARCH_ESP32)
  const std::string wanted = "0000A1B2C3D4E5F6";
#else
  const std::string wanted = "8899AABB4455667700112233";
#endif
  char uid[64];
  CHECK(std::string(uid, port::UniqueId(uid, sizeof uid)) == wanted);
  for (size_t capacity = 0; capacity < 30; ++capacity) {
    const std::unique_ptr<char[]> exact(new char[capacity]);
    CHECK(port::UniqueId(exact.get(), capacity) <= capacity);
  }
}

void ResetLetsTheReplyLeave() {
  Boot();
  CHECK(Send("bye") == Status::kOk);
  bool reset = false;
  try {
    port::Reset();
  } catch (const fake::Reset&) {
    reset = true;
  }
  CHECK(reset && world.received == "bye");
}

void BootWaitsForNobodyAndSaysNothing() {
  world.terminal = false;
  world.taken_per_ms = 0;
  setup();
  loop();
  CHECK(setups == 1 && polls == 1);
#if defined(ARDUINO_ARCH_MBED)
  CHECK(world.begun == 0);  // The core's main() begins its USB serial, and must be the only one.
#else
  CHECK(world.begun == 1);
#endif
  CHECK(world.queue.empty() && world.now_us < 10000);
#if defined(ARDUINO_ARCH_ESP32)
  CHECK(world.rx_buffer_size > HIL_MAX_PAYLOAD);
#endif
}

// Before any of our code ran, the port has painted what was free of the stack.
void StackIsAsDeepAsItEverWas() {
  const port::StackUse start = port::Stack();
#if defined(ARDUINO_ARCH_ESP32)
  CHECK(start.capacity_bytes == sizeof fake::stack && start.used_bytes == 100);  // By the core's own count.
#else
  // The lowest word is not the stack's: of RTX, or still of the heap.
  CHECK(start.capacity_bytes == sizeof fake::stack - 4);
  CHECK(start.used_bytes == fake::kDepth * 4);
  fake::stack[fake::kStackWords - 20] = 1;
  CHECK(port::Stack().used_bytes == 20 * 4);
  fake::stack[fake::kStackWords - 15] = 1;
  CHECK(port::Stack().used_bytes == 20 * 4);
  fake::stack[1] = 1;
  CHECK(port::Stack().used_bytes == port::Stack().capacity_bytes);
#endif
}

void FasterBaudBeginsWhenTheReplyHasLeft() {
  Boot();
  CHECK(port::Baud() == port::kBaseBaud);
#if defined(ARDUINO_ARCH_STM32)
  const port::Bauds faster = port::FasterBauds();
  CHECK(faster.count == 2 && faster.bauds[0] > faster.bauds[1] && faster.bauds[1] > port::kBaseBaud);
  for (const uint32_t baud : {faster.bauds[0], faster.bauds[1], port::kBaseBaud}) {
    world.received.clear();
    CHECK(Send("reply") == Status::kOk);
    port::SetBaud(baud);
    CHECK(world.received == "reply" && world.baud == baud && port::Baud() == baud);
  }
#else
  CHECK(port::FasterBauds().count == 0);
#endif
}

void WindowsAreMarkedOnThePinOfTheBuild() {
  Boot();
  CHECK(port::MarksWindows() && world.pin == "o0");
  port::Window(true);
  port::Window(false);
  CHECK(world.pin == "o010");
}

struct Test {
  const char* name;
  void (*run)();
};
#define TEST(name) {#name, name}
const Test kTests[] = {
    TEST(WriteSurvivesShortWrites),     TEST(WritePacketsEndTheirTransfer),
    TEST(WriteWaitsForASlowReader),     TEST(WriteGivesUpWhenNobodyReads),
    TEST(NextMessageStartsClean),       TEST(WriteWithoutTerminalTakesNoTime),
    TEST(RealCycleCounterIsUsed),       TEST(StuckCycleCounterIsFoundOut),
    TEST(TicksWrapAtAFullWord),         TEST(ReadStaysWithinItsBuffer),
    TEST(ReadReturnsWhatThereIs),       TEST(QuietMasksWhatIsKnownToBeBrief),
    TEST(QuietNeverMasksALongOrATickedClock), TEST(QuietKnowsNothingOfAModelThatMayHaveCome),
    TEST(UniqueIdIsPrintableAndBounded),
    TEST(ResetLetsTheReplyLeave),       TEST(BootWaitsForNobodyAndSaysNothing),
    TEST(JoinedCounterCountsAcrossTicks), TEST(StackIsAsDeepAsItEverWas),
    TEST(FasterBaudBeginsWhenTheReplyHasLeft), TEST(WindowsAreMarkedOnThePinOfTheBuild),
};

}  // namespace

namespace app {

void Setup() {
  ++setups;
  Boot();
}

void Poll() { ++polls; }

}  // namespace app

int main(int argc, char** argv) {
  for (const Test& test : kTests) {
    if (argc < 2) std::puts(test.name);
    if (argc == 2 && std::strcmp(argv[1], test.name) == 0) return test.run(), 0;
  }
  return argc < 2 ? 0 : 2;
}
