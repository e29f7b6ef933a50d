#pragma once

#include <cstddef>
#include <cstdint>

#include "status.h"

namespace port {

struct StackUse {
  uint32_t capacity_bytes;  // 0: this port cannot tell, and `used_bytes` is 0 too.
  uint32_t used_bytes;      // The deepest since reset.
};

// All a board family supplies. A missing function is a link error, never a stub returning 0.
[[nodiscard]] Status Setup();
uint32_t Ticks();           // Free-running; wraps at 2^32, so subtract unsigned.
uint32_t TicksPerSecond();  // Above 0 and constant after Setup().

size_t Read(uint8_t* dst, size_t capacity);  // Returns at once; 0 when no byte waits.
[[nodiscard]] Status Write(const uint8_t* src, size_t size);  // Blocks until every byte is queued.

#if defined(HIL_BASE_BAUD)
constexpr uint32_t kBaseBaud = HIL_BASE_BAUD;
#else
constexpr uint32_t kBaseBaud = 115200;  // Of every board after reset.
#endif
struct Bauds {
  const uint32_t* bauds;  // The fastest first, all of them faster than kBaseBaud.
  uint8_t count;          // 0: the line has no rate, or just one.
};
Bauds FasterBauds();
uint32_t Baud();  // kBaseBaud also where the line has none. A port may go back to that by itself.
void SetBaud(uint32_t baud);  // One of the above, once everything written has left the board.

// Returns when a byte may be waiting, or earlier; at the latest after half the time in which Ticks() wraps.
void Sleep();
[[noreturn]] void Reset();  // Once everything written has left the board.
StackUse Stack();  // Of the stack that the model runs on.
size_t UniqueId(char* dst, size_t capacity);  // Printable, not terminated; 0 if the chip has none.

// A pin that is high while a RUN invokes, for an instrument that measures the board's current. Where there is none Window()
// does nothing, and HELLO does not announce it.
bool MarksWindows();
void Window(bool open);
// The pin is that of MLPerf Tiny's energy mode instead: high but for timestamps.
bool MlperfEnergy();

// Holds the receive interrupt off, so that the host cannot add its cycles to a measurement.
class Quiet {
 public:
  Quiet();
  ~Quiet();
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

}  // namespace port
