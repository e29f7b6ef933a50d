// What a fuzzer's input does to a board, and what must hold whatever it is. corpus.txt holds inputs found so far, in hex.
#include "fuzz.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "bench.h"
#include "fake.h"
#include "wire/sha256.h"

namespace {

constexpr int kMostInvokes = 2000;  // Then one fails, so that "infer 1000000" takes no second.

[[noreturn]] void Fail(const char* what, const std::string& bytes) {
  std::fprintf(stderr, "%s: %s\n", what, Hex(bytes).c_str());
  std::abort();
}

// Takes an input apart: steps of a kind, a length and bytes. Frames and commands are made of them, since no fuzzer guesses
// a CRC.
class Steps {
 public:
  Steps(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  bool done() const { return at_ == end_; }
  uint8_t Byte() { return done() ? uint8_t{0} : *at_++; }
  std::string Bytes() {
    const size_t wanted = Byte();
    const size_t size = std::min(wanted, static_cast<size_t>(end_ - at_));
    const std::string bytes(at_, at_ + size);
    at_ += size;
    return bytes;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

std::string Damaged(std::string frame, uint8_t place, uint8_t bits) {
  frame[place % frame.size()] = static_cast<char>(frame[place % frame.size()] ^ bits);
  return frame;
}

// A model that comes whole, in one piece or two.
std::string Brought(std::string content, uint8_t flags) {
  constexpr size_t kPiece = 200;
  uint8_t digest[kSha256Size];
  Sha256(Data(content), content.size(), digest);
  const std::string zeros(4, '\0');
  std::string frames = Sealed(std::string("\x0a\x0b\x01") + static_cast<char>(content.size()) + zeros.substr(1) +
                              std::string(digest, digest + sizeof digest) + static_cast<char>(flags) + zeros + zeros[0]);
  for (size_t at = 0; at < content.size(); at += kPiece) {
    const std::string head = std::string("\x0b\x0b\x02") + static_cast<char>(at) + zeros.substr(1);
    frames += Sealed(head + content.substr(at, kPiece));
  }
  return frames + Sealed("\x0c\x0b\x03");
}

// The counter moves with every reading, so its times are left out.
std::string WithoutTimes(const std::string& sent) {
  constexpr char kLap[] = "m-lap-us-";
  std::string kept;
  size_t from = 0;
  for (size_t at = sent.find(kLap); at != std::string::npos; at = sent.find(kLap, from)) {
    kept += sent.substr(from, at + sizeof kLap - 1 - from);
    from = sent.find('\n', at);
  }
  return kept + sent.substr(from);
}

void Play(Bench* bench, Steps steps, bool whole) {
  fake::invoke_fails = kMostInvokes;
  while (!steps.done()) {
    std::string bytes;
    const uint8_t kind = steps.Byte();
    switch (kind >= 0xf8 ? 8 : kind % 8) {
      case 0: bytes = steps.Bytes(); break;
      case 1: bytes = Sealed(steps.Bytes()); break;
      case 2: {
        const std::string frame = Sealed(steps.Bytes());
        const uint8_t place = steps.Byte();
        bytes = Damaged(frame, place, steps.Byte());
        break;
      }
      case 3: bytes = steps.Bytes() + "\n"; break;
      case 4: bytes = steps.Bytes() + "%"; break;
      case 5: fake::Wait(8u * steps.Byte()); break;
      case 6: fake::invoke_fails = 1 + steps.Byte(); break;
      case 7: {
        const size_t size = 2u * steps.Byte();
        bytes = std::string(size, static_cast<char>(steps.Byte()));
        break;
      }
      case 8: {
        const std::string content = steps.Bytes();
        bytes = Brought(content, steps.Byte());
        break;
      }
    }
    if (whole) {
      bench->SendWhole(bytes);
    } else {
      bench->Send(bytes);
    }
    if (fake::invoke_fails == 0) fake::invoke_fails = kMostInvokes;
  }
}

// Everything sent is frames that open and lines of printable text.
void CheckSent(const std::string& sent) {
  size_t at = 0;
  while (at < sent.size()) {
    const bool framed = sent[at] == '\0';
    const size_t end = sent.find(framed ? '\0' : '\n', at + 1);
    if (end == std::string::npos) Fail("unfinished", sent);
    std::string piece = sent.substr(at + framed, end - at - framed);
    const bool good = framed ? OpenFrame(Data(piece), piece.size(), kMaxPayload).status == Status::kOk
                             : std::all_of(piece.begin(), piece.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
    if (!good) Fail("malformed", sent);
    at = end + 1;
  }
}

// After 100 ms of silence the board answers a frame, and after that a command.
void CheckAlive(Bench* bench) {
  fake::sent.clear();
  fake::Wait(100);
  bench->Send(std::string(1, '\0') + Sealed(Unhex("630101")) + "name%");
  const size_t end = fake::sent.find('\0', 1);
  std::string frame = fake::sent.substr(1, end - 1);
  const Frame hello = OpenFrame(Data(frame), frame.size(), kMaxPayload);
  if (hello.status != Status::kOk || hello.payload[0] != 0x63 || hello.payload[1] != 0x81) {
    Fail("no answer to HELLO", fake::sent);
  }
  if (fake::sent.substr(end + 1) != "m-name-dut-[fake]\nm-ready\n") Fail("no answer to name", fake::sent);
}

struct Outcome {
  std::string sent;
  bool rebooted;
};

Outcome Run(const uint8_t* data, size_t size, uint8_t fill, bool whole) {
  Steps steps(data, size);
  const uint8_t first = steps.Byte();
  fake::setup_status = first <= static_cast<uint8_t>(Status::kBadSchema) ? static_cast<Status>(first) : Status::kOk;
  fake::steps = 4 * (first >> 4);
  fake::stateful = (first & 8) != 0;
  fake::rates = (first & 4) != 0;
  fake::room = (first & 2) != 0 ? fake::kMostRoom : 0;
  fake::sent.clear();
  Bench bench(fill);
  Play(&bench, steps, whole);
  const bool rebooted = bench.boots() > 1;
  const std::string sent = fake::sent;
  CheckSent(sent);
  CheckAlive(&bench);
  fake::sent.clear();
  return {WithoutTimes(sent), rebooted};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::unique_ptr<uint8_t[]> encoded(new uint8_t[size]);  // Of just that size, so that a read beyond it is seen.
  std::copy(data, data + size, encoded.get());
  (void)OpenFrame(encoded.get(), size, kMaxPayload);
  const Outcome outcome = Run(data, size, 0x00, true);
  // Neither what lies in a buffer beyond a message nor how the bytes came in pieces may show.
  if (Run(data, size, 0xa5, outcome.rebooted).sent != outcome.sent) Fail("not the same again", outcome.sent);
  return 0;
}
