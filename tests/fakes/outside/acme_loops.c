// Layers of a quantized model as plain loops over a table, with the results of TFLite Micro's reference kernels.
#include "acme_loops.h"

static int32_t HighHalf(int32_t a, int32_t b) {
  if (a == b && a == INT32_MIN) return INT32_MAX;
  const int64_t product = (int64_t)a * b;
  return (int32_t)((product + (product >= 0 ? 1 << 30 : 1 - (1 << 30))) / (INT64_C(1) << 31));
}

// value * multiplier * 2^(shift - 31), rounded twice.
static int32_t Scaled(int32_t value, int32_t multiplier, int32_t shift) {
  const int right = shift < 0 ? -shift : 0;
  const int32_t high = HighHalf((int32_t)((uint32_t)value << (shift > 0 ? shift : 0)), multiplier);
  const int32_t mask = (int32_t)((INT64_C(1) << right) - 1);
  const int32_t threshold = (mask >> 1) + (high < 0);
  return (high >> right) + ((high & mask) > threshold);
}

static int32_t Clamped(int32_t value, const acme_layer* layer) {
  if (value < layer->lowest) return layer->lowest;
  return value > layer->highest ? layer->highest : value;
}

// The sum of products, or the greatest value, of one window; what lies outside of the input does not count.
static int32_t Window(const acme_layer* layer, const int8_t* input, int row, int column, int channel) {
  const int pooled = layer->weights == 0;
  const int8_t* weights = pooled ? 0 : layer->weights + channel * layer->kernel_height * layer->kernel_width * layer->depth;
  int32_t found = pooled ? INT8_MIN : 0;
  for (int y = 0; y < layer->kernel_height; ++y) {
    for (int x = 0; x < layer->kernel_width; ++x) {
      const int from_row = row * layer->stride - layer->pad_top + y, from_column = column * layer->stride - layer->pad_left + x;
      if (from_row < 0 || from_row >= layer->height || from_column < 0 || from_column >= layer->width) continue;
      const int8_t* values = input + (from_row * layer->width + from_column) * layer->depth;
      if (pooled) {
        if (values[channel] > found) found = values[channel];
      } else {
        const int8_t* row_of = weights + (y * layer->kernel_width + x) * layer->depth;
        for (int i = 0; i < layer->depth; ++i) found += (values[i] - layer->input_zero_point) * row_of[i];
      }
    }
  }
  return found;
}

static void Run(const acme_layer* layer, const int8_t* input, int8_t* output) {
  for (int row = 0; row < layer->rows; ++row) {
    for (int column = 0; column < layer->columns; ++column) {
      for (int channel = 0; channel < layer->channels; ++channel) {
        int32_t value = Window(layer, input, row, column, channel);
        if (layer->weights != 0) {
          value = Scaled(value + layer->bias[channel], layer->multipliers[channel], layer->shifts[channel]) +
                  layer->output_zero_point;
        }
        *output++ = (int8_t)Clamped(value, layer);
      }
    }
  }
}

void acme_infer(const uint8_t* input, uint8_t* output, uint8_t* arena) {
  const int8_t* from = (const int8_t*)input;
  for (int i = 0; i < acme_layer_count; ++i) {
    const int last = i + 1 == acme_layer_count;
    int8_t* to = last ? (int8_t*)output : (int8_t*)arena + (i % 2) * acme_half_bytes;
    Run(&acme_layers[i], from, to);
    from = to;
  }
}
