#include "answer/operations.h"

#include "port/port.h"
#include "wire/crc32.h"
#include "wire/ticks.h"

namespace {

constexpr uint8_t kVersion = 1;

enum Capability : uint16_t {
  kCanInfer = 1,
  kCanRun = 2,
  kCanProfile = 4,
  kCanReset = 8,
  kHasMemory = 16,
  kHasState = 32,
  kHasSpeed = 64,
  kCanSwap = 128,
  kMarksWindows = 256,
};

enum Mode : uint8_t { kKeep = 0, kResetBeforeEach = 1 };

constexpr size_t kInferFixed = kHeader + 2;
constexpr size_t kRunFixed = kHeader + 6;
constexpr size_t kRunBody = 6;
constexpr size_t kLongRunBody = kRunBody + 4;
constexpr size_t kLongRunTail = 16;
constexpr uint32_t kMostMore = 1000000;

bool IsKnown(uint8_t op) { return op >= kHello && op <= kSpeed; }

#ifdef HIL_SWAP
enum LoadStep : uint8_t { kOperators = 0, kBegin = 1, kPiece = 2, kCommit = 3 };
#endif

bool NeedsModel(uint8_t op) { return (op >= kInfer && op <= kProfile) || op == kState; }

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

void WriteU64(Writer& reply, uint64_t value) {
  reply.U32(static_cast<uint32_t>(value));
  reply.U32(static_cast<uint32_t>(value >> 32));
}

// The length of `text` cut to what a str of at most `room` bytes holds, between two characters.
size_t CutUtf8(const char* text, size_t room) {
  const size_t size = strlen(text);
  size_t cut = room < UINT8_MAX ? room : UINT8_MAX;
  if (size <= cut) return size;
  while (cut > 0 && (text[cut] & 0xc0) == 0x80) --cut;
  return cut;
}

}  // namespace

void Operations::Setup(Status port_status) {
  // All steps run, so that HELLO describes as much as there is; the first failure is the one reported.
  const Status timer_status = MeasureTimer(&timer_);
  const Status load_status = runtime::Load();
  setup_ = port_status != Status::kOk ? port_status : timer_status != Status::kOk ? timer_status : load_status;
#ifdef HIL_SWAP
  base_ = port_status != Status::kOk ? port_status : timer_status;
#endif
}

// The counter may wrap during a long batch, and the clock must see every wrap.
Status Operations::InvokeOnce(uint32_t* elapsed) {
  const Status status = TimedInvoke(&state_, elapsed);
  static_cast<void>(clock_.Ticks());
  return status;
}

Fault Operations::Execute(uint8_t op, Reader& body, Writer& reply) {
  if (op == kHello) return Hello(body, reply);
  if (!session_) return {Status::kNoSession, 0, ""};
#ifdef HIL_SWAP
  if (op == kLoad && loading_.able()) return Load(body, reply);
#endif
  if (!IsKnown(op)) return {Status::kUnknownOp, op, ""};
  if (op == kMemory && port::Stack().capacity_bytes == 0) return {Status::kUnsupported, 0, ""};
  if (op == kProfile && !profiler_.able()) return {Status::kUnsupported, 0, ""};
  if (op == kState && !runtime::Describe().stateful) return {Status::kUnsupported, 0, ""};
  if (op == kSpeed && port::FasterBauds().count == 0) return {Status::kUnsupported, 0, ""};
  if (op == kInfer && InferLimit() == 0) return {Status::kUnsupported, 0, ""};
  if (NeedsModel(op) && setup_ != Status::kOk) return {setup_, 0, ""};
  switch (op) {
    case kInfer: return Infer(body, reply);
    case kWrite: return WriteInput(body, reply);
    case kRead: return ReadOutput(body, reply);
    case kRun: return Run(body, reply);
    case kMemory: return Memory(body, reply);
    case kProfile: return Profile(body, reply);
    case kState: return SetState(body, reply);
    case kSpeed: return Speed(body, reply);
    default: break;
  }
  if (body.left() != 0) return {Status::kBadSize, 0, "body"};  // RESET
  return {};
}

