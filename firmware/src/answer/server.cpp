#include "answer/server.h"

#include "answer/human.h"
#include "port/port.h"

namespace {

constexpr uint8_t kReplyBit = 0x80;

void WriteError(uint8_t seq, uint8_t op, const Fault& fault, Writer* reply) {
  reply->U8(seq);
  reply->U8(kError | kReplyBit);
  reply->U8(static_cast<uint8_t>(fault.status));
  reply->U8(op);
  reply->U32(fault.detail);
  reply->Str(fault.field);
}

// A link that fails cannot carry the error: the host's timeout reports it.
void Send(const uint8_t* data, size_t size) { (void)port::Write(data, size); }

}  // namespace

void Server::Setup(Status port_status) {
  const uint64_t second = port::TicksPerSecond();
  receiver_.SetLimits(second / 10, second);
  baud_limit_ = second;
  operations_.Setup(port_status);
}

void Server::Feed(const uint8_t* bytes, size_t size) {
  uint64_t now = LeaveSilentBaud();
  for (size_t i = 0; i < size; ++i) {
    const Receiver::Event event = receiver_.Push(bytes[i], now);
    if (event == Receiver::Event::kNone) continue;
    Answer(event);
    now = operations_.clock()->Ticks();  // While it was answered, the host may have gone on sending: no silence.
  }
}

void Server::Answer(Receiver::Event event) {
  switch (event) {
    case Receiver::Event::kNone: break;
    case Receiver::Event::kFrame: AnswerFrame(); break;
    case Receiver::Event::kFrameTooLong:
      AnswerFault(Status::kFrameTooLong, static_cast<uint32_t>(operations_.max_payload()));
      break;
    case Receiver::Event::kLine: AnswerLine(); break;
    case Receiver::Event::kLineTooLong: human::AnswerTooLong(kMaxLine); break;
    case Receiver::Event::kCommand: AnswerCommand(); break;
    case Receiver::Event::kCommandTooLong: Mlperf::AnswerTooLong(kMaxLine); break;
  }
}

void Server::Idle() { static_cast<void>(LeaveSilentBaud()); }

// A host that is gone leaves a rate behind at which the next one does not ask.
uint64_t Server::LeaveSilentBaud() {
  const uint64_t now = operations_.clock()->Ticks();
  if (port::Baud() != port::kBaseBaud && now - heard_ >= baud_limit_) port::SetBaud(port::kBaseBaud);
  return now;
}

void Server::AnswerFrame() {
  const size_t max_payload = operations_.max_payload();
  const Frame frame = OpenFrame(receiver_.data(), receiver_.size(), max_payload);
  if (frame.status != Status::kOk) {
    AnswerFault(frame.status, frame.status == Status::kFrameTooLong ? static_cast<uint32_t>(max_payload) : 0);
    return;
  }
  const uint8_t seq = frame.payload[0];
  const uint8_t op = frame.payload[1];
  const bool repeated = reply_size_ > 0 && seq == request_seq_ && frame.crc == request_crc_;
  if (repeated && op != kHello) {
    Reply();
    return;
  }

  Writer reply(tx_ + PayloadOffset(max_payload), max_payload);
  reply.U8(seq);
  reply.U8(op | kReplyBit);
  Reader body(frame.payload + kHeader, frame.size - kHeader);
  Fault fault = operations_.Execute(op, body, reply);
  if (fault.status == Status::kOk && !reply.ok()) {
    fault = {Status::kFrameTooLong, static_cast<uint32_t>(max_payload), ""};
  }
  if (fault.status != Status::kOk) {
    reply.Clear();
    WriteError(seq, op, fault, &reply);
  }
#ifdef HIL_SWAP
  if (op == kLoad) mlperf_.Forget();
#endif
  request_seq_ = seq;
  request_op_ = fault.status == Status::kOk ? op : uint8_t{kError};
  request_crc_ = frame.crc;
  reply_size_ = SealFrame(tx_, PayloadOffset(max_payload), reply.size());
  Reply();
  if (request_op_ == kReset) port::Reset();
}

// A host that asks for a rate again has not heard the reply, and the board may be back at the base rate.
void Server::Reply() {
  Send(tx_, reply_size_);
  if (request_op_ == kSpeed) port::SetBaud(operations_.asked_baud());
  heard_ = operations_.clock()->Ticks();
}

// In a buffer of its own: the last reply is kept in the other for a request that is repeated, and may arrive damaged.
void Server::AnswerFault(Status status, uint32_t detail) {
  constexpr size_t kPayload = 9;
  uint8_t buffer[TxCapacity(kPayload)];
  Writer reply(buffer + PayloadOffset(kPayload), kPayload);
  WriteError(0, 0, {status, detail, ""}, &reply);
  Send(buffer, SealFrame(buffer, PayloadOffset(kPayload), reply.size()));
}

void Server::AnswerLine() {
  const char* const line = reinterpret_cast<const char*>(receiver_.data());
  human::Answer(line, receiver_.size(), operations_.setup(), operations_.timer(), operations_.state());
}

void Server::AnswerCommand() {
  const char* const command = reinterpret_cast<const char*>(receiver_.data());
  mlperf_.Answer(command, receiver_.size(), operations_.setup(), operations_.clock(), operations_.state());
}
