#include "answer/mlperf.h"

#include "answer/reals.h"
#include "answer/text.h"
#include "answer/token.h"
#include "port/port.h"
#include "runtime/runtime.h"

namespace {

constexpr char kSpace[] = " ";
constexpr uint32_t kMaxInvokes = 1000000;
constexpr uint32_t kDefaultWarmup = 10;
constexpr uint32_t kPulsesPerSecond = 1000;
constexpr uint32_t kNotANumber = UINT32_MAX;

// kNotANumber for anything but decimal digits, and above ten million, which is more than any limit here.
uint32_t ParseCount(const Token& token) {
  if (token.size == 0) return kNotANumber;
  uint32_t value = 0;
  for (size_t i = 0; i < token.size; ++i) {
    const char digit = token.text[i];
    if (digit < '0' || digit > '9' || value > 1000000) return kNotANumber;
    value = value * 10 + static_cast<uint32_t>(digit - '0');
  }
  return value;
}

int ParseHexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// A timestamp of the energy mode: an instrument sees the pin fall, and rise after a millisecond.
void Pulse() {
  port::Window(false);
  const uint32_t start = port::Ticks();
  while (port::Ticks() - start < port::TicksPerSecond() / kPulsesPerSecond) {
  }
  port::Window(true);
}

uint64_t Timestamp(Clock* clock) {
  if (port::MlperfEnergy()) Pulse();
  return clock->Microseconds();
}

Status InvokeTimes(uint32_t count, Clock* clock, State* state) {
  for (uint32_t i = 0; i < count; ++i) {
    state->Count();
    runtime::Prepare();
    if (runtime::Invoke() != Status::kOk) return Status::kInvokeFailed;
    static_cast<void>(clock->Ticks());
  }
  return Status::kOk;
}

}  // namespace

// The lines of one answer. Its destructor sends the last.
class Mlperf::Reply {
 public:
  ~Reply() { Line("m-ready"); }

  void Line(const char* text) {
    out_.Add(text);
    out_.Add("\n");
  }
  template <typename Value>
  void Line(const char* before, Value value, const char* after = "") {
    out_.Add(before);
    out_.Add(value);
    Line(after);
  }
  void Line(const char* before, const Token& token, const char* after) {
    out_.Add(before);
    out_.Add(token.text, token.size);
    Line(after);
  }

  void Profile(const char* model) {
    Line("m-profile-[ULPMark for tinyML Firmware V0.0.1]");
    Line("m-model-[", model, "]");
    if (port::MlperfEnergy()) Line("m-timestamp-mode-energy");
  }

  // In the energy mode nothing is said: the pulse is the timestamp.
  void Lap(uint64_t us) {
    if (!port::MlperfEnergy()) Line("m-lap-us-", us);
  }

  void Help() {
    Line("name                 this board");
    Line("profile              the benchmark and the model");
    Line("timestamp            microseconds since power came on");
    Line("db load N            announce the N bytes of an input, as the model's tensors hold them");
    Line("db HEX               some of them");
    Line("db print             the input");
    Line("infer [N=1 [W=10]]   N timed invokes after W others");
    Line("results              the last output");
  }

  void Results() {
    out_.Add("m-results-[");
    AddOutputs(runtime::Describe().outputs, &out_);
    Line("]");
  }

  void Print(const runtime::InputBuffer& input) {
    constexpr size_t kPerLine = 8;
    for (size_t i = 0; i < input.size; ++i) {
      out_.Add(i % kPerLine == 0 ? "m-buffer-" : "-");
      out_.AddHex(input.data[i]);
      if (i % kPerLine == kPerLine - 1 || i == input.size - 1) Line("");
    }
  }

 private:
  Text out_;
};

void Mlperf::Answer(const char* command, size_t size, Status setup, Clock* clock, State* state) {
  Reply reply;
  Execute(command, command + size, setup, clock, state, &reply);
}

void Mlperf::AnswerTooLong(size_t limit) {
  Reply reply;
  reply.Line("e-[Command too long: limit ", uint64_t{limit}, "]");
}

