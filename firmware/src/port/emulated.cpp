// What ports of emulated boards share: QEMU moves bytes at its own pace, and its chips have no number of their own.
#include "port/port.h"
#include "port/window_pin.h"

namespace port {

Bauds FasterBauds() { return {nullptr, 0}; }

uint32_t Baud() { return kBaseBaud; }

void SetBaud(uint32_t) {}

size_t UniqueId(char*, size_t) { return 0; }

static_assert(!kMlperfEnergy, "nobody measures an emulated board's current");

bool MlperfEnergy() { return false; }

}  // namespace port
