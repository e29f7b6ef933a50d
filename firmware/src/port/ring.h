#pragma once

#include <cstddef>
#include <cstdint>

namespace port {  // For ports: bytes from the receiver's interrupt to the program.

// The least size of a ring that holds so many bytes.
constexpr uint32_t RingSize(size_t bytes) {
  uint32_t size = 1;
  while (size < bytes) size *= 2;
  return size;
}

// One producer (the interrupt) and one consumer (Read), each with an index of its own that only grows. For static storage.
template <uint32_t kSize>
class Ring {
  static_assert(kSize > 0 && (kSize & (kSize - 1)) == 0, "indices wrap by masking");

 public:
  // A host that respects max_payload never fills the ring; whatever overflows it fails its CRC.
  void Put(uint8_t byte) {
    const uint32_t head = head_;
    if (head - tail_ >= kSize) return;
    bytes_[head & (kSize - 1)] = byte;
    head_ = head + 1;
  }

  size_t Read(uint8_t* dst, size_t capacity) {
    const uint32_t head = head_;
    uint32_t tail = tail_;
    size_t size = 0;
    while (tail != head && size < capacity) dst[size++] = bytes_[tail++ & (kSize - 1)];
    tail_ = tail;
    return size;
  }

  bool Empty() const { return head_ == tail_; }

 private:
  volatile uint32_t head_;
  volatile uint32_t tail_;
  uint8_t bytes_[kSize];
};

}  // namespace port
