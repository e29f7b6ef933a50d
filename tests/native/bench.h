#pragma once

#include <memory>
#include <string>

#include "answer/server.h"

constexpr size_t kMaxPayload = 256;

std::string Unhex(const std::string& text);
std::string Hex(const std::string& bytes);
std::string Sealed(const std::string& payload);

inline uint8_t* Data(std::string& bytes) { return reinterpret_cast<uint8_t*>(bytes.data()); }

// The fake board, booted.
class Bench {
 public:
  // `fill`: what the buffers hold at first, which must not matter.
  explicit Bench(uint8_t fill = 0) : fill_(fill) { Boot(); }

  void Boot();

  // Byte by byte; a reset boots the board in between.
  void Send(const std::string& bytes);

  // At once. A reset takes what came behind it in the same piece with it.
  void SendWhole(const std::string& bytes);

  void Idle() { server_->Idle(); }

  int boots() const { return boots_; }

 private:
  void Feed(const uint8_t* bytes, size_t size);

  uint8_t fill_;
  int boots_ = 0;
  std::unique_ptr<ServerBuffers<kMaxPayload>> buffers_;
  std::unique_ptr<Server> server_;
};
