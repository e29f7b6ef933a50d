// Usage: native_test frames FILE | dialogues FILE | garbage | clock | text | replay FILE | streams
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <string>

#include "bench.h"
#include "fake.h"
#include "format.h"
#include "fuzz.h"
#include "port/port.h"

namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

std::string Quoted(const std::string& rest) {
  const size_t first = rest.find('"');
  const size_t last = rest.rfind('"');
  if (first == last) Fail("no quoted text in: " + rest);
  return rest.substr(first + 1, last - first - 1);
}

// Takes what is expected off the front of what the board sent.
void Expect(const std::string& wanted, const std::string& where) {
  if (fake::sent.compare(0, wanted.size(), wanted) != 0) {
    Fail(where + "\n  sent:   " + Hex(fake::sent) + "\n  wanted: " + Hex(wanted));
  }
  fake::sent.erase(0, wanted.size());
}

void ExpectLine(const std::string& wanted, const std::string& where) {
  const size_t end = fake::sent.find('\n');
  const std::string line = fake::sent.substr(0, end);
  const bool open = wanted.size() > 3 && wanted.compare(wanted.size() - 3, 3, "...") == 0;
  const bool same = open ? line.compare(0, wanted.size() - 3, wanted, 0, wanted.size() - 3) == 0 : line == wanted;
  if (end == std::string::npos || !same) Fail(where + "\n  sent: " + fake::sent);
  fake::sent.erase(0, end + 1);
}

void Step(Bench* bench, const std::string& line, const std::string& where) {
  std::istringstream words(line);
  std::string verb;
  std::string rest;
  words >> verb;
  std::getline(words >> std::ws, rest);
  const bool text = rest.compare(0, 4, "text") == 0;
  const bool command = rest.compare(0, 7, "command") == 0;
  const bool receives = verb == "<" || verb == "<<";
  if (!receives && !fake::sent.empty()) Fail(where + "\n  not expected: " + Hex(fake::sent));
  if (verb == "==") {
    fake::steps = 0;
    fake::stateful = false;
    fake::echo = false;
    fake::rates = false;
    fake::marks = false;
    fake::energy = false;
    fake::windows.clear();
    fake::room = 0;
    *bench = Bench();
  } else if (verb == ">") {
    bench->Send(command ? Quoted(rest) + "%" : text ? Quoted(rest) + "\n" : Sealed(Unhex(rest)));
  } else if (verb == ">>") {
    bench->Send(Unhex(rest));
  } else if (verb == "<" && rest == "-") {
    if (!fake::sent.empty()) Fail(where + "\n  not silent: " + Hex(fake::sent));
  } else if (verb == "<" && text) {
    ExpectLine(Quoted(rest), where);
  } else if (verb == "<") {
    Expect(Sealed(Unhex(rest)), where);
  } else if (verb == "<<") {
    Expect(Unhex(rest), where);
  } else if (verb == "wait") {
    fake::Wait(static_cast<uint32_t>(std::stoul(rest)));
  } else if (verb == "baud") {
    bench->Idle();
    if (port::Baud() != std::stoul(rest)) Fail(where + "\n  baud: " + std::to_string(port::Baud()));
  } else if (verb == "windows") {
    if (fake::windows != rest) Fail(where + "\n  windows: " + fake::windows);
    fake::windows.clear();
  } else if (verb == "boot") {
    bench->Boot();
  } else if (verb == "set" && rest.compare(0, 13, "setup_status ") == 0) {
    fake::setup_status = static_cast<Status>(std::stoi(rest.substr(13)));
  } else if (verb == "set" && rest == "echo 1") {
    fake::echo = true;
    bench->Boot();
  } else if (verb == "set" && rest.compare(0, 13, "invoke_fails ") == 0) {
    fake::invoke_fails = std::stoi(rest.substr(13));
  } else if (verb == "set" && rest.compare(0, 12, "extra_ticks ") == 0) {
    fake::extra_ticks = static_cast<uint32_t>(std::stoul(rest.substr(12)));
    fake::invokes = 0;
  } else if (verb == "set" && rest.compare(0, 12, "stack_bytes ") == 0) {
    fake::stack_bytes = static_cast<uint32_t>(std::stoul(rest.substr(12)));
  } else if (verb == "set" && rest.compare(0, 6, "steps ") == 0) {
    fake::steps = static_cast<uint32_t>(std::stoul(rest.substr(6)));
  } else if (verb == "set" && rest.compare(0, 6, "rates ") == 0) {
    fake::rates = rest.substr(6) == "1";
  } else if (verb == "set" && rest.compare(0, 7, "energy ") == 0) {
    fake::energy = rest.substr(7) == "1";
  } else if (verb == "set" && rest.compare(0, 6, "marks ") == 0) {
    fake::marks = rest.substr(6) == "1";
  } else if (verb == "set" && rest.compare(0, 5, "room ") == 0) {
    fake::room = static_cast<uint32_t>(std::stoul(rest.substr(5)));
  } else if (verb == "set" && rest.compare(0, 9, "stateful ") == 0) {
    fake::stateful = rest.substr(9) == "1";
  } else if (verb == "set" && rest.compare(0, 12, "reset_fails ") == 0) {
    fake::reset_fails = std::stoi(rest.substr(12));
  } else if (verb == "set" && rest.compare(0, 5, "note ") == 0) {
    fake::note = Quoted(rest);
  } else {
    Fail(where + "\n  unknown step");
  }
}

