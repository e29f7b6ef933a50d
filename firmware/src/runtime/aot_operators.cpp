#include "runtime/aot_operators.h"

#include <cmath>
#include <cstring>

namespace runtime {
namespace {

constexpr int32_t kInt32Max = 0x7fffffff;
constexpr int32_t kInt32Min = -kInt32Max - 1;

int32_t Clamped(int32_t value, int32_t lowest, int32_t highest) {
  return value < lowest ? lowest : value > highest ? highest : value;
}

int32_t Signed(uint8_t raw) { return static_cast<int8_t>(raw); }

// The upper half of 2 * a * b, rounded to the nearest, halves up.
int32_t HighProduct(int32_t a, int32_t b) {
  if (a == kInt32Min && b == kInt32Min) return kInt32Max;
  return static_cast<int32_t>((static_cast<int64_t>(a) * b + (int64_t{1} << 30)) >> 31);
}

// value / 2^shift, rounded to the nearest, halves away from zero.
int32_t Halved(int32_t value, int32_t shift) {
  if (shift > 31) return 0;
  const int32_t mask = static_cast<int32_t>((int64_t{1} << shift) - 1);
  const int32_t half = (mask >> 1) + (value < 0 ? 1 : 0);
  return (value >> shift) + ((value & mask) > half ? 1 : 0);
}

// value * 2^shift, without the overflow that is undefined for signed numbers.
int32_t Doubled(int32_t value, int32_t shift) { return static_cast<int32_t>(static_cast<uint32_t>(value) << shift); }

int32_t Scaled(int32_t value, const Multiplier& by) {
  const int32_t left = by.shift > 0 ? by.shift : 0;
  const int32_t right = by.shift > 0 ? 0 : -by.shift;
  return Halved(HighProduct(Doubled(value, left), by.multiplier), right);
}

// value * 4, saturating: from 2 integer bits to none.
int32_t Quadrupled(int32_t value) {
  const int32_t most = kInt32Max >> 2;
  return value > most ? kInt32Max : value < -most - 1 ? kInt32Min : Doubled(value, 2);
}

// 1 / (1 + x) for x in [0, 1), both with 31 fractional bits: three Newton steps from the line 48/17 - 32/17 d, where d
// is (1 + x) / 2. What has 2 integer bits has 29 fractional ones.
int32_t OneOverOnePlus(int32_t x) {
  constexpr int32_t kLineStart = 1515870810;
  constexpr int32_t kLineSlope = -1010580540;
  constexpr int32_t kOne = 1 << 29;
  const int32_t half_denominator = static_cast<int32_t>((static_cast<int64_t>(x) + kInt32Max + 1) / 2);
  int32_t guess = kLineStart + HighProduct(half_denominator, kLineSlope);
  for (int step = 0; step < 3; ++step) {
    const int32_t error = kOne - HighProduct(half_denominator, guess);
    guess += Quadrupled(HighProduct(guess, error));
  }
  // Half of the guess, with 31 fractional bits.
  return guess > kInt32Max >> 1 ? kInt32Max : guess < kInt32Min / 2 ? kInt32Min : Doubled(guess, 1);
}

int32_t LeadingZeros(uint32_t value) { return value == 0 ? 32 : __builtin_clz(value); }

// The reciprocal of a sum with 12 integer bits, as mantissa * 2^-(31 + bits_over_unit).
int32_t Reciprocal(int32_t sum, int32_t* bits_over_unit) {
  const int32_t headroom = LeadingZeros(static_cast<uint32_t>(sum));
  *bits_over_unit = 12 - headroom;
  return OneOverOnePlus(static_cast<int32_t>((static_cast<uint32_t>(sum) << headroom) - 0x80000000u));
}

void SoftmaxRow(const uint8_t* input, const SoftmaxRows& rows, uint8_t* output) {
  int32_t greatest = -128;
  for (size_t i = 0; i < rows.depth; ++i) greatest = Signed(input[i]) > greatest ? Signed(input[i]) : greatest;
  int32_t sum = 0;
  for (size_t i = 0; i < rows.depth; ++i) {
    const int32_t below = greatest - Signed(input[i]);
    if (below < rows.count) sum += Halved(rows.powers[below], 12);
  }
  int32_t bits_over_unit = 0;
  const int32_t mantissa = Reciprocal(sum, &bits_over_unit);
  const int32_t bits = 8 * rows.output_bytes;
  const int32_t lowest = -(1 << (bits - 1));
  for (size_t i = 0; i < rows.depth; ++i) {
    const int32_t below = greatest - Signed(input[i]);
    int32_t value = lowest;
    if (below < rows.count) {
      value += Halved(HighProduct(mantissa, rows.powers[below]), bits_over_unit + 31 - bits);
      value = Clamped(value, lowest, -lowest - 1);
    }
    std::memcpy(output + i * rows.output_bytes, &value, rows.output_bytes);
  }
}

template <typename T>
T Element(const uint8_t* data, size_t index) {
  T value;
  std::memcpy(&value, data + index * sizeof value, sizeof value);
  return value;
}

// What is not a number is beaten by every number, and beats none.
template <typename T>
bool Beats(T candidate, T current, bool smallest) {
  if (candidate != candidate) return false;
  if (current != current) return true;
  return smallest ? candidate < current : candidate > current;
}

template <typename T>
void FindExtremes(const uint8_t* input, const ArgExtreme& extreme, uint8_t* output) {
  for (size_t outer = 0; outer < extreme.outer; ++outer) {
    for (size_t inner = 0; inner < extreme.inner; ++inner) {
      const size_t first = outer * extreme.axis * extreme.inner + inner;
      int64_t found = 0;
      T best = Element<T>(input, first);
      for (size_t i = 1; i < extreme.axis; ++i) {
        const T candidate = Element<T>(input, first + i * extreme.inner);
        if (!Beats(candidate, best, extreme.smallest)) continue;
        best = candidate;
        found = static_cast<int64_t>(i);
      }
      std::memcpy(output + (outer * extreme.inner + inner) * extreme.output_bytes, &found, extreme.output_bytes);
    }
  }
}

int32_t Value(const Operand& operand, size_t index) { return Signed(operand.data[index]) - operand.zero_point; }

// A factor below 1, as those of ADD and SUB are, for values far from the ends of int32: without branches.
class Shrinking {
 public:
  explicit Shrinking(const Multiplier& by)
      : multiplier_(by.multiplier), shift_(-by.shift), half_(shift_ > 0 ? 1 << (shift_ - 1) : 0), any_(shift_ > 0) {}

