#include "protocol/human.h"

#include <cmath>
#include <cstring>

#include "port/port.h"
#include "protocol/decimal.h"
#include "runtime/runtime.h"

namespace human {
namespace {

// Sends text in pieces, since an answer grows with the model's outputs. Its buffer is its own: a line must not cost
// a host the reply kept for it.
class Text {
 public:
  ~Text() { Flush(); }

  void Add(const char* text, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      if (used_ == sizeof buffer_) Flush();
      buffer_[used_++] = static_cast<uint8_t>(text[i]);
    }
  }
  void Add(const char* text) { Add(text, strlen(text)); }
  void Add(uint64_t value) {
    char digits[kDecimalCapacity];
    Add(digits, FormatUnsigned(value, digits));
  }
  void Add(double value) {
    char digits[kDecimalCapacity];
    Add(digits, FormatFixed4(value, digits));
  }

 private:
  void Flush() {
    (void)port::Write(buffer_, used_);  // As for frames: a failing link cannot report itself.
    used_ = 0;
  }

  uint8_t buffer_[64];
  size_t used_ = 0;
};

struct Token {
  const char* text;
  size_t size;
};

bool IsSeparator(char c) { return c == ' ' || c == ','; }

// Takes the next token off [*at, end). False when there is none.
bool NextToken(const char** at, const char* end, Token* token) {
  while (*at < end && IsSeparator(**at)) ++*at;
  const char* start = *at;
  while (*at < end && !IsSeparator(**at)) ++*at;
  *token = {start, static_cast<size_t>(*at - start)};
  return token->size > 0;
}

void AnswerNamed(const char* problem, const Token& token) {
  Text out;
  out.Add("error ");
  out.Add(problem);
  out.Add(": ");
  out.Add(token.text, token.size);
  out.Add("\n");
}

void AnswerStatus(Status status) {
  Text out;
  out.Add("error ");
  out.Add(StatusName(status));
  out.Add("\n");
}

void AnswerHelp() {
  Text out;
  out.Add("help: send ");
  out.Add(uint64_t{ElementCount(runtime::Describe().inputs)});
  out.Add(" numbers in the model's unit, separated by spaces or commas; a 00 byte starts a frame\n");
}

// The numbers of a line, at most kMaxNumbers of them kept and all of them counted.
struct Numbers {
  float values[kMaxNumbers];
  size_t count = 0;
};

// False when a number was bad; the answer to that has been sent.
bool ParseNumbers(const char* line, size_t size, Numbers* numbers) {
  const char* at = line;
  Token token;
  while (NextToken(&at, line + size, &token)) {
    float value = 0.0f;
    const Parsed parsed = ParseDecimal(token.text, token.size, &value);
    if (parsed != Parsed::kNumber) {
      AnswerNamed(parsed == Parsed::kNotFinite ? "not-finite" : "not-a-number", token);
      return false;
    }
    if (numbers->count < kMaxNumbers) numbers->values[numbers->count] = value;
    ++numbers->count;
  }
  return true;
}

// Element access through memcpy: tensors inside one buffer need not be aligned.
template <typename T>
void StoreAs(double value, uint8_t* dst) {
  const T element = static_cast<T>(value);
  memcpy(dst, &element, sizeof element);
}

template <typename T>
double LoadAs(const uint8_t* src) {
  T element;
  memcpy(&element, src, sizeof element);
  return static_cast<double>(element);
}

double Clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

void StoreElement(const TensorSpec& spec, float real, uint8_t* dst) {
  if (spec.dtype == kFloat32) {
    memcpy(dst, &real, sizeof real);
    return;
  }
  // Single precision up to the rounding, as TFLite's own quantize op.
  const float scaled = roundf(spec.scale > 0.0f ? real / spec.scale : real);
  const double q = static_cast<double>(scaled) + static_cast<double>(spec.zero_point);
  switch (spec.dtype) {
    case kInt8: StoreAs<int8_t>(Clamp(q, -128.0, 127.0), dst); break;
    case kUInt8: StoreAs<uint8_t>(Clamp(q, 0.0, 255.0), dst); break;
    case kInt16: StoreAs<int16_t>(Clamp(q, -32768.0, 32767.0), dst); break;
    default: StoreAs<int32_t>(Clamp(q, -2147483648.0, 2147483647.0), dst); break;
  }
}

double LoadElement(const TensorSpec& spec, const uint8_t* src) {
  double q = 0.0;
  switch (spec.dtype) {
    case kFloat32: return LoadAs<float>(src);
    case kInt8: q = LoadAs<int8_t>(src); break;
    case kUInt8: q = LoadAs<uint8_t>(src); break;
    case kInt16: q = LoadAs<int16_t>(src); break;
    default: q = LoadAs<int32_t>(src); break;
  }
  if (!(spec.scale > 0.0f)) return q;
  return static_cast<double>(spec.scale * static_cast<float>(q - spec.zero_point));
}

void StoreInputs(const TensorSpecs& specs, const float* values) {
  uint8_t* dst = runtime::Input().data;
  for (const TensorSpec& spec : specs) {
    for (size_t left = ElementCount(spec); left > 0; --left) {
      StoreElement(spec, *values++, dst);
      dst += ElementSize(spec.dtype);
    }
  }
}

void AddOutputs(const TensorSpecs& specs, Text* out) {
  const uint8_t* src = runtime::Output().data;
  const char* separator = "";
  for (const TensorSpec& spec : specs) {
    for (size_t left = ElementCount(spec); left > 0; --left) {
      out->Add(separator);
      out->Add(LoadElement(spec, src));
      src += ElementSize(spec.dtype);
      separator = ",";
    }
  }
}

uint64_t Microseconds(uint32_t ticks, const Timer& timer) {
  const uint64_t spent = ticks > timer.read_ticks ? ticks - timer.read_ticks : 0u;
  const uint64_t rate = port::TicksPerSecond();
  return (spent * 1000000u + rate / 2) / rate;
}

}  // namespace

void Answer(const char* line, size_t size, Status setup, const Timer& timer) {
  if (size == 1 && line[0] == '?') return AnswerHelp();
  if (setup != Status::kOk) return AnswerStatus(setup);
  Numbers numbers;
  if (!ParseNumbers(line, size, &numbers)) return;
  const runtime::Description model = runtime::Describe();
  const size_t need = ElementCount(model.inputs);
  if (numbers.count != need || need > kMaxNumbers) {
    Text out;
    out.Add("error wrong-count: got ");
    out.Add(uint64_t{numbers.count});
    out.Add(", need ");
    out.Add(uint64_t{need});
    out.Add("\n");
    return;
  }
  StoreInputs(model.inputs, numbers.values);
  uint32_t ticks = 0;
  const Status status = TimedInvoke(&ticks);
  if (status != Status::kOk) return AnswerStatus(Status::kInvokeFailed);
  Text out;
  out.Add("y=");
  AddOutputs(model.outputs, &out);
  out.Add(" us=");
  out.Add(Microseconds(ticks, timer));
  out.Add("\n");
}

void AnswerTooLong(size_t limit) {
  Text out;
  out.Add("error line-too-long: limit ");
  out.Add(uint64_t{limit});
  out.Add("\n");
}

}  // namespace human
