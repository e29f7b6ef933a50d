#include "answer/server.h"

#include "answer/human.h"
#include "port/port.h"
#include "wire/crc32.h"
#include "wire/ticks.h"

namespace {

constexpr uint8_t kVersion = 1;

enum Op : uint8_t {
  kHello = 0x01,
  kInfer = 0x02,
  kWrite = 0x03,
  kRead = 0x04,
  kRun = 0x05,
  kProfile = 0x06,
  kReset = 0x07,
  kMemory = 0x08,
  kError = 0x7f,
};
constexpr uint8_t kReplyBit = 0x80;

enum Capability : uint16_t { kCanInfer = 1, kCanRun = 2, kCanProfile = 4, kCanReset = 8, kHasMemory = 16 };

constexpr size_t kHeader = 2;  // seq, op
constexpr size_t kInferFixed = kHeader + 2;
constexpr size_t kRunFixed = kHeader + 6;

bool IsKnown(uint8_t op) { return op >= kHello && op <= kMemory; }

bool NeedsModel(uint8_t op) { return op >= kInfer && op <= kProfile; }

void WriteSpecs(Writer& reply, const TensorSpecs& specs) {
  reply.U8(specs.count);
  for (const TensorSpec& spec : specs) {
    reply.U8(spec.dtype);
    reply.U8(spec.rank);
    for (uint8_t axis = 0; axis < spec.rank; ++axis) reply.U32(spec.dims[axis]);
    reply.F32(spec.scale);
    reply.U32(static_cast<uint32_t>(spec.zero_point));
  }
}

// The length of `text` cut to what a str of at most `room` bytes holds, between two characters.
size_t CutUtf8(const char* text, size_t room) {
  const size_t size = strlen(text);
  size_t cut = room < UINT8_MAX ? room : UINT8_MAX;
  if (size <= cut) return size;
  while (cut > 0 && (text[cut] & 0xc0) == 0x80) --cut;
  return cut;
}

// A failing link cannot be reported over itself: the host's time-out is the report.
void Send(const uint8_t* data, size_t size) { (void)port::Write(data, size); }

}  // namespace

void Server::Setup(Status port_status) {
  const uint64_t second = port::TicksPerSecond();
  receiver_.SetLimits(second / 10, second);
  // All steps run, so that HELLO describes as much as there is; the first failure is the one reported.
  const Status timer_status = MeasureTimer(&timer_);
  const Status load_status = runtime::Load();
  setup_ = port_status != Status::kOk ? port_status : timer_status != Status::kOk ? timer_status : load_status;
}

void Server::Feed(const uint8_t* bytes, size_t size) {
  uint64_t now = clock_.Ticks();
  for (size_t i = 0; i < size; ++i) {
    const Receiver::Event event = receiver_.Push(bytes[i], now);
    if (event == Receiver::Event::kNone) continue;
    Answer(event);
    now = clock_.Ticks();  // The host may have gone on sending meanwhile: an answer is no silence of its.
  }
}

void Server::Answer(Receiver::Event event) {
  switch (event) {
    case Receiver::Event::kNone: break;
    case Receiver::Event::kFrame: AnswerFrame(); break;
    case Receiver::Event::kFrameTooLong:
      AnswerFault(Status::kFrameTooLong, static_cast<uint32_t>(max_payload_));
      break;
    case Receiver::Event::kLine: AnswerLine(); break;
    case Receiver::Event::kLineTooLong: human::AnswerTooLong(kMaxLine); break;
    case Receiver::Event::kCommand: AnswerCommand(); break;
    case Receiver::Event::kCommandTooLong: Mlperf::AnswerTooLong(kMaxLine); break;
  }
}

void Server::Idle() { static_cast<void>(clock_.Ticks()); }

void Server::AnswerFrame() {
  const Frame frame = OpenFrame(receiver_.data(), receiver_.size(), max_payload_);
  if (frame.status != Status::kOk) {
    AnswerFault(frame.status, frame.status == Status::kFrameTooLong ? static_cast<uint32_t>(max_payload_) : 0);
    return;
  }
  const uint8_t seq = frame.payload[0];
  const uint8_t op = frame.payload[1];
  const bool repeated = reply_size_ > 0 && seq == request_seq_ && frame.crc == request_crc_;
  if (repeated && op != kHello) {
    Send(tx_, reply_size_);
    return;
  }

  Writer reply(tx_ + PayloadOffset(max_payload_), max_payload_);
  reply.U8(seq);
  reply.U8(op | kReplyBit);
  Reader body(frame.payload + kHeader, frame.size - kHeader);
  Fault fault = Execute(op, body, reply);
  if (fault.status == Status::kOk && !reply.ok()) {
    fault = {Status::kFrameTooLong, static_cast<uint32_t>(max_payload_), ""};
  }
  if (fault.status != Status::kOk) {
    reply.Clear();
    reply.U8(seq);
    reply.U8(kError | kReplyBit);
    reply.U8(static_cast<uint8_t>(fault.status));
    reply.U8(op);
    reply.U32(fault.detail);
    reply.Str(fault.field);
  }
  request_seq_ = seq;
  request_crc_ = frame.crc;
  reply_size_ = SealFrame(tx_, PayloadOffset(max_payload_), reply.size());
  Send(tx_, reply_size_);
  if (op == kReset && fault.status == Status::kOk) port::Reset();
}

