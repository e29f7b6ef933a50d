// Which pin marks windows: the rig file's `window_pin`, numbered as the board's own documents do.
#pragma once

namespace port {

#if defined(HIL_WINDOW_PIN)
constexpr int kWindowPin = HIL_WINDOW_PIN;
#else
constexpr int kWindowPin = -1;
#endif
constexpr bool kHasWindowPin = kWindowPin >= 0;

#if defined(HIL_MLPERF_ENERGY)
constexpr bool kMlperfEnergy = true;
static_assert(kHasWindowPin, "its timestamps are pulses of a pin");
#else
constexpr bool kMlperfEnergy = false;
#endif

}  // namespace port
