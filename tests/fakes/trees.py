"""Source trees of TFLite Micro, as small as they can be."""

from __future__ import annotations

from pathlib import Path

from harness.firmware.tflm_sources import DOWNLOADS

KERNELS = "tensorflow/lite/micro/kernels"
SOURCES = {
    "tensorflow/lite/micro/micro_interpreter.h": "",
    f"{KERNELS}/conv_common.cc": "",
    f"{KERNELS}/conv.h": "",
    f"{KERNELS}/conv.cc": "TFLMRegistration Register_CONV_2D() {",
    f"{KERNELS}/fully_connected_common.cc": "data->is_per_channel = true;",
    f"{KERNELS}/kernel_util.cc": "",
    f"{KERNELS}/add.cc": "TFLMRegistration Register_ADD() {",
}
INCLUDED = {
    "flatbuffers/include/flatbuffers/flatbuffers.h": "",
    "gemmlowp/fixedpoint/fixedpoint.h": "",
    "ruy/ruy/profiler/instrumentation.h": "",
}
THIRD_PARTY = {f"third_party/{name}": text for name, text in INCLUDED.items()}
DOWNLOADED = {f"{DOWNLOADS}/{name}": text for name, text in INCLUDED.items()}


def made(folder: Path, *sources: dict[str, str]) -> Path:
    """Write files by their names."""
    for name, text in {name: text for part in sources for name, text in part.items()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
