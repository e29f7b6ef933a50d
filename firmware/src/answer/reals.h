#pragma once

#include "answer/text.h"
#include "tensor.h"

// Tensors as numbers in the model's own unit, for the dialects that are text.

void StoreInputs(const TensorSpecs& specs, const float* values);  // Into runtime::Input(), one value per element.
void AddOutputs(const TensorSpecs& specs, Text* out);             // Of runtime::Output(), separated by commas.
