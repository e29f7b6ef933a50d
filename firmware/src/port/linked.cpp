// The port of a firmware that is not ours: all of it comes through tinyml_hil.h.
#include <tinyml_hil.h>

#include "app.h"
#include "port/port.h"
#include "port/ring.h"

namespace {

port::Ring<app::kLargestBurst, port::Producer::kAny> ring;
const hil_port* supplied = nullptr;

bool Complete() {
  return supplied != nullptr && supplied->ticks != nullptr && supplied->ticks_per_second > 0 && supplied->write != nullptr &&
         supplied->reset != nullptr && (supplied->quiet == nullptr) == (supplied->loud == nullptr);
}

}  // namespace

namespace port {

// An incomplete port answers as far as it can: with this status.
Status Setup() { return Complete() ? Status::kOk : Status::kPortFailed; }

uint32_t Ticks() { return supplied->ticks != nullptr ? supplied->ticks() : 0; }

uint32_t TicksPerSecond() { return supplied->ticks_per_second > 0 ? supplied->ticks_per_second : 1; }

size_t Read(uint8_t* dst, size_t capacity) { return ring.Read(dst, capacity); }

Status Write(const uint8_t* src, size_t size) {
  return supplied->write != nullptr && supplied->write(src, size) != 0 ? Status::kOk : Status::kPortFailed;
}

Bauds FasterBauds() { return {nullptr, 0}; }

uint32_t Baud() { return kBaseBaud; }

void SetBaud(uint32_t) {}

void Sleep() {
  if (supplied->sleep != nullptr && ring.Empty()) supplied->sleep();
}

void Reset() {
  if (supplied->reset != nullptr) supplied->reset();
  for (;;) {
  }
}

StackUse Stack() {
  StackUse use = {0, 0};
  if (supplied->stack != nullptr) supplied->stack(&use.capacity_bytes, &use.used_bytes);
  return use;
}

size_t UniqueId(char* dst, size_t capacity) {
  const size_t size = supplied->unique_id != nullptr ? supplied->unique_id(dst, capacity) : 0;
  return size <= capacity ? size : 0;
}

bool MarksWindows() { return supplied->window != nullptr; }

bool MlperfEnergy() { return false; }

void Window(bool open) {
  if (supplied->window != nullptr) supplied->window(open ? 1 : 0);
}

Quiet::Quiet() {
  if (supplied->quiet != nullptr) supplied->quiet();
}

Quiet::~Quiet() {
  if (supplied->loud != nullptr) supplied->loud();
}

}  // namespace port

extern "C" void hil_setup(const hil_port* port) {
  static const hil_port none = {};
  supplied = port != nullptr ? port : &none;
  app::Setup();
}

extern "C" void hil_received(const uint8_t* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) ring.Put(bytes[i]);
}

extern "C" void hil_poll(void) { app::Poll(); }

extern "C" int hil_waiting(void) { return ring.Empty() ? 0 : 1; }
