#include "answer/reals.h"

#include <cmath>
#include <cstring>

#include "runtime/runtime.h"

namespace {

constexpr double kLeastInt64 = -9223372036854775808.0;
constexpr double kMostInt64 = 9223372036854774784.0;  // The largest double that is an int64.

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
    case kInt64: StoreAs<int64_t>(Clamp(q, kLeastInt64, kMostInt64), dst); break;
    case kBool: StoreAs<uint8_t>(Clamp(q, 0.0, 1.0), dst); break;
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
    case kInt64: q = LoadAs<int64_t>(src); break;
    case kBool: q = *src != 0 ? 1.0 : 0.0; break;
    default: q = LoadAs<int32_t>(src); break;
  }
  if (!(spec.scale > 0.0f)) return q;
  return static_cast<double>(spec.scale * static_cast<float>(q - spec.zero_point));
}

}  // namespace

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