template <typename Function>
void EachLine(const char* path, Function function) {
  std::ifstream file(path);
  if (!file) Fail(std::string("cannot read ") + path);
  std::string line;
  int count = 0;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    ++count;
    function(line, std::string(path) + ":" + std::to_string(number) + ": " + line);
  }
  if (count == 0) Fail(std::string("nothing in ") + path);
}

void TestFrames(const char* path) {
  EachLine(path, [](const std::string& line, const std::string& where) {
    const size_t first = line.find(" | ");
    const size_t second = line.find(" | ", first + 3);
    if (second == std::string::npos) Fail(where);
    const std::string payload = Unhex(line.substr(first + 3, second - first - 3));
    const std::string wire = Unhex(line.substr(second + 3));
    if (Sealed(payload) != wire) Fail(where + "\n  sealed: " + Hex(Sealed(payload)));
    std::string encoded = wire.substr(1, wire.size() - 2);
    const Frame frame = OpenFrame(Data(encoded), encoded.size(), payload.size());
    const bool same = frame.status == Status::kOk && frame.size == payload.size() &&
                      encoded.compare(0, frame.size, payload) == 0;
    if (!same) Fail(where + "\n  opened differently");
  });
}

void TestDialogues(const char* path) {
  Bench bench;
  EachLine(path, [&](const std::string& line, const std::string& where) { Step(&bench, line, where); });
  if (!fake::sent.empty()) Fail("not expected at the end: " + Hex(fake::sent));
}

// Random bytes, every fourth piece a valid frame with a random body, so that the ops are reached too.
void TestGarbage() {
  std::mt19937 random(20261121);
  fake::steps = fake::kMostSteps;
  fake::stateful = true;
  fake::rates = true;
  fake::room = fake::kMostRoom;
  Bench bench;
  for (size_t sent = 0; sent < 1000000;) {
    std::string piece(1 + random() % 300, '\0');
    for (char& byte : piece) byte = static_cast<char>(random());
    if (random() % 4 == 0) {
      piece[0] = static_cast<char>(random());
      if (piece.size() > 1) piece[1] = static_cast<char>(random() % 13);
      if (piece.size() > 5 && random() % 2 == 0) piece[3] = piece[4] = piece[5] = 0;
      piece = Sealed(piece);
    }
    bench.Send(piece);
    if (random() % 16 == 0) fake::Wait(random() % 200);
    sent += piece.size();
  }
  fake::sent.clear();
  fake::Wait(100);
  bench.Send(std::string(1, '\0') + Sealed(Unhex("010101")));
  const size_t start = fake::sent.rfind('\0', fake::sent.size() - 2);
  std::string encoded = fake::sent.substr(start + 1, fake::sent.size() - start - 2);
  const Frame frame = OpenFrame(Data(encoded), encoded.size(), kMaxPayload);
  if (frame.status != Status::kOk || frame.payload[1] != 0x81) Fail("no answer to HELLO: " + Hex(fake::sent));
}

