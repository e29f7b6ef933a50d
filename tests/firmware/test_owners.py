"""Owners by name. tests/firmware/test_elf.py holds the same rules against real builds."""

import shutil
import subprocess

import pytest

from harness.firmware.owners import owner_of, scope_names
from harness.measure.tables import HARNESS, KERNELS, MODEL, OWNERS, REST, RUNTIME

FUNCTIONS = [
    ("_ZN3app5SetupEv", "", HARNESS),
    ("_ZN4port5TicksEv", "", HARNESS),
    ("_ZN6Server5HelloER6ReaderR6Writer.part.0", "server.cpp", HARNESS),
    ("_GLOBAL__sub_I__ZN3app5SetupEv", "main.cpp", HARNESS),
    ("_ZN7runtime6InvokeEv", "", HARNESS),
    ("__wrap_malloc", "", HARNESS),
    ("bknn_model_infer", "", RUNTIME),
    ("bknn_model_linear_s8", "", KERNELS),
    ("_ZN12_GLOBAL__N_15InferEv", "model_aot.cpp", RUNTIME),
    ("arm_nn_mat_mult_nt_t_s8", "", KERNELS),
    ("arm_convolve_s8", "", KERNELS),
    ("esp_nn_conv_s8_opt", "", KERNELS),
    ("esp_timer_get_time", "", REST),
    ("_ZN6tflite16MicroInterpreter6InvokeEv", "", RUNTIME),
    ("_ZNK6tflite22MicroMutableOpResolverILj5EE6FindOpEPKc", "", RUNTIME),
    (
        "_ZThn4_N6tflite26SingleArenaBufferAllocator24AllocatePersistentBufferEjj",
        "",
        RUNTIME,
    ),
    ("_ZN6tflite11ParseConv2DEPKNS_8OperatorE", "", RUNTIME),
    ("_ZN6tflite16Register_CONV_2DEv", "", KERNELS),
    ("_ZN6tflite12_GLOBAL__N_17PrepareEP13TfLiteContextP10TfLiteNode", "conv.cc", KERNELS),
    (
        "_ZN6tflite13reference_ops7MaxPoolERKNS_10PoolParamsERKNS_12RuntimeShapeEPKfS5_Pf",
        "",
        KERNELS,
    ),
    ("_ZN7runtime8ResolverEv", "", RUNTIME),
    ("_Z11MicroPrintfPKcz", "", RUNTIME),
    ("TfLiteTypeGetName", "", RUNTIME),
    ("memcpy", "", REST),
    ("__aeabi_dadd", "", REST),
    ("HAL_UART_IRQHandler", "", REST),
    ("_ZN4mbed6detail4FnoneEv", "", REST),
]

VARIABLES = [
    ("bknn_model_constant_4", "", MODEL),
    ("bknn_model_op0_multiplier", "", MODEL),
    ("_ZN12_GLOBAL__N_15arenaE", "model_tflm.cpp", MODEL),
    ("_ZN12_GLOBAL__N_110flatbufferE", "model_tflm.cpp", MODEL),
    ("_ZN7runtime9kAotModelE", "", MODEL),
    ("_ZZN7runtime8ResolverEvE5place", "operators_tflm.cpp", RUNTIME),
    ("_ZN7runtime12_GLOBAL__N_117interpreter_placeE", "tflm.cpp", RUNTIME),
    ("_ZN7runtime12_GLOBAL__N_14noteE", "tflm.cpp", HARNESS),
    ("_ZTVN6tflite14MicroAllocatorE", "", RUNTIME),
    ("_ZZN6tflite24EnumNamesBuiltinOperatorEvE5names", "", RUNTIME),
    ("_ZN12_GLOBAL__N_115error_reporter_E", "micro_error_reporter.cc", RUNTIME),
    ("_ZN6tflite16kConvInputTensorE", "", KERNELS),
    ("_ZN12_GLOBAL__N_17buffersE", "main.cpp", HARNESS),
    ("CSWTCH.11", "cortex_m.cpp", HARNESS),
    ("CSWTCH.11", "some_core_file.c", REST),
    ("impure_data", "impure.c", REST),
    ("Serial2", "", REST),
    ("vectors", "", REST),
]


@pytest.mark.parametrize("name, file, owner", FUNCTIONS)
def test_function_is_its_owners(name: str, file: str, owner: str) -> None:
    assert owner_of(name, file=file, is_function=True) == owner


@pytest.mark.parametrize("name, file, owner", VARIABLES)
def test_variable_is_its_owners(name: str, file: str, owner: str) -> None:
    assert owner_of(name, file=file, is_function=False) == owner


@pytest.mark.parametrize("name", ["", ".", "_Z", "_ZN", "_ZNK", "_ZN9", "_ZN6tfliteI", "_ZTV", "é"])
def test_a_broken_name_has_an_owner_too(name: str) -> None:
    assert owner_of(name, file="", is_function=True) in OWNERS


# By GNU c++filt 2.40, template arguments and parameters taken off.
DEMANGLED = {
    "_ZN3app5SetupEv": "app::Setup",
    "_ZNK6tflite8ResolverILj5EE6FindOpEPKc": "tflite::Resolver::FindOp",
    "_Z5Crc32PKhj": "Crc32",
    "_ZL4data": "data",
    "_ZNSt6vectorIiSaIiEE9push_backERKi": "std::vector::push_back",
    "_ZZN7runtime8ResolverEvE5place": "runtime::Resolver",
    "memcpy": "",
}


@pytest.mark.parametrize("mangled", DEMANGLED)
def test_names_are_taken_out_of_mangled_ones(mangled: str) -> None:
    assert "::".join(scope_names(mangled)) == DEMANGLED[mangled]


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="c++filt is not installed")
def test_names_are_those_of_binutils() -> None:
    mangled = [name for name, _, _ in FUNCTIONS if scope_names(name) and "." not in name]
    done = subprocess.run(["c++filt", *mangled], capture_output=True, text=True, check=True)
    for name, shown in zip(mangled, done.stdout.splitlines(), strict=True):
        for scope in scope_names(name):
            assert scope in shown, f"{name}: {shown}"
