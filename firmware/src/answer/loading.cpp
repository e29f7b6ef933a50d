#include "answer/loading.h"

#ifdef HIL_SWAP

#include "format.h"
#include "wire/crc32.h"
#include "wire/sha256.h"

namespace {

// Of a request, without op and what.
constexpr size_t kBeginFixed = 4 + kSha256Size + 1 + 2 + 1 + 1;  // size, SHA-256, flags, variables, two counts
constexpr size_t kPieceFixed = 4;
constexpr size_t kWhat = 1;

enum Flag : uint8_t { kStateful = 1, kQuantized = 2, kFlags = 3 };

bool IsPrintable(const uint8_t* text, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (text[i] < 0x20 || text[i] > 0x7e) return false;
  }
  return true;
}

Fault Malformed(size_t least) { return {Status::kBadSize, static_cast<uint32_t>(kWhat + least), "body"}; }

}  // namespace

void Loading::Describe(Writer& reply) const {
  reply.U32(static_cast<uint32_t>(runtime::RoomForModel().capacity));
  reply.U8(runs_ ? 1 : 0);
  reply.U16(static_cast<uint16_t>(runtime::OperatorCount()));
}

Fault Loading::Operators(Reader& body, Writer& reply) const {
  if (body.left() != 2) return Malformed(2);
  const size_t first = body.U16();
  const size_t count = runtime::OperatorCount();
  if (first >= count) return {Status::kBadValue, static_cast<uint32_t>(count - 1), "first"};
  uint8_t* const told = reply.Reserve(1);
  if (told == nullptr) return {};
  *told = 0;
  for (size_t kind = first; kind < count && *told < UINT8_MAX; ++kind) {
    const char* const name = runtime::OperatorName(kind);
    if (reply.room() < 1 + strlen(name)) break;
    reply.Str(name);
    ++*told;
  }
  return {};
}

// The fields are read into the model's record at once: a request that is refused ends a load that was under way, too.
Fault Loading::Begin(Reader& body, Writer& reply) {
  open_ = false;
  if (body.left() < kBeginFixed) return Malformed(kBeginFixed);
  const size_t capacity = runtime::RoomForModel().capacity;
  model_.size = body.U32();
  if (model_.size < 1 || model_.size > capacity) return {Status::kBadValue, static_cast<uint32_t>(capacity), "size"};
  memcpy(model_.sha256, body.Take(kSha256Size), kSha256Size);
  const uint8_t flags = body.U8();
  if (flags > kFlags) return {Status::kBadValue, kFlags, "flags"};
  model_.stateful = (flags & kStateful) != 0;
  model_.quantized = (flags & kQuantized) != 0;
  model_.variables = body.U16();
  model_.initializer_count = body.U8();
  if (model_.initializer_count > runtime::kMostInitializers) {
    return {Status::kBadValue, runtime::kMostInitializers, "initializers"};
  }
  const size_t initializers = 2u * model_.initializer_count;
  if (body.left() < initializers + 1) return Malformed(kBeginFixed + initializers);
  for (size_t i = 0; i < model_.initializer_count; ++i) model_.initializers[i] = body.U16();
  const size_t size = body.U8();
  if (size > runtime::kMostModelName) return {Status::kBadValue, runtime::kMostModelName, "name"};
  if (body.left() != size) return Malformed(kBeginFixed + initializers + size);
  const uint8_t* const name = body.Take(size);
  if (!IsPrintable(name, size)) return {Status::kBadValue, runtime::kMostModelName, "name"};
  if (size > 0) memcpy(model_.name, name, size);
  model_.name[size] = '\0';
  open_ = true;
  end_ = 0;
  reply.U32(0);
  return {};
}

Fault Loading::Piece(Reader& body, Writer& reply) {
  if (body.left() < kPieceFixed + 1) return Malformed(kPieceFixed + 1);
  const size_t offset = body.U32();
  const size_t missing = open_ ? model_.size - end_ : 0;
  if (offset != (open_ ? end_ : 0)) return {Status::kBadValue, static_cast<uint32_t>(open_ ? end_ : 0), "offset"};
  const size_t size = body.left();
  if (size > missing) return {Status::kBadValue, static_cast<uint32_t>(missing), "bytes"};
  memcpy(runtime::RoomForModel().data + end_, body.Take(size), size);
  end_ += size;
  reply.U32(static_cast<uint32_t>(end_));
  return {};
}

Status Loading::End() {
  TextBuffer note(note_, sizeof note_);
  const bool begun = open_;
  open_ = false;
  if (!begun) {
    note.Add("no model has begun");
    return Status::kBadModel;
  }
  if (end_ < model_.size) {
    note.AddNumber(end_).Add(" of ").AddNumber(model_.size).Add(" bytes have come");
    return Status::kBadModel;
  }
  uint8_t digest[kSha256Size];
  Sha256(runtime::RoomForModel().data, model_.size, digest);
  if (memcmp(digest, model_.sha256, sizeof digest) == 0) return Status::kOk;
  note.Add("its bytes have another SHA-256");
  return Status::kBadModel;
}

#endif
