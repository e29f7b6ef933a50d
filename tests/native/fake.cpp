// The board that tests/vectors/dialogues.txt describes.
#include "fake.h"

#include <algorithm>
#include <cstring>

#include "port/port.h"
#include "runtime/runtime.h"

namespace fake {

std::string sent;
Status setup_status = Status::kOk;
int invoke_fails = 0;
uint32_t extra_ticks = 0;
uint32_t invokes = 0;
std::string note;
uint32_t stack_bytes = 0;
bool stateful = false;
bool echo = false;
int reset_fails = 0;
uint32_t steps = 0;
bool rates = false;
bool marks = false;
bool energy = false;
std::string windows;
uint32_t room = 0;

namespace {
uint32_t baud = port::kBaseBaud;
const uint32_t kFaster[] = {1000000, 460800};
int held = 0;  // Invokes since the state was reset, where there is one.
uint32_t ticks = 0xfffffff0u;  // Wraps early, so that every test lives through it.
int8_t input[4];
int8_t output[2];
uint8_t echo_input[30];
uint8_t echo_output[30];
uint8_t sha256[32];
alignas(16) uint8_t model_room[kMostRoom];
runtime::BroughtModel brought;
bool brought_runs = false;
std::string swap_note;
uint32_t arena_used = 100;
const char* const kOperators[] = {"ADD", "CONV_2D", "SOFTMAX", "SignalFilterBankSpectralSubtraction"};
uint8_t build_id[16];
uint32_t step_values[kMostSteps];
uint8_t step_output[100 * kMostSteps];
const TensorSpec kInput = {kInt8, 2, {1, 4}, 0.5f, -1};
const TensorSpec kOutput = {kInt8, 2, {1, 2}, 0.25f, 3};
const TensorSpec kEcho[] = {
    {kInt32, 0, {}, 0.0f, 0},    {kBool, 1, {2}, 0.0f, 0},    {kInt64, 0, {}, 0.0f, 0},
    {kFloat32, 1, {3}, 0.0f, 0}, {kUInt8, 1, {2}, 0.5f, 128}, {kInt16, 0, {}, 0.25f, 0},
};
constexpr uint8_t kEchoes = sizeof kEcho / sizeof kEcho[0];

bool Echoes() { return brought_runs ? model_room[0] == 'e' : echo; }
bool KeepsState() { return brought_runs ? brought.stateful : stateful; }
void BeginModel() {
  held = 0;
  memset(output, 0, sizeof output);
  memset(echo_output, 0, sizeof echo_output);
}
int8_t Saturate(int value) { return static_cast<int8_t>(std::clamp(value, -128, 127)); }
}  // namespace

void Boot() {
  memset(input, 0, sizeof input);
  memset(output, 0, sizeof output);
  memset(echo_input, 0, sizeof echo_input);
  memset(echo_output, 0, sizeof echo_output);
  invoke_fails = 0;
  extra_ticks = 0;
  reset_fails = 0;
  held = 0;
  baud = port::kBaseBaud;
  memset(step_values, 0, sizeof step_values);
  note.clear();
  brought_runs = false;
  arena_used = 100;
  swap_note.clear();
  stack_bytes = 1000;
  for (int i = 0; i < 32; ++i) sha256[i] = static_cast<uint8_t>(i);
  for (int i = 0; i < 16; ++i) build_id[i] = static_cast<uint8_t>(0xa0 + i);
}

void Wait(uint32_t ms) { ticks += ms * 1000; }

}  // namespace fake

namespace port {

Status Setup() { return fake::setup_status; }
uint32_t Ticks() { return fake::ticks += 5; }
uint32_t TicksPerSecond() { return 1000000; }
size_t Read(uint8_t*, size_t) { return 0; }
Status Write(const uint8_t* src, size_t size) {
  fake::sent.append(reinterpret_cast<const char*>(src), size);
  return Status::kOk;
}
Bauds FasterBauds() { return {fake::kFaster, static_cast<uint8_t>(fake::rates ? 2 : 0)}; }
uint32_t Baud() { return fake::baud; }
void SetBaud(uint32_t baud) { fake::baud = baud; }
void Sleep() {}
void Reset() { throw fake::Reset(); }
StackUse Stack() { return {fake::stack_bytes, fake::stack_bytes * 3 / 10}; }
size_t UniqueId(char* dst, size_t) {
  memcpy(dst, "0123", 4);
  return 4;
}
bool MarksWindows() { return fake::marks; }
bool MlperfEnergy() { return fake::energy; }
void Window(bool open) { fake::windows += open ? '1' : '0'; }
Quiet::Quiet() {}
Quiet::~Quiet() {}

}  // namespace port