void Mlperf::Execute(const char* command, const char* end, Status setup, Clock* clock, State* state, Reply* reply) {
  const char* at = command;
  const Token verb = NextToken(&at, end, kSpace);
  const bool measures = verb == "timestamp" || verb == "db" || verb == "infer" || verb == "results";
  if (verb.size == 0) return;
  if (measures && setup != Status::kOk) return reply->Line("e-[", StatusName(setup), "]");

  if (verb == "name") return reply->Line("m-name-dut-[", board_, "]");
  if (verb == "profile") return reply->Profile(runtime::Describe().model_name);
  if (verb == "help") return reply->Help();
  if (verb == "timestamp") return reply->Lap(Timestamp(clock));
  if (verb == "db") return Buffer(at, end, reply);
  if (verb == "infer") return Infer(at, end, clock, state, reply);
  if (verb == "results") return reply->Results();
  reply->Line("e-[Unknown command: ", verb, "]");
}

void Mlperf::Buffer(const char* at, const char* end, Reply* reply) {
  const Token verb = NextToken(&at, end, kSpace);
  if (verb.size == 0) return reply->Line("e-[Command 'db' requires a subcommand]");
  if (verb == "load") return Load(at, end, reply);
  if (verb == "print") return reply->Print(runtime::Input());
  Take(verb.text, verb.size, reply);
}

void Mlperf::Load(const char* at, const char* end, Reply* reply) {
  const Token size = NextToken(&at, end, kSpace);
  if (size.size == 0) return reply->Line("e-[Command 'db load' requires the # of bytes]");
  const size_t needed = runtime::Input().size;
  if (ParseCount(size) != needed) return reply->Line("e-[The input's bytes are ", uint64_t{needed}, "]");
  missing_ = needed;
  reply->Line("m-[Expecting ", uint64_t{needed}, " bytes]");
}

// All of the digits or none: a damaged command leaves the input as it was.
void Mlperf::Take(const char* digits, size_t size, Reply* reply) {
  if (size % 2 != 0) return reply->Line("e-[Insufficent number of hex digits]");  // Spelt as in the runner's reference.
  for (size_t i = 0; i < size; ++i) {
    if (ParseHexDigit(digits[i]) < 0) return reply->Line("e-[Invalid hex digit '", Token{digits + i, 1}, "']");
  }
  if (size / 2 > missing_) return reply->Line("e-[Bytes expected: ", uint64_t{missing_}, "]");
  const runtime::InputBuffer input = runtime::Input();
  uint8_t* dst = input.data + (input.size - missing_);
  for (size_t i = 0; i < size; i += 2) {
    *dst++ = static_cast<uint8_t>(ParseHexDigit(digits[i]) << 4 | ParseHexDigit(digits[i + 1]));
  }
  missing_ -= size / 2;
  if (missing_ == 0) reply->Line("m-load-done");
}

void Mlperf::Infer(const char* at, const char* end, Clock* clock, State* state, Reply* reply) {
  const Token counted = NextToken(&at, end, kSpace);
  const Token warming = NextToken(&at, end, kSpace);
  const uint32_t count = counted.size == 0 ? 1 : ParseCount(counted);
  const uint32_t warmup = warming.size == 0 ? kDefaultWarmup : ParseCount(warming);
  if (count < 1 || count > kMaxInvokes) {
    return reply->Line("e-[Inference iterations must be 1 to ", uint64_t{kMaxInvokes}, "]");
  }
  if (warmup > kMaxInvokes) return reply->Line("e-[Inference warmup must be 0 to ", uint64_t{kMaxInvokes}, "]");
  if (missing_ > 0) return reply->Line("e-[The input lacks bytes: ", uint64_t{missing_}, "]");

  // Nothing is sent before both timestamps are taken: a port that is still sending would slow down the invokes.
  // A model's state is reset before each of the two: a result depends neither on the warm-up nor on what was asked before.
  Status status = state->Reset();
  if (status == Status::kOk) status = InvokeTimes(warmup, clock, state);
  if (status == Status::kOk) status = state->Reset();
  const uint64_t start = Timestamp(clock);
  if (status == Status::kOk) status = InvokeTimes(count, clock, state);
  const uint64_t stop = Timestamp(clock);
  if (status != Status::kOk) return reply->Line("e-[", StatusName(status), "]");
  reply->Line("m-warmup-start-", uint64_t{warmup});
  reply->Line("m-warmup-done");
  reply->Line("m-infer-start-", uint64_t{count});
  reply->Lap(start);
  reply->Lap(stop);
  reply->Line("m-infer-done");
  reply->Results();
}
