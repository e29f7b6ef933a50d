#pragma once

#include <cstddef>
#include <cstdint>

// Sends text in pieces, since an answer grows with the model's outputs. It has a buffer of its own: the server's keeps
// the last reply for a request that is repeated.
class Text {
 public:
  Text() = default;
  ~Text() { Flush(); }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  void Add(const char* text, size_t size);
  void Add(const char* text);
  void Add(uint64_t value);
  void Add(double value);  // Four decimals.
  void AddHex(uint8_t byte);

 private:
  void Flush();

  uint8_t buffer_[64];
  size_t used_ = 0;
};
