// The file of a model that came over the link, checked before TFLM, which trusts files, sees it.
#ifdef HIL_SWAP

#include <cstring>

#include "runtime/tflm.h"

#pragma GCC diagnostic push  // Foreign headers answer to their authors' warnings.
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#include "tensorflow/lite/schema/schema_generated.h"
#pragma GCC diagnostic pop

namespace runtime {
namespace {

constexpr uint32_t kMostTensorBytes = 1u << 28;
char brought_name[kMostModelName + 1];

constexpr char kOfflinePlan[] = "OfflineMemoryAllocation";
constexpr int32_t kPlannedByTflm = -1;

// Of the elements of a tensor in eighths of a byte, since two int4 share one; 0 for a type that no kernel has.
uint32_t ElementBits(tflite::TensorType type) {
  switch (static_cast<int>(type)) {
    case 17: return 4;                                    // int4
    case 3: case 6: case 9: return 8;                     // uint8, bool, int8
    case 1: case 7: case 16: return 16;                   // float16, int16, uint16
    case 0: case 2: case 15: return 32;                   // float32, int32, uint32
    case 4: case 8: case 10: case 12: return 64;          // int64, complex64, float64, uint64
    default: return 0;
  }
}

// Checks a file whose tables and vectors are known to lie within it.
class Check {
 public:
  Check(const BroughtModel& brought, const tflite::Model* model, TextBuffer* note)
      : brought_(brought), model_(model), note_(note) {}

  Status Run() {
    const auto* const graphs = model_->subgraphs();
    if (model_->buffers() == nullptr || model_->buffers()->size() == 0) return Bad("it has no buffers");
    if (graphs == nullptr || graphs->size() == 0) return Bad("it has no subgraph");
    const Status operators = Operators();
    if (operators != Status::kOk) return operators;
    for (uint32_t index = 0; index < graphs->size(); ++index) {
      const Status status = Subgraph(*graphs->Get(index));
      if (status != Status::kOk) {
        note_->Add(" of subgraph ").AddNumber(index);
        return status;
      }
    }
    for (size_t i = 0; i < brought_.initializer_count; ++i) {
      const uint16_t index = brought_.initializers[i];
      if (index == 0 || index >= graphs->size()) return Bad("no subgraph to begin with ", index);
    }
    return Metadata();
  }

 private:
  Status Bad(const char* what) {
    note_->Add(what);
    return Status::kBadModel;
  }
  Status Bad(const char* what, uint64_t number) {
    note_->Add(what).AddNumber(number);
    return Status::kBadModel;
  }

  Status Operators() {
    if (model_->operator_codes() == nullptr) return Bad("it has no operators");
    for (const auto* const code : *model_->operator_codes()) {
      if (KindOf(*code) >= KindCount()) {
        const bool named = code->custom_code() != nullptr;
        note_->Add("operator ");
        if (named) {
          note_->Add(code->custom_code()->c_str());
        } else {
          note_->AddNumber(static_cast<uint64_t>(Number(*code)));
        }
        return Status::kUnknownOperator;
      }
    }
    return Status::kOk;
  }

 public:
  // Files of before 2020 have the number in one byte, the others in both.
  static int32_t Number(const tflite::OperatorCode& code) {
    const int32_t old = code.deprecated_builtin_code();
    const int32_t now = static_cast<int32_t>(code.builtin_code());
    return old > now ? old : now;
  }

  // The place of an operator among the kinds; their number if it is none.
  static size_t KindOf(const tflite::OperatorCode& code) {
    const int32_t number = Number(code);
    const bool custom = number == static_cast<int32_t>(tflite::BuiltinOperator_CUSTOM);
    const char* const name = code.custom_code() != nullptr ? code.custom_code()->c_str() : "";
    size_t kind = 0;
    for (; kind < KindCount(); ++kind) {
      const OperatorKind known = KindAt(kind);
      if (known.code == number && (!custom || strcmp(known.name, name) == 0)) break;
    }
    return kind;
  }

 private:
  Status Subgraph(const tflite::SubGraph& graph) {
    if (graph.tensors() == nullptr || graph.operators() == nullptr || graph.inputs() == nullptr || graph.outputs() == nullptr) {
      return Bad("a list is absent");
    }
    const uint32_t tensors = graph.tensors()->size();
    for (uint32_t index = 0; index < tensors; ++index) {
      const Status status = Tensor(*graph.tensors()->Get(index));
      if (status != Status::kOk) {
        note_->Add(" in tensor ").AddNumber(index);
        return status;
      }
    }
    if (!Within(*graph.inputs(), 0, tensors) || !Within(*graph.outputs(), 0, tensors)) return Bad("an end is no tensor");
    for (uint32_t index = 0; index < graph.operators()->size(); ++index) {
      const Status status = Operator(*graph.operators()->Get(index), tensors);
      if (status != Status::kOk) {
        note_->Add(" in operator ").AddNumber(index);
        return status;
      }
    }
    return Status::kOk;
  }