// Has a buffer of its own: a spoilt repetition of a request must not cost the reply kept for it.
void Server::AnswerFault(Status status, uint32_t detail) {
  constexpr size_t kPayload = 9;
  uint8_t buffer[TxCapacity(kPayload)];
  Writer reply(buffer + PayloadOffset(kPayload), kPayload);
  reply.U8(0);
  reply.U8(kError | kReplyBit);
  reply.U8(static_cast<uint8_t>(status));
  reply.U8(0);
  reply.U32(detail);
  reply.Str("");
  Send(buffer, SealFrame(buffer, PayloadOffset(kPayload), reply.size()));
}

void Server::AnswerLine() {
  human::Answer(reinterpret_cast<const char*>(receiver_.data()), receiver_.size(), setup_, timer_);
}

void Server::AnswerCommand() {
  mlperf_.Answer(reinterpret_cast<const char*>(receiver_.data()), receiver_.size(), setup_, &clock_);
}

// The counter may turn during a long batch, and every turn must be seen.
Status Server::InvokeOnce(uint32_t* elapsed) {
  const Status status = TimedInvoke(elapsed);
  static_cast<void>(clock_.Ticks());
  return status;
}

Server::Fault Server::Execute(uint8_t op, Reader& body, Writer& reply) {
  if (op == kHello) return Hello(body, reply);
  if (!session_) return {Status::kNoSession, 0, ""};
  if (!IsKnown(op)) return {Status::kUnknownOp, op, ""};
  if (op == kMemory && port::Stack().capacity_bytes == 0) return {Status::kUnsupported, 0, ""};
  if (op == kProfile && !profiler_.able()) return {Status::kUnsupported, 0, ""};
  if (op == kInfer && InferLimit() == 0) return {Status::kUnsupported, 0, ""};
  if (NeedsModel(op) && setup_ != Status::kOk) return {setup_, 0, ""};
  switch (op) {
    case kInfer: return Infer(body, reply);
    case kWrite: return WriteInput(body, reply);
    case kRead: return ReadOutput(body, reply);
    case kRun: return Run(body, reply);
    case kMemory: return Memory(body, reply);
    case kProfile: return Profile(body, reply);
    default: break;
  }
  if (body.left() != 0) return {Status::kBadSize, 0, "body"};  // RESET
  return {};
}

Server::Fault Server::Hello(Reader& body, Writer& reply) {
  if (body.left() != 1) return {Status::kBadSize, 1, "body"};
  if (body.U8() != kVersion) return {Status::kBadVersion, kVersion, "version"};
  const runtime::Description model = runtime::Describe();
  char uid[64];
  const size_t uid_size = port::UniqueId(uid, sizeof uid);

  reply.U8(kVersion);
  reply.U8(static_cast<uint8_t>(setup_));
  reply.U16(Capabilities());
  reply.U16(static_cast<uint16_t>(max_payload_));
  reply.U32(port::TicksPerSecond());
  reply.U32(timer_.step_ticks);
  reply.U32(timer_.read_ticks);
  reply.U32(model.arena_used);
  reply.U32(model.arena_capacity);
  reply.Bytes(model.model_sha256, 32);
  reply.Bytes(model.build_id, 16);
  reply.Str(id_);
  reply.Str(uid, uid_size);
  reply.Str(model.id);
  reply.Str(model.version);
  reply.Str(model.kernels);
  WriteSpecs(reply, model.inputs);
  WriteSpecs(reply, model.outputs);
  reply.Str(model.model_name);
  // What a library says of a failure can be long: the rest of HELLO matters more.
  reply.Str(model.note, CutUtf8(model.note, reply.room() > 0 ? reply.room() - 1 : 0));
  session_ = session_ || reply.ok();
  return {};
}