Fault Operations::Hello(Reader& body, Writer& reply) {
  if (body.left() != 1) return {Status::kBadSize, 1, "body"};
  if (body.U8() != kVersion) return {Status::kBadVersion, kVersion, "version"};
  DescribeBoard(reply);
  session_ = session_ || reply.ok();
  return {};
}

void Operations::DescribeBoard(Writer& reply) const {
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
  const port::Bauds faster = port::FasterBauds();
  if (faster.count > 0) reply.U8(faster.count);
  for (uint8_t i = 0; i < faster.count; ++i) reply.U32(faster.bauds[i]);
#ifdef HIL_SWAP
  if (loading_.able()) loading_.Describe(reply);
#endif
  // What a library says of a failure can be long: the rest of HELLO matters more.
  reply.Str(model.note, CutUtf8(model.note, reply.room() > 0 ? reply.room() - 1 : 0));
}

Fault Operations::Infer(Reader& body, Writer& reply) {
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

Fault Operations::WriteInput(Reader& body, Writer& reply) {
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

Fault Operations::ReadOutput(Reader& body, Writer& reply) {
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

Fault Operations::Run(Reader& body, Writer& reply) {
  const bool longer = body.left() == kLongRunBody;
  if (body.left() != kRunBody && !longer) return {Status::kBadSize, kRunBody, "body"};
  const size_t count = body.U16();
  const uint32_t wanted_crc = body.U32();
  const uint32_t more = longer ? body.U32() : 0;
  const size_t limit = (max_payload_ - kRunFixed - kTicksHeader - (longer ? kLongRunTail : 0)) / kTicks;
  if (count < 1 || count > limit) return {Status::kBadValue, static_cast<uint32_t>(limit), "count"};
  if (more > kMostMore) return {Status::kBadValue, kMostMore, "more"};
  const runtime::InputBuffer input = runtime::Input();
  const uint32_t input_crc = Crc32(input.data, input.size);
  if (input_crc != wanted_crc) return {Status::kBadInput, input_crc, "input_crc"};

  uint8_t* output_crc = reply.Reserve(4);
  reply.U16(static_cast<uint16_t>(count));
  uint8_t* packed = reply.Reserve(kTicksHeader + count * kTicks);
  if (!reply.ok()) return {};
  uint64_t more_ticks = 0;
  const uint64_t start = clock_.Ticks();
  const Fault fault = Window(packed + kTicksHeader, count, more, &more_ticks);
  const uint64_t window_ticks = clock_.Ticks() - start;
  if (fault.status != Status::kOk) return fault;
  reply.Drop(PackTicks(packed, count));
  if (longer) {
    WriteU64(reply, more_ticks);
    WriteU64(reply, window_ticks);
  }
  const runtime::OutputBuffer output = runtime::Output();
  StoreU32(output_crc, Crc32(output.data, output.size));
  return {};
}

// The pin changes outside of what is timed, and nothing else happens while it is high.
Fault Operations::Window(uint8_t* ticks, size_t count, uint32_t more, uint64_t* more_ticks) {
  const bool marks = port::MarksWindows();
  if (marks) port::Window(true);
  Status status = Status::kOk;
  uint32_t index = 0;
  for (; index < count + more; ++index) {
    uint32_t elapsed = 0;
    status = InvokeOnce(&elapsed);
    if (status != Status::kOk) break;
    if (index < count) {
      StoreU32(ticks + index * kTicks, elapsed);
    } else {
      *more_ticks += elapsed;
    }
  }
  if (marks) port::Window(false);
  if (status != Status::kOk) return {Status::kInvokeFailed, index, ""};
  return {};
}

Fault Operations::Memory(Reader& body, Writer& reply) {
  if (body.left() != 0) return {Status::kBadSize, 0, "body"};
  const port::StackUse stack = port::Stack();
  reply.U32(stack.capacity_bytes);
  reply.U32(stack.used_bytes);
  return {};
}

Fault Operations::Profile(Reader& body, Writer& reply) {
  const Fault fault = profiler_.Answer(body, reply, &state_);
  static_cast<void>(clock_.Ticks());
  return fault;
}

Fault Operations::SetState(Reader& body, Writer& reply) {
  if (body.left() != 1) return {Status::kBadSize, 1, "body"};
  const uint8_t mode = body.U8();
  if (mode > kResetBeforeEach) return {Status::kBadValue, kResetBeforeEach, "mode"};
  reply.U32(state_.invokes());
  if (state_.Reset() != Status::kOk) return {Status::kInvokeFailed, 0, ""};
  state_.ResetBeforeEach(mode == kResetBeforeEach);
  return {};
}

Fault Operations::Speed(Reader& body, Writer& reply) {
  if (body.left() != 4) return {Status::kBadSize, 4, "body"};
  const uint32_t baud = body.U32();
  const port::Bauds faster = port::FasterBauds();
  bool known = baud == port::kBaseBaud;
  for (uint8_t i = 0; i < faster.count; ++i) known = known || baud == faster.bauds[i];
  if (!known) return {Status::kBadValue, faster.bauds[0], "baud"};
  reply.U32(baud);
  reply.U32(port::Baud());
  asked_baud_ = baud;
  return {};
}

#ifdef HIL_SWAP

Fault Operations::Load(Reader& body, Writer& reply) {
  if (body.left() < 1) return {Status::kBadSize, 1, "body"};
  const uint8_t what = body.U8();
  if (what > kCommit) return {Status::kBadValue, kCommit, "what"};
  if (what == kOperators) return loading_.Operators(body, reply);
  if (what == kPiece) return loading_.Piece(body, reply);
  if (what == kCommit) return Commit(body, reply);
  const Fault fault = loading_.Begin(body, reply);
  // Its place in RAM is written over from now on.
  if (fault.status == Status::kOk && loading_.runs()) Begun(runtime::Load(), false);
  return fault;
}

// The model that came, or else the one that is linked in: the board answers either way.
Fault Operations::Commit(Reader& body, Writer& reply) {
  if (body.left() != 0) return {Status::kBadSize, 1, "body"};
  Status status = loading_.End();
  const char* note = loading_.note();
  runtime::Description said = runtime::Describe();
  const bool whole = status == Status::kOk;
  if (whole) {
    status = runtime::Swap(loading_.model());
    said = runtime::Describe();
    note = said.note;
    loading_.SetRuns(true);
    Writer hello = reply;
    if (status == Status::kOk) DescribeBoard(hello);
    if (!hello.ok()) {
      status = Status::kBadModel;
      note = "its inputs and outputs are too many for HELLO";
    }
  }
  reply.U8(static_cast<uint8_t>(status));
  reply.U32(said.arena_used);
  reply.U32(said.arena_capacity);
  reply.Str(note, CutUtf8(note, reply.room() - 1));
  if (whole) Begun(status == Status::kOk ? status : runtime::Load(), status == Status::kOk);
  return {};
}

// A model begins as after boot.
void Operations::Begun(Status load_status, bool brought) {
  loading_.SetRuns(brought);
  setup_ = base_ != Status::kOk ? base_ : load_status;
  state_ = State();
  profiler_ = Profiler();
  const runtime::InputBuffer input = runtime::Input();
  memset(input.data, 0, input.size);
}

#endif

size_t Operations::InferLimit() const {
  const runtime::Description model = runtime::Describe();
  const size_t input_size = SizeBytes(model.inputs);
  const size_t requests = (max_payload_ - kInferFixed) / (input_size > 0 ? input_size : 1);
  const size_t replies = (max_payload_ - kInferFixed - kTicksHeader) / (SizeBytes(model.outputs) + kTicks);
  return requests < replies ? requests : replies;
}

uint16_t Operations::Capabilities() const {
  const int infer = InferLimit() > 0 ? kCanInfer : 0;
  const int profile = profiler_.able() ? kCanProfile : 0;
  const int memory = port::Stack().capacity_bytes > 0 ? kHasMemory : 0;
  const int state = runtime::Describe().stateful ? kHasState : 0;
  const int speed = port::FasterBauds().count > 0 ? kHasSpeed : 0;
  const int windows = port::MarksWindows() ? kMarksWindows : 0;
  int swap = 0;
#ifdef HIL_SWAP
  swap = loading_.able() ? kCanSwap : 0;
#endif
  return static_cast<uint16_t>(infer | kCanRun | profile | kCanReset | memory | state | speed | swap | windows);
}