  int32_t operator()(int32_t value) const {
    const int32_t product = static_cast<int32_t>((static_cast<int64_t>(value) * multiplier_ + (1 << 30)) >> 31);
    return (product + half_ - ((product < 0 ? 1 : 0) & any_)) >> shift_;
  }

 private:
  int32_t multiplier_;
  int32_t shift_;
  int32_t half_;
  int32_t any_;
};

constexpr int32_t kHeadroom = 1 << 20;  // Of both operands of ADD and SUB, on the scale that they share.

uint8_t Limited(int32_t value, const Combined& result) {
  return static_cast<uint8_t>(Clamped(value + result.zero_point, result.lowest, result.highest));
}

// Calls for each value of the result with the indices of both operands, without a division for each.
template <typename Function>
void Pairs(const Operand& left, const Operand& right, size_t count, Function function) {
  size_t l = 0;
  size_t r = 0;
  for (size_t i = 0; i < count; ++i) {
    function(i, l, r);
    if (++l == left.count) l = 0;
    if (++r == right.count) r = 0;
  }
}

}  // namespace

void Lookup(const uint8_t* input, size_t count, const uint8_t* table, size_t entry_bytes, uint8_t* output) {
  if (entry_bytes == 1) {
    for (size_t i = 0; i < count; ++i) output[i] = table[input[i]];
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(output + i * entry_bytes, table + input[i] * entry_bytes, entry_bytes);
  }
}

void QuantizeFloat(const uint8_t* input, size_t count, const FloatGrid& grid, uint8_t* output) {
  for (size_t i = 0; i < count; ++i) {
    const float rounded = std::round(Element<float>(input, i) / grid.scale);
    // Saturated before the cast, which is undefined for values that int32 does not hold.
    const float limited = rounded < -65536.0f ? -65536.0f : rounded > 65536.0f ? 65536.0f : rounded;
    const int32_t value = (limited == limited ? static_cast<int32_t>(limited) : 0) + grid.zero_point;
    output[i] = static_cast<uint8_t>(Clamped(value, -128, 127));
  }
}

void Softmax(const uint8_t* input, const SoftmaxRows& rows, uint8_t* output) {
  for (size_t row = 0; row < rows.rows; ++row) {
    SoftmaxRow(input + row * rows.depth, rows, output + row * rows.depth * rows.output_bytes);
  }
}

void ArgMinMax(const uint8_t* input, const ArgExtreme& extreme, uint8_t* output) {
  if (extreme.type == kReal32) return FindExtremes<float>(input, extreme, output);
  FindExtremes<int8_t>(input, extreme, output);
}

void Mean(const uint8_t* input, const MeanOfAxis& mean, uint8_t* output) {
  for (size_t outer = 0; outer < mean.outer; ++outer) {
    const uint8_t* const rows = input + outer * mean.axis * mean.inner;
    for (size_t inner = 0; inner < mean.inner; ++inner) {
      int32_t sum = -mean.input_zero_point * static_cast<int32_t>(mean.axis);
      for (size_t i = 0; i < mean.axis; ++i) sum += Signed(rows[i * mean.inner + inner]);
      const int32_t value = Scaled(sum, mean.scaled) + mean.output_zero_point;
      output[outer * mean.inner + inner] = static_cast<uint8_t>(Clamped(value, -128, 127));
    }
  }
}

void Add(const Operand& left, const Operand& right, const Combined& sum, uint8_t* output) {
  const Shrinking l_scale(left.scaled), r_scale(right.scaled), scale(sum.scaled);
  Pairs(left, right, sum.count, [&](size_t i, size_t l, size_t r) {
    const int32_t both = l_scale(Value(left, l) * kHeadroom) + r_scale(Value(right, r) * kHeadroom);
    output[i] = Limited(scale(both), sum);
  });
}

void Subtract(const Operand& left, const Operand& right, const Combined& difference, uint8_t* output) {
  const Shrinking l_scale(left.scaled), r_scale(right.scaled), scale(difference.scaled);
  Pairs(left, right, difference.count, [&](size_t i, size_t l, size_t r) {
    const int32_t rest = l_scale(Value(left, l) * kHeadroom) - r_scale(Value(right, r) * kHeadroom);
    output[i] = Limited(scale(rest), difference);
  });
}

void Multiply(const Operand& left, const Operand& right, const Combined& product, uint8_t* output) {
  Pairs(left, right, product.count, [&](size_t i, size_t l, size_t r) {
    output[i] = Limited(Scaled(Value(left, l) * Value(right, r), product.scaled), product);
  });
}

void Copy(const uint8_t* input, const Blocks& blocks, uint8_t* output) {
  for (size_t i = 0; i < blocks.count; ++i) {
    std::memcpy(output + i * blocks.output_stride, input + i * blocks.input_stride, blocks.bytes);
  }
}

}  // namespace runtime

extern "C" void hil_add_s8(const int8_t* left, const int8_t* right, int8_t* output, size_t count,
                           const int32_t* numbers) {
  const runtime::Shrinking l_scale({numbers[3], numbers[4]}), r_scale({numbers[5], numbers[6]});
  const runtime::Shrinking scale({numbers[7], numbers[8]});
  const int32_t l_zero = numbers[0], r_zero = numbers[1], zero = numbers[2], low = numbers[9], high = numbers[10];
  for (size_t i = 0; i < count; ++i) {
    const int32_t both = l_scale((left[i] - l_zero) * runtime::kHeadroom) +
                         r_scale((right[i] - r_zero) * runtime::kHeadroom);
    output[i] = static_cast<int8_t>(runtime::Clamped(scale(both) + zero, low, high));
  }
}
