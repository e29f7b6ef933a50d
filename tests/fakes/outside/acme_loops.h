#pragma once

#include <stdint.h>

// A convolution, or a pooling if it has no weights; a Dense layer is a convolution of a single place.
typedef struct {
  const int8_t* weights;
  const int32_t* bias;
  const int32_t* multipliers;
  const int32_t* shifts;
  int height, width, depth;
  int rows, columns, channels;
  int kernel_height, kernel_width, stride, pad_top, pad_left;
  int32_t input_zero_point, output_zero_point, lowest, highest;
} acme_layer;

extern const acme_layer acme_layers[];
extern const int acme_layer_count;
extern const int acme_half_bytes;  // Of the arena, which holds the tensors before and after a layer.

void acme_infer(const uint8_t* input, uint8_t* output, uint8_t* arena);
