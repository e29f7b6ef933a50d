#include "wire/ticks.h"

#include "wire/wire.h"

size_t PackTicks(uint8_t* place, size_t count) {
  const uint8_t* raw = place + kTicksHeader;
  uint32_t least = UINT32_MAX;
  uint32_t most = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t ticks = LoadU32(raw + i * kTicks);
    if (ticks < least) least = ticks;
    if (ticks > most) most = ticks;
  }
  const uint32_t span = most - least;
  const size_t width = span == 0 ? 0 : span <= UINT8_MAX ? 1 : span <= UINT16_MAX ? 2 : 4;
  StoreU32(place, least);
  place[4] = static_cast<uint8_t>(width);
  uint8_t* packed = place + kTicksHeader;  // Never ahead of what is still to be read.
  for (size_t i = 0; i < count; ++i) {
    const uint32_t above = LoadU32(raw + i * kTicks) - least;
    for (size_t byte = 0; byte < width; ++byte) *packed++ = static_cast<uint8_t>(above >> (8 * byte));
  }
  return count * (kTicks - width);
}