// A board that is asked after every 30 minutes of silence, past the end of 32 bits of microseconds and of ticks.
void TestClock() {
  constexpr uint64_t kSilenceMs = 30 * 60 * 1000;
  Bench bench;
  uint64_t last = 0;
  for (uint64_t waits = 0; waits < 10; ++waits) {
    bench.Send("timestamp%");
    const uint64_t now = std::stoull(fake::sent.substr(9));
    if (fake::sent != "m-lap-us-" + std::to_string(now) + "\nm-ready\n") Fail("not a timestamp: " + fake::sent);
    const uint64_t passed = now - last;
    // The fake counter adds a few microseconds for its readings.
    if (waits > 0 && (passed < kSilenceMs * 1000 || passed > kSilenceMs * 1000 + 1000)) {
      Fail("after " + std::to_string(waits) + " waits the board's time is " + std::to_string(now));
    }
    last = now;
    fake::sent.clear();
    fake::Wait(kSilenceMs);
  }
}

// Of each capacity: as much as fits is there, and all of it is counted.
void TestText() {
  const std::string whole = "a 18446744073709551615 0000000f 0";
  for (size_t capacity = 0; capacity < whole.size() + 3; ++capacity) {
    const std::unique_ptr<char[]> buffer(new char[capacity]);  // Of just that size, so that a write beyond it is seen.
    TextBuffer text(buffer.get(), capacity);
    text.Add('a').Add(" ").AddNumber(UINT64_MAX).Add(" ").AddHex(15, 8).Add(" ").AddNumber(0);
    if (text.size() != whole.size()) Fail("counted " + std::to_string(text.size()));
    if (capacity > 0 && buffer.get() != whole.substr(0, capacity - 1)) Fail(buffer.get());
  }
}

void Replay(const char* path) {
  EachLine(path, [](const std::string& line, const std::string&) {
    std::string input = Unhex(line);
    LLVMFuzzerTestOneInput(Data(input), input.size());
  });
}

// Each line of standard input is a life of a board: hex to send, wN to wait N ms, sN for a model of N steps, m for one with state (memory),
// f for faster rates, rN for room for a model of N bytes. Answers with what it sent, in hex.
void Streams() {
  std::string line;
  while (std::getline(std::cin, line)) {
    fake::sent.clear();
    fake::steps = 0;
    fake::stateful = false;
    fake::rates = false;
    fake::room = 0;
    Bench bench;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (word[0] == 'w') {
        fake::Wait(static_cast<uint32_t>(std::stoul(word.substr(1))));
      } else if (word[0] == 's') {
        fake::steps = static_cast<uint32_t>(std::stoul(word.substr(1)));
      } else if (word == "m") {
        fake::stateful = true;
      } else if (word == "f") {
        fake::rates = true;
      } else if (word[0] == 'r') {
        fake::room = static_cast<uint32_t>(std::stoul(word.substr(1)));
      } else {
        bench.Send(Unhex(word));
      }
    }
    std::printf("%s\n", Hex(fake::sent).c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "frames" && argc == 3) {
    TestFrames(argv[2]);
  } else if (what == "dialogues" && argc == 3) {
    TestDialogues(argv[2]);
  } else if (what == "garbage") {
    TestGarbage();
  } else if (what == "clock") {
    TestClock();
  } else if (what == "text") {
    TestText();
  } else if (what == "replay" && argc == 3) {
    Replay(argv[2]);
  } else if (what == "streams") {
    Streams();
  } else {
    Fail("usage: native_test frames FILE | dialogues FILE | garbage | clock | text | replay FILE | streams");
  }
}