  static bool Within(const flatbuffers::Vector<int32_t>& links, int32_t least, uint32_t count) {
    for (const int32_t link : links) {
      if (link < least || link >= static_cast<int64_t>(count)) return false;
    }
    return true;
  }

  // An input may be absent, which is -1.
  Status Operator(const tflite::Operator& node, uint32_t tensors) {
    if (node.opcode_index() >= model_->operator_codes()->size()) return Bad("a kind that it does not name");
    if (node.inputs() == nullptr || node.outputs() == nullptr) return Bad("a list is absent");
    const bool inside = Within(*node.inputs(), -1, tensors) && Within(*node.outputs(), 0, tensors) &&
                        (node.intermediates() == nullptr || Within(*node.intermediates(), -1, tensors));
    return inside ? Status::kOk : Bad("a link to no tensor");
  }

  Status Tensor(const tflite::Tensor& tensor) {
    const uint32_t bits = ElementBits(tensor.type());
    if (bits == 0) return Bad("a type without kernels");
    uint64_t elements = 1;
    if (tensor.shape() != nullptr) {
      for (const int32_t size : *tensor.shape()) {
        if (size < 0) return Bad("a size below 0");
        elements *= static_cast<uint32_t>(size);
        if (elements > kMostTensorBytes) return Bad("a size that no board has");
      }
    }
    const uint64_t bytes = (elements * bits + 7) / 8;
    if (bytes > kMostTensorBytes) return Bad("a size that no board has");
    if (tensor.buffer() >= model_->buffers()->size()) return Bad("a buffer that is not there");
    const auto* const data = model_->buffers()->Get(tensor.buffer())->data();
    if (data != nullptr && data->size() > 0) {
      if (data->size() < bytes) return Bad("fewer bytes than its shape says");
      const size_t alignment = bits < 8 ? 1 : bits / 8;
      if ((data->data() - brought_begin()) % static_cast<ptrdiff_t>(alignment) != 0) return Bad("bytes out of alignment");
    }
    return Quantization(tensor.quantization());
  }

  static const uint8_t* brought_begin() { return RoomForModel().data; }

  // TFLM takes a zero point for each scale, or one for all.
  Status Quantization(const tflite::QuantizationParameters* quantization) {
    if (quantization == nullptr || quantization->scale() == nullptr || quantization->zero_point() == nullptr) {
      return Status::kOk;
    }
    const uint32_t scales = quantization->scale()->size();
    const uint32_t points = quantization->zero_point()->size();
    return points <= 1 || points == scales ? Status::kOk : Bad("as many zero points as scales are needed");
  }

  Status Metadata() {
    if (model_->metadata() == nullptr) return Status::kOk;
    for (const auto* const entry : *model_->metadata()) {
      if (entry->buffer() >= model_->buffers()->size()) return Bad("metadata in a buffer that is not there");
      if (entry->name() == nullptr || strcmp(entry->name()->c_str(), kOfflinePlan) != 0) continue;
      const auto* const data = model_->buffers()->Get(entry->buffer())->data();
      constexpr uint32_t kHead = 3;  // Numbers before the offsets; the last of them counts these.
      if (data == nullptr || data->size() < 4 * kHead) return Bad("an offline plan without a head");
      uint32_t count = 0;
      memcpy(&count, data->data() + 8, sizeof count);
      if (count > data->size() / 4 - kHead) return Bad("an offline plan that is cut off");
      if ((data->data() - brought_begin()) % 4 != 0) return Bad("an offline plan out of alignment");
      const Status status = Plan(data->data() + 4 * kHead, count);
      if (status != Status::kOk) return status;
    }
    return Status::kOk;
  }

  // TFLM puts each tensor where the plan says, also before the arena. That it has an offset for each it checks itself.
  Status Plan(const uint8_t* offsets, uint32_t count) {
    uint32_t index = 0;
    for (const auto* const graph : *model_->subgraphs()) {
      for (const auto* const tensor : *graph->tensors()) {
        if (index == count) return Status::kOk;
        int32_t offset = 0;
        memcpy(&offset, offsets + 4 * index++, sizeof offset);
        if (offset == kPlannedByTflm) continue;
        const uint32_t bits = ElementBits(tensor->type());
        const int32_t alignment = bits < 8 ? 1 : static_cast<int32_t>(bits / 8);
        const bool good = offset >= 0 && offset <= static_cast<int32_t>(kMostTensorBytes) && offset % alignment == 0;
        if (!good) return Bad("an offline plan with a place that cannot be, of tensor ", index - 1);
      }
    }
    return Status::kOk;
  }

