#pragma once

#include <cstddef>

#include "wire/frame.h"

namespace app {  // What a port knows of the firmware. It owns the loop, since on some boards that is not ours to write.

// The most that arrives before the firmware has read: a host sends one frame, then waits for the reply.
// HIL_MAX_PAYLOAD is `max_payload` in the JSON of a board without a core of others, else it comes from the board's env in
// platformio.ini, as HIL_BOARD does.
constexpr size_t kLargestBurst = EncodedSize(HIL_MAX_PAYLOAD) + 2;

void Setup();  // Once. Also sets up the port.
void Poll();   // Forever after: takes what has arrived, or lets the port sleep.

}  // namespace app
