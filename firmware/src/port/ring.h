#pragma once

#include <cstddef>
#include <cstdint>

namespace port {  // For ports: bytes from the receiver's interrupt to the program.

// Holds up to kBytes. One producer (the interrupt) and one consumer (Read), each with an index of its own. For static storage.
template <size_t kBytes>
class Ring {
 public:
  // A host that respects max_payload never fills the ring; whatever overflows it fails its CRC.
  void Put(uint8_t byte) {
    const uint32_t head = head_;
    const uint32_t next = Next(head);
    if (next == tail_) return;
    bytes_[head] = byte;
    head_ = next;
  }

  size_t Read(uint8_t* dst, size_t capacity) {
    const uint32_t head = head_;
    uint32_t tail = tail_;
    size_t size = 0;
    while (tail != head && size < capacity) {
      dst[size++] = bytes_[tail];
      tail = Next(tail);
    }
    tail_ = tail;
    return size;
  }

  bool Empty() const { return head_ == tail_; }

 private:
  static uint32_t Next(uint32_t index) { return index == kBytes ? 0 : index + 1; }

  volatile uint32_t head_;
  volatile uint32_t tail_;
  uint8_t bytes_[kBytes + 1];  // One stays free, or a full ring would look like an empty one.
};

}  // namespace port
