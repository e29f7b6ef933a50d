#include "measure/measure.h"

#include "measure/stamp.h"
#include "port/port.h"
#include "runtime/runtime.h"

namespace {

constexpr int kPairs = 16;
// The coarsest counter in sight steps every millisecond; at 600 MHz that is some 100 000 reads of six cycles.
constexpr uint32_t kMaxReads = 1000000;

uint32_t NextStep() {  // 0 if the counter stands still.
  const uint32_t start = port::Ticks();
  for (uint32_t reads = 0; reads < kMaxReads; ++reads) {
    const uint32_t moved = port::Ticks() - start;
    if (moved != 0) return moved;
  }
  return 0;
}

uint32_t ReadCost() {
  const uint32_t first = Stamp();
  return Stamp() - first;
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

Status TimedInvoke(State* state, uint32_t* ticks) {
  const Status ready = state->BeforeInvoke();
  if (ready != Status::kOk) return ready;
  runtime::Prepare();
  const port::Quiet quiet;
  const uint32_t start = Stamp();
  const Status status = runtime::Invoke();
  *ticks = Stamp() - start;
  return status;
}

uint64_t Microseconds(uint32_t ticks, const Timer& timer) {
  const uint64_t spent = ticks > timer.read_ticks ? ticks - timer.read_ticks : 0u;
  const uint64_t rate = port::TicksPerSecond();
  return (spent * 1000000u + rate / 2) / rate;
}
