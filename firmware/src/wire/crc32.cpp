#include "wire/crc32.h"

namespace {

struct Table {
  uint32_t entry[256];

  constexpr Table() : entry() {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t value = byte;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1u) != 0 ? 0xedb88320u : 0u);
      entry[byte] = value;
    }
  }
};

constexpr Table kTable;

}  // namespace

uint32_t Crc32(const uint8_t* data, size_t size) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; ++i) crc = (crc >> 8) ^ kTable.entry[(crc ^ data[i]) & 0xffu];
  return ~crc;
}
