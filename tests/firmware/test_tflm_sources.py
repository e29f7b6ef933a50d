from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from harness.firmware.tflm_sources import DOWNLOADS, includes, missing_kernels, source_filter

KERNELS = "tensorflow/lite/micro/kernels"
SIGNAL = "signal/micro/kernels"
CORE = {
    "tensorflow/lite/kernels/kernel_util.cc": "",
    "tensorflow/lite/micro/micro_interpreter.cc": "",
    "tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc": "",
}
KERNEL = {
    f"{KERNELS}/kernel_util.cc": "",
    f"{KERNELS}/conv_common.cc": "",
    f"{KERNELS}/conv.h": "",
    f"{KERNELS}/conv.cc": f'#include "{KERNELS}/conv.h"\nTFLMRegistration Register_CONV_2D() {{',
    f"{KERNELS}/add.cc": "TFLMRegistration Register_ADD() {",
}
PLATFORMS = {
    "tensorflow/lite/experimental/microfrontend/lib/fft.cc": "",
    "tensorflow/lite/micro/micro_interpreter_test.cc": "",
    "tensorflow/lite/micro/mock_micro_graph.cc": "",
    "tensorflow/lite/micro/debug_log.cc": "",
    "tensorflow/lite/micro/arc_custom/system_setup.cc": "",
    "tensorflow/lite/micro/cortex_m_generic/micro_time.cc": "",
    "tensorflow/lite/micro/examples/hello_world/main.cc": "",
    "tensorflow/lite/micro/tools/gen_micro_mutable_op_resolver.cc": "",
    f"{KERNELS}/conv_test.cc": "Register_CONV_2D() {",
    f"{KERNELS}/conv_test.h": "",
    f"{KERNELS}/conv_test_common.cc": "",
    f"{KERNELS}/xtensa/conv.cc": "TFLMRegistration Register_CONV_2D() {",
}
CMSIS_NN = {
    f"{KERNELS}/cmsis_nn/conv.cc": f'#include "{KERNELS}/conv.h"\n'
    "TFLMRegistration Register_CONV_2D() {\n  arm_convolve_s8(1);\n}\n"
    "TFLMRegistration Register_CONV_2D_INT8() {\n",
}
CMSIS_NN_LIBRARY = {
    "cmsis_nn/Source/C/arm_convolve_s8.c": "arm_status\n"
    "arm_convolve_s8(int a) {\n  arm_nn_row(a);\n}\n",
    "cmsis_nn/Source/N/rows.c": "int8_t *arm_nn_row(int a)\n{\n  half_table[a];\n}\n",
    "cmsis_nn/Source/N/tables.c": "const uint16_t half_table[2] = {\n  0, 1};\n",
    "cmsis_nn/Source/N/others.c": "const uint16_t other_table[1] = {\n  0};\n",
    "cmsis_nn/Source/P/arm_avgpool_s8.c": "arm_status arm_avgpool_s8(int a) {}\n",
}
FFT = {
    f"{SIGNAL}/fft_auto_scale_kernel.cc": f'#include "{SIGNAL}/fft_auto_scale_kernel.h"\n'
    '#include "signal/src/fft_auto_scale.h"\nTFLMRegistration* Register_FFT_AUTO_SCALE() {',
    f"{SIGNAL}/fft_auto_scale_kernel.h": "",
    f"{SIGNAL}/fft_auto_scale_common.cc": "",
    f"{SIGNAL}/energy.cc": "TFLMRegistration* Register_ENERGY() {",
    "signal/src/fft_auto_scale.cc": '#include "signal/src/msb.h"',
    "signal/src/fft_auto_scale.h": "",
    "signal/src/msb.h": "",
    "signal/src/msb_32.cc": "",
    "signal/src/msb_64.cc": "",
    "signal/src/energy.cc": "",
}


