#pragma once

namespace app {  // The firmware. A port owns the loop, since on some boards it is not ours to write.

void Setup();  // Once. Also sets up the port.
void Poll();   // Forever after: takes what has arrived, or lets the port sleep.

}  // namespace app
