// The Arduino port as QEMU's netduinoplus2 has it, on the fake core. What the machine lacks is faked here.
#include <cstdio>
#include <cstdlib>

#include "Arduino.h"
#include "app.h"
#include "port/netduinoplus2.h"
#include "port/port.h"

namespace {

int served = 0;
int slept = 0;

void Check(bool holds, const char* what, int line) {
  if (holds) return;
  std::fprintf(stderr, "line %d: not so: %s\n", line, what);
  std::exit(1);
}
#define CHECK(condition) Check(condition, #condition, __LINE__)

using fake::world;

// A figure with the tick's interrupts in it is no exact count.
void InvokesOfAnyLengthAreMasked() {
  for (int section = 0; section < 10; ++section) {
    {
      const port::Quiet quiet;
      CHECK(world.masked);
      world.now_us += 1000000;
    }
    CHECK(!world.masked);
  }
}

// An instruction is 128 ns in boards.toml: four ticks. An invoke of 32 million instructions takes as long as a counter of 1 GHz.
void TicksAreFourAnInstructionAndDoNotWrapInALongInvoke() {
  CHECK(port::TicksPerSecond() == 31250000);
  CHECK(uint64_t{128} * port::TicksPerSecond() == uint64_t{4} * 1000000000);
  const uint32_t start = port::Ticks();
  world.now_us += 100000000;
  CHECK(port::Ticks() - start == 100 * port::TicksPerSecond());
}

}  // namespace

namespace netduinoplus2 {

void ServeSerial() { ++served; }
void Sleep() { ++slept; }
uint32_t Ticks() { return static_cast<uint32_t>(world.now_us * (kTicksPerSecond / 10000) / 100); }

}  // namespace netduinoplus2

namespace app {

void Setup() {}
void Poll() {}

}  // namespace app

int main() {
  world.counter_runs = false;  // CYCCNT reads 0 in QEMU.
  CHECK(port::Setup() == Status::kOk);
  InvokesOfAnyLengthAreMasked();
  TicksAreFourAnInstructionAndDoNotWrapInALongInvoke();
  uint8_t byte = 0;
  CHECK(port::Read(&byte, 1) == 0 && served == 1);
  port::Sleep();
  CHECK(slept == 1);
  char uid[32];
  CHECK(port::UniqueId(uid, sizeof uid) == 0 && port::FasterBauds().count == 0);
}
