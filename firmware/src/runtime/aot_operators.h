#pragma once

#include <cstddef>
#include <cstdint>

// Operators that code compiled ahead of time lacks: around it or between its parts. Each gives the very bytes of TFLite
// Micro's reference kernel. Tensors are bytes, since those of the model's inputs and outputs need not be aligned.
// Kept to C++11, as aot.h is.
namespace runtime {

// A function of single 8-bit values. The table has an entry of `entry_bytes` for each value of a byte, from 0 to 255.
void Lookup(const uint8_t* input, size_t count, const uint8_t* table, size_t entry_bytes, uint8_t* output);

// QUANTIZE of float32 to int8.
struct FloatGrid {
  float scale;
  int32_t zero_point;
};
void QuantizeFloat(const uint8_t* input, size_t count, const FloatGrid& grid, uint8_t* output);

// SOFTMAX of int8 over rows of `depth` values. `powers` holds exp() of the differences 0, -1, ... to the greatest value
// of a row, with 31 fractional bits; beyond `count` of them it is 0.
struct SoftmaxRows {
  size_t rows;
  size_t depth;
  const int32_t* powers;
  int32_t count;
  uint8_t output_bytes;  // 1: int8, 2: int16.
};
void Softmax(const uint8_t* input, const SoftmaxRows& rows, uint8_t* output);

enum ElementType : uint8_t { kSigned8, kReal32 };

// ARG_MAX or ARG_MIN over the middle axis of (outer, axis, inner): the first place of the extreme value.
struct ArgExtreme {
  size_t outer;
  size_t axis;
  size_t inner;
  ElementType type;
  bool smallest;
  uint8_t output_bytes;  // 4: int32, 8: int64.
};
void ArgMinMax(const uint8_t* input, const ArgExtreme& extreme, uint8_t* output);

// Multiplies by multiplier * 2^(shift - 31), rounding twice.
struct Multiplier {
  int32_t multiplier;
  int32_t shift;
};

// MEAN or SUM of int8 over the middle axis of (outer, axis, inner).
struct MeanOfAxis {
  size_t outer;
  size_t axis;
  size_t inner;
  int32_t input_zero_point;
  int32_t output_zero_point;
  Multiplier scaled;  // The division by the number of elements is in it.
};
void Mean(const uint8_t* input, const MeanOfAxis& mean, uint8_t* output);

// ADD, SUB or MUL of int8 tensors. Operands are repeated to `count` values.
struct Operand {
  const uint8_t* data;
  size_t count;
  int32_t zero_point;
  Multiplier scaled;  // Not used by MUL.
};
struct Combined {
  size_t count;
  int32_t zero_point;
  Multiplier scaled;
  int32_t lowest;
  int32_t highest;
};
void Add(const Operand& left, const Operand& right, const Combined& sum, uint8_t* output);
void Subtract(const Operand& left, const Operand& right, const Combined& difference, uint8_t* output);
void Multiply(const Operand& left, const Operand& right, const Combined& product, uint8_t* output);

// Copies `count` blocks; for operators that only move values, such as CONCATENATION.
struct Blocks {
  size_t count;
  size_t bytes;
  size_t input_stride;
  size_t output_stride;
};
void Copy(const uint8_t* input, const Blocks& blocks, uint8_t* output);

}  // namespace runtime

extern "C" {
// ADD within generated C, of tensors with as many values; see harness/firmware/aot_kernels.py. `numbers` are the zero
// points of both and of the sum, the multiplier and shift of both and of the sum, the least and the greatest value.
void hil_add_s8(const int8_t* left, const int8_t* right, int8_t* output, size_t count, const int32_t* numbers);
}
