#pragma once

#include <cstddef>
#include <cstdint>

constexpr uint8_t kMaxRank = 6;

// TFLite's TensorType numbers; the ones a model's input or output may have here.
enum DType : uint8_t { kFloat32 = 0, kInt32 = 2, kUInt8 = 3, kInt64 = 4, kBool = 6, kInt16 = 7, kInt8 = 9 };

struct TensorSpec {
  uint8_t dtype;
  uint8_t rank;
  uint32_t dims[kMaxRank];
  float scale;  // 0: not quantized.
  int32_t zero_point;
};

struct TensorSpecs {
  const TensorSpec* items;
  uint8_t count;

  const TensorSpec* begin() const { return items; }
  const TensorSpec* end() const { return items + count; }
};

size_t ElementSize(uint8_t dtype);  // 0 for a dtype this firmware does not know.
size_t ElementCount(const TensorSpec& spec);
size_t ElementCount(const TensorSpecs& specs);
size_t SizeBytes(const TensorSpecs& specs);  // 0 when any dtype or rank is unknown.
