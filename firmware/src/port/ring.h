#pragma once

#include <cstddef>
#include <cstdint>

namespace port {  // For ports: bytes from the receiver's interrupt to the program.

// Who puts bytes: an interrupt of the CPU that reads, which nothing of the program comes between, or perhaps a task, which
// the reader may run beside or in the middle of.
enum class Producer { kInterrupt, kAny };

// Holds up to kBytes. One producer and one consumer (Read), each with an index of its own. For static storage.
template <size_t kBytes, Producer kProducer = Producer::kInterrupt>
class Ring {
 public:
  // A host that respects max_payload never fills the ring; whatever overflows it fails its CRC.
  void Put(uint8_t byte) {
    const uint32_t head = head_;
    const uint32_t next = Next(head);
    if (next == tail_) return;
    bytes_[head] = byte;
    Fence();
    head_ = next;
  }

  size_t Read(uint8_t* dst, size_t capacity) {
    const uint32_t head = head_;
    Fence();
    uint32_t tail = tail_;
    size_t size = 0;
    while (tail != head && size < capacity) {
      dst[size++] = bytes_[tail];
      tail = Next(tail);
    }
    Fence();
    tail_ = tail;
    return size;
  }

  bool Empty() const { return head_ == tail_; }

 private:
  // A byte is there before the index that says so, and read before its place is given back.
  static void Fence() {
    if (kProducer == Producer::kAny) __atomic_thread_fence(__ATOMIC_ACQ_REL);
  }

  static uint32_t Next(uint32_t index) { return index == kBytes ? 0 : index + 1; }

  volatile uint32_t head_;
  volatile uint32_t tail_;
  uint8_t bytes_[kBytes + 1];  // One stays free, or a full ring would look like an empty one.
};

}  // namespace port