def made(folder: Path, *sources: dict[str, str]) -> Path:
    for name, text in {name: text for part in sources for name, text in part.items()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def compiled(tree: Path, *operators: str, plain: bool = False) -> list[str]:
    """The sources of a tree that PlatformIO compiles: the last rule that matches one counts."""
    rules = source_filter(tree, operators, plain=plain)
    files = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.c*"))
    return [name for name in files if _is_taken(name, rules)]


def _is_taken(name: str, rules: list[str]) -> bool:
    taken = False
    for rule in rules:
        pattern = rule[2:-1]
        below = pattern.endswith("/") and name.startswith(pattern)
        same_folder = pattern.count("/") == name.count("/") or "**" in pattern
        if below or (same_folder and fnmatch(name, pattern)):
            taken = rule[0] == "+"
    return taken


def test_of_a_checkout_only_the_core_and_the_operators_kernels_are_compiled(
    tmp_path: Path,
) -> None:
    tree = made(tmp_path, CORE, KERNEL, PLATFORMS, FFT)
    kernels = [f"{KERNELS}/{name}.cc" for name in ("conv", "conv_common", "kernel_util")]
    assert compiled(tree, "CONV_2D") == sorted([*CORE, *kernels])


def test_cmsis_nn_replaces_a_reference_kernel_and_brings_what_it_calls(tmp_path: Path) -> None:
    library = {f"third_party/{name}": text for name, text in CMSIS_NN_LIBRARY.items()}
    tree = made(tmp_path, KERNEL, CMSIS_NN, library)
    assert compiled(tree, "CONV_2D") == [
        f"{KERNELS}/cmsis_nn/conv.cc",
        f"{KERNELS}/conv_common.cc",
        f"{KERNELS}/kernel_util.cc",
        "third_party/cmsis_nn/Source/C/arm_convolve_s8.c",
        "third_party/cmsis_nn/Source/N/rows.c",
        # No function's name leads to a table.
        "third_party/cmsis_nn/Source/N/tables.c",
    ]


def test_where_cmsis_nn_is_not_wanted_the_reference_kernels_are_taken(tmp_path: Path) -> None:
    library = {f"third_party/{name}": text for name, text in CMSIS_NN_LIBRARY.items()}
    tree = made(tmp_path, KERNEL, CMSIS_NN, library)
    assert compiled(tree, "CONV_2D", plain=True) == [
        f"{KERNELS}/{name}.cc" for name in ("conv", "conv_common", "kernel_util")
    ]
    assert missing_kernels(tree, ("CONV_2D",), plain=True) == ()


def test_cmsis_nn_is_found_among_the_downloads_and_not_used_where_it_is_missing(
    tmp_path: Path,
) -> None:
    tree = made(tmp_path, KERNEL, CMSIS_NN, {"third_party/cmsis_nn/BUILD": ""})
    assert f"{KERNELS}/conv.cc" in compiled(tree, "CONV_2D")
    made(tree, {f"{DOWNLOADS}/{name}": text for name, text in CMSIS_NN_LIBRARY.items()})
    found = compiled(tree, "CONV_2D")
    assert f"{KERNELS}/conv.cc" not in found
    assert f"{DOWNLOADS}/cmsis_nn/Source/N/rows.c" in found


def test_a_signal_operator_brings_its_kernel_and_what_lies_behind_the_headers(
    tmp_path: Path,
) -> None:
    tree = made(tmp_path, KERNEL, FFT)
    assert compiled(tree, "SignalFftAutoScale") == [
        f"{SIGNAL}/fft_auto_scale_common.cc",
        f"{SIGNAL}/fft_auto_scale_kernel.cc",
        "signal/src/fft_auto_scale.cc",
        "signal/src/msb_32.cc",
        "signal/src/msb_64.cc",
        f"{KERNELS}/kernel_util.cc",
    ]


def test_operators_without_a_kernel_are_named(tmp_path: Path) -> None:
    tree = made(tmp_path, KERNEL, FFT, PLATFORMS)
    operators = ("ADD", "SignalEnergy", "SignalRfft", "ADD_N")
    assert missing_kernels(tree, operators) == ("SignalRfft", "ADD_N")


def test_kissfft_is_included_from_where_it_lies(tmp_path: Path) -> None:
    tree = made(tmp_path, {"third_party/kissfft/BUILD": ""})
    assert includes(tree) == [tree]
    made(tree, {f"{DOWNLOADS}/kissfft/kiss_fft.h": ""})
    assert includes(tree) == [tree, tree / DOWNLOADS / "kissfft"]