  const BroughtModel& brought_;
  const tflite::Model* const model_;
  TextBuffer* const note_;
};

// As the host reads it: a tensor with a scale but without a zero point has 0 of that.
bool Describe(const tflite::Tensor& tensor, TensorSpec* spec) {
  const uint32_t rank = tensor.shape() != nullptr ? tensor.shape()->size() : 0;
  *spec = {};
  spec->dtype = static_cast<uint8_t>(tensor.type());
  if (rank > kMaxRank || ElementSize(spec->dtype) == 0) return false;
  spec->rank = static_cast<uint8_t>(rank);
  for (uint32_t axis = 0; axis < rank; ++axis) spec->dims[axis] = static_cast<uint32_t>(tensor.shape()->Get(axis));
  const auto* const quantization = tensor.quantization();
  if (quantization == nullptr || quantization->scale() == nullptr || quantization->scale()->size() == 0) return true;
  spec->scale = quantization->scale()->Get(0);
  if (quantization->zero_point() != nullptr && quantization->zero_point()->size() > 0) {
    spec->zero_point = static_cast<int32_t>(quantization->zero_point()->Get(0));
  }
  return true;
}

// The ends that `links` names, into `specs`; false where one of them cannot be sent.
bool DescribeAll(const tflite::SubGraph& graph, const flatbuffers::Vector<int32_t>& links, TensorSpec* specs) {
  for (const int32_t link : links) {
    if (!Describe(*graph.tensors()->Get(static_cast<uint32_t>(link)), specs++)) return false;
  }
  return true;
}

Status Ends(const tflite::SubGraph& graph, TflmModel* run, TextBuffer* note) {
  const uint32_t inputs = graph.inputs()->size();
  const uint32_t outputs = graph.outputs()->size();
  if (inputs == 0 || outputs == 0 || inputs > kTflmRoom.most_specs || outputs > kTflmRoom.most_specs - inputs) {
    note->AddNumber(inputs).Add(" inputs and ").AddNumber(outputs).Add(" outputs, at most ");
    note->AddNumber(kTflmRoom.most_specs).Add(" together");
    return Status::kBadModel;
  }
  TensorSpec* const specs = kTflmRoom.specs;
  if (!DescribeAll(graph, *graph.inputs(), specs) || !DescribeAll(graph, *graph.outputs(), specs + inputs)) {
    note->Add("an input or output of a type or rank that cannot be sent");
    return Status::kBadModel;
  }
  run->inputs = {specs, static_cast<uint8_t>(inputs)};
  run->outputs = {specs + inputs, static_cast<uint8_t>(outputs)};
  run->input_size = static_cast<uint32_t>(SizeBytes(run->inputs));
  run->output_size = static_cast<uint32_t>(SizeBytes(run->outputs));
  run->output = outputs > 1 ? kTflmRoom.output : nullptr;
  const bool gathered = outputs == 1 || run->output_size <= kTflmRoom.output_bytes;
  if (run->input_size > 0 && run->output_size > 0 && run->input_size <= kTflmRoom.input_bytes && gathered) return Status::kOk;
  note->AddNumber(run->input_size).Add(" bytes of inputs and ").AddNumber(run->output_size);
  note->Add(" of outputs, room for ").AddNumber(kTflmRoom.input_bytes).Add(" and ").AddNumber(kTflmRoom.output_bytes);
  return Status::kBadModel;
}

}  // namespace

Status CheckModel(const BroughtModel& model, TflmModel* run, TextBuffer* note) {
  constexpr size_t kBytesOfVariable = 64;  // More than TFLM takes for its list of them, and again for each.
  flatbuffers::Verifier verifier(kTflmRoom.model, model.size);
  if (!tflite::VerifyModelBuffer(verifier)) {
    note->Add("no flatbuffer of a model");
    return Status::kBadModel;
  }
  const tflite::Model* const file = tflite::GetModel(kTflmRoom.model);
  const Status checked = Check(model, file, note).Run();
  if (checked != Status::kOk) return checked;
  *run = kTflmModel;
  const Status ends = Ends(*file->subgraphs()->Get(0), run, note);
  if (ends != Status::kOk) return ends;
  run->flatbuffer = kTflmRoom.model;
  memcpy(run->model_sha256, model.sha256, sizeof model.sha256);
  memcpy(brought_name, model.name, sizeof brought_name);
  run->model_name = brought_name;
  run->stateful = model.stateful;
  run->variables_bytes = model.variables > 0 ? static_cast<uint32_t>(kBytesOfVariable * (model.variables + 1u)) : 0;
  return Status::kOk;
}

KernelCounts CountKernels(const uint8_t* flatbuffer, bool quantized) {
  KernelCounts counts = {0, 0, 0};
  const auto* const codes = tflite::GetModel(flatbuffer)->operator_codes();
  for (const auto* const code : *codes) {
    const size_t kind = Check::KindOf(*code);
    if (kind >= KindCount()) continue;
    const OperatorKind known = KindAt(kind);
    ++counts.operators;
    // Float tensors go through the reference code, whatever else the kernel's file brings in.
    if (quantized && known.cmsis_nn) ++counts.cmsis_nn;
    if (quantized && known.esp_nn) ++counts.esp_nn;
  }
  return counts;
}

}  // namespace runtime

#endif
