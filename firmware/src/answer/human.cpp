#include "answer/human.h"

#include "answer/decimal.h"
#include "answer/reals.h"
#include "answer/text.h"
#include "answer/token.h"
#include "runtime/runtime.h"

namespace human {
namespace {

constexpr char kSeparators[] = " ,";

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
  out.Add(" numbers in the model's unit, separated by spaces or commas; help% lists MLPerf Tiny's commands\n");
}

// The numbers of a line, at most kMaxNumbers of them kept and all of them counted.
struct Numbers {
  float values[kMaxNumbers];
  size_t count = 0;
};

// False when a number was bad; the answer to that has been sent.
bool ParseNumbers(const char* line, size_t size, Numbers* numbers) {
  const char* at = line;
  const char* end = line + size;
  for (Token token = NextToken(&at, end, kSeparators); token.size > 0; token = NextToken(&at, end, kSeparators)) {
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

}  // namespace

void Answer(const char* line, size_t size, Status setup, const Timer& timer, State* state) {
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
  const Status status = TimedInvoke(state, &ticks);
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