Server::Fault Server::Infer(Reader& body, Writer& reply) {
  const runtime::InputBuffer input = runtime::Input();
  const size_t limit = InferLimit();
  if (body.left() < 2) return {Status::kBadSize, static_cast<uint32_t>(2 + input.size), "body"};
  const size_t count = body.U16();
  if (count < 1 || count > limit) return {Status::kBadValue, static_cast<uint32_t>(limit), "count"};
  const size_t expected = count * input.size;
  if (body.left() != expected) return {Status::kBadSize, static_cast<uint32_t>(2 + expected), "body"};

  const size_t output_size = runtime::Output().size;
  reply.U16(static_cast<uint16_t>(count));
  uint8_t* outputs = reply.Reserve(count * output_size);
  uint8_t* packed = reply.Reserve(kTicksHeader + count * kTicks);
  if (!reply.ok()) return {};
  uint8_t* ticks = packed + kTicksHeader;
  for (size_t sample = 0; sample < count; ++sample) {
    memcpy(input.data, body.Take(input.size), input.size);
    uint32_t elapsed = 0;
    if (InvokeOnce(&elapsed) != Status::kOk) return {Status::kInvokeFailed, static_cast<uint32_t>(sample), ""};
    memcpy(outputs + sample * output_size, runtime::Output().data, output_size);
    StoreU32(ticks + sample * kTicks, elapsed);
  }
  reply.Drop(PackTicks(packed, count));
  return {};
}

Server::Fault Server::WriteInput(Reader& body, Writer& reply) {
  if (body.left() < 5) return {Status::kBadSize, 5, "body"};
  const uint32_t offset = body.U32();
  const size_t size = body.left();
  const runtime::InputBuffer input = runtime::Input();
  if (size > input.size || offset > input.size - size) {
    return {Status::kBadValue, static_cast<uint32_t>(input.size), "offset"};
  }
  memcpy(input.data + offset, body.Take(size), size);
  reply.U32(static_cast<uint32_t>(offset + size));
  return {};
}

Server::Fault Server::ReadOutput(Reader& body, Writer& reply) {
  if (body.left() != 6) return {Status::kBadSize, 6, "body"};
  const uint32_t offset = body.U32();
  const size_t length = body.U16();
  const size_t limit = max_payload_ - kHeader;
  if (length < 1 || length > limit) return {Status::kBadValue, static_cast<uint32_t>(limit), "length"};
  const runtime::OutputBuffer output = runtime::Output();
  if (length > output.size || offset > output.size - length) {
    return {Status::kBadValue, static_cast<uint32_t>(output.size), "offset"};
  }
  reply.Bytes(output.data + offset, length);
  return {};
}

Server::Fault Server::Run(Reader& body, Writer& reply) {
  if (body.left() != 6) return {Status::kBadSize, 6, "body"};
  const size_t count = body.U16();
  const uint32_t wanted_crc = body.U32();
  const size_t limit = (max_payload_ - kRunFixed - kTicksHeader) / kTicks;
  if (count < 1 || count > limit) return {Status::kBadValue, static_cast<uint32_t>(limit), "count"};
  const runtime::InputBuffer input = runtime::Input();
  const uint32_t input_crc = Crc32(input.data, input.size);
  if (input_crc != wanted_crc) return {Status::kBadInput, input_crc, "input_crc"};

  uint8_t* output_crc = reply.Reserve(4);
  reply.U16(static_cast<uint16_t>(count));
  uint8_t* packed = reply.Reserve(kTicksHeader + count * kTicks);
  if (!reply.ok()) return {};
  uint8_t* ticks = packed + kTicksHeader;
  for (size_t index = 0; index < count; ++index) {
    uint32_t elapsed = 0;
    if (InvokeOnce(&elapsed) != Status::kOk) return {Status::kInvokeFailed, static_cast<uint32_t>(index), ""};
    StoreU32(ticks + index * kTicks, elapsed);
  }
  reply.Drop(PackTicks(packed, count));
  const runtime::OutputBuffer output = runtime::Output();
  StoreU32(output_crc, Crc32(output.data, output.size));
  return {};
}

Server::Fault Server::Memory(Reader& body, Writer& reply) {
  if (body.left() != 0) return {Status::kBadSize, 0, "body"};
  const port::StackUse stack = port::Stack();
  reply.U32(stack.capacity_bytes);
  reply.U32(stack.used_bytes);
  return {};
}

Server::Fault Server::Profile(Reader& body, Writer& reply) {
  const Fault fault = profiler_.Answer(body, reply);
  static_cast<void>(clock_.Ticks());
  return fault;
}

size_t Server::InferLimit() const {
  const runtime::Description model = runtime::Describe();
  const size_t input_size = SizeBytes(model.inputs);
  const size_t requests = (max_payload_ - kInferFixed) / (input_size > 0 ? input_size : 1);
  const size_t replies = (max_payload_ - kInferFixed - kTicksHeader) / (SizeBytes(model.outputs) + kTicks);
  return requests < replies ? requests : replies;
}

uint16_t Server::Capabilities() const {
  const int infer = InferLimit() > 0 ? kCanInfer : 0;
  const int profile = profiler_.able() ? kCanProfile : 0;
  const int memory = port::Stack().capacity_bytes > 0 ? kHasMemory : 0;
  return static_cast<uint16_t>(infer | kCanRun | profile | kCanReset | memory);
}
