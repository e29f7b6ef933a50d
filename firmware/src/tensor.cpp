#include "tensor.h"

size_t ElementSize(uint8_t dtype) {
  switch (dtype) {
    case kInt64: return 8;
    case kFloat32:
    case kInt32: return 4;
    case kInt16: return 2;
    case kBool:
    case kUInt8:
    case kInt8: return 1;
    default: return 0;
  }
}

size_t ElementCount(const TensorSpec& spec) {
  size_t count = 1;
  for (uint8_t axis = 0; axis < spec.rank; ++axis) count *= spec.dims[axis];
  return count;
}

size_t ElementCount(const TensorSpecs& specs) {
  size_t count = 0;
  for (const TensorSpec& spec : specs) count += ElementCount(spec);
  return count;
}

size_t SizeBytes(const TensorSpecs& specs) {
  size_t size = 0;
  for (const TensorSpec& spec : specs) {
    if (spec.rank > kMaxRank || ElementSize(spec.dtype) == 0) return 0;
    size += ElementCount(spec) * ElementSize(spec.dtype);
  }
  return size;
}
