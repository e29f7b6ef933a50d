#include "measure/measure.h"

#include "port/port.h"
#include "runtime/runtime.h"

namespace {

constexpr int kPairs = 16;
// The coarsest counter in sight steps every millisecond; at 600 MHz that is some 100 000 reads of six cycles.
constexpr uint32_t kMaxReads = 1000000;

// Without this the compiler may move the timed work across the reads of the counter.
inline void Barrier() { asm volatile("" ::: "memory"); }

uint32_t NextStep() {  // 0 if the counter stands still.
  const uint32_t start = port::Ticks();
  for (uint32_t reads = 0; reads < kMaxReads; ++reads) {
    const uint32_t moved = port::Ticks() - start;
    if (moved != 0) return moved;
  }
  return 0;
}

uint32_t ReadCost() {
  Barrier();
  const uint32_t first = port::Ticks();
  Barrier();
  const uint32_t second = port::Ticks();
  Barrier();
  return second - first;
}

}  // namespace

Status MeasureTimer(Timer* timer) {
  *timer = {};
  const port::Quiet quiet;
  Timer best = {UINT32_MAX, UINT32_MAX};
  for (int pair = 0; pair < kPairs; ++pair) {
    const uint32_t step = NextStep();
    if (step == 0) return Status::kTimerStuck;
    if (step < best.step_ticks) best.step_ticks = step;
    const uint32_t cost = ReadCost();
    if (cost < best.read_ticks) best.read_ticks = cost;
    if (cost != 0 && cost < best.step_ticks) best.step_ticks = cost;
  }
  *timer = best;
  return Status::kOk;
}

Status TimedInvoke(uint32_t* ticks) {
  runtime::Prepare();
  const port::Quiet quiet;
  Barrier();
  const uint32_t start = port::Ticks();
  Barrier();
  const Status status = runtime::Invoke();
  Barrier();
  *ticks = port::Ticks() - start;
  Barrier();
  return status;
}
