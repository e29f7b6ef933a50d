#pragma once

#include <cstddef>
#include <cstdint>

constexpr size_t kTicks = 4;        // Each, not yet packed.
constexpr size_t kTicksHeader = 5;  // least, width

// Packs `count` ticks, raw u32 behind room for the header, where they lie. Returns the bytes that are left over.
size_t PackTicks(uint8_t* place, size_t count);