namespace runtime {

Status Load() {
  fake::brought_runs = false;
  fake::arena_used = 100;
  fake::BeginModel();
  fake::swap_note.clear();
  return Status::kOk;
}
Description Describe() {
  const TensorSpecs all = {fake::kEcho, fake::kEchoes};
  const TensorSpecs inputs = fake::Echoes() ? all : TensorSpecs{&fake::kInput, 1};
  const TensorSpecs outputs = fake::Echoes() ? all : TensorSpecs{&fake::kOutput, 1};
  const bool runs = fake::brought_runs;
  const char* const note = fake::swap_note.empty() ? fake::note.c_str() : fake::swap_note.c_str();
  return {"fake", "1.0", "", fake::arena_used, 200, runs ? fake::brought.sha256 : fake::sha256, fake::build_id, inputs,
          outputs, runs ? fake::brought.name : "fake", note, fake::KeepsState()};
}
ModelRoom RoomForModel() { return {fake::model_room, fake::room}; }
size_t OperatorCount() { return sizeof fake::kOperators / sizeof fake::kOperators[0]; }
const char* OperatorName(size_t kind) { return fake::kOperators[kind]; }
Status Swap(const BroughtModel& model) {
  fake::brought = model;
  fake::brought_runs = true;
  fake::BeginModel();
  fake::arena_used = static_cast<uint32_t>(model.size);
  if (fake::model_room[0] == 'a') {
    fake::arena_used = 300;
    fake::swap_note = "the arena has 200 bytes, at least 300 are needed";
    return Status::kArenaTooSmall;
  }
  if (fake::model_room[0] == 'u') {
    fake::swap_note = "operator MUL";
    return Status::kUnknownOperator;
  }
  return Status::kOk;
}
InputBuffer Input() {
  if (fake::Echoes()) return {fake::echo_input, sizeof fake::echo_input};
  return {reinterpret_cast<uint8_t*>(fake::input), sizeof fake::input};
}
void Prepare() {}
Status Invoke() {
  if (fake::invoke_fails > 0 && --fake::invoke_fails == 0) return Status::kInvokeFailed;
  fake::ticks += fake::extra_ticks * fake::invokes++;
  memcpy(fake::echo_output, fake::echo_input, sizeof fake::echo_input);
  fake::output[0] = fake::Saturate(fake::input[0] + fake::input[1]);
  fake::output[1] = fake::Saturate(fake::input[2] - fake::input[3] + fake::held);
  if (fake::KeepsState()) ++fake::held;
  return Status::kOk;
}
Status ResetState() {
  if (fake::reset_fails > 0 && --fake::reset_fails == 0) return Status::kInvokeFailed;
  fake::held = 0;
  return Status::kOk;
}
Steps ModelSteps() { return {fake::step_values, fake::steps}; }
Status InvokeObserved(StepObserver* observer) {
  for (uint32_t step = 0; step < fake::steps; ++step) {
    observer->Begin();
    fake::ticks += 10 * step;
    observer->End();
  }
  return Invoke();
}
void ObserveNothing(StepObserver* observer) {
  for (int step = 0; step < 2; ++step) {
    observer->Begin();
    observer->End();
  }
}
OutputBuffer StepOutput(size_t step) {
  const size_t size = 100 * (step + 1);
  for (size_t i = 0; i < size; ++i) fake::step_output[i] = static_cast<uint8_t>(fake::input[0] + step + i);
  return {fake::step_output, size};
}
OutputBuffer Output() {
  if (fake::Echoes()) return {fake::echo_output, sizeof fake::echo_output};
  return {reinterpret_cast<const uint8_t*>(fake::output), sizeof fake::output};
}

}  // namespace runtime
