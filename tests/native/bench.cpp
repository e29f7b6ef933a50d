#include "bench.h"

#include <cstdio>
#include <cstring>

#include "fake.h"
#include "port/port.h"

std::string Unhex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string Hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) {
    text += "0123456789abcdef"[static_cast<unsigned char>(byte) >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string Sealed(const std::string& payload) {
  const size_t offset = PayloadOffset(payload.size());
  std::string buffer(TxCapacity(payload.size()), '\0');
  buffer.replace(offset, payload.size(), payload);
  const size_t size = SealFrame(Data(buffer), offset, payload.size());
  return buffer.substr(0, size);
}

void Bench::Boot() {
  ++boots_;
  fake::Boot();
  buffers_ = std::make_unique<ServerBuffers<kMaxPayload>>();
  memset(buffers_.get(), fill_, sizeof *buffers_);
  server_ = std::make_unique<Server>("fake", buffers_.get());
  server_->Setup(port::Setup());
  fake::setup_status = Status::kOk;
}

void Bench::Send(const std::string& bytes) {
  for (const char byte : bytes) {
    const uint8_t value = static_cast<uint8_t>(byte);
    Feed(&value, 1);
  }
}

void Bench::SendWhole(const std::string& bytes) {
  // A copy on the heap, so that the sanitizer sees a read beyond its end.
  const std::unique_ptr<uint8_t[]> copy(new uint8_t[bytes.size()]);
  memcpy(copy.get(), bytes.data(), bytes.size());
  Feed(copy.get(), bytes.size());
}

void Bench::Feed(const uint8_t* bytes, size_t size) {
  try {
    server_->Feed(bytes, size);
  } catch (const fake::Reset&) {
    Boot();
  }
}
