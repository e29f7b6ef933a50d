"""Assigns each firmware symbol to an owner, by its name and source file.

An ELF file names the source file of local symbols only, so most rules go by the symbol's name.
docs/memory.md says what each owner means. A test checks these rules against the object files of
real builds.
"""

from __future__ import annotations

import re

from harness.measure.tables import HARNESS, KERNELS, MODEL, REST, RUNTIME

_MODEL_FILES = {"model_aot.cpp", "model_tflm.cpp"}
_OPERATORS_FILE = "operators_tflm.cpp"
_OWN_FILES = frozenset(
    f"{stem}.cpp"
    for stem in (
        "main format status tensor aot tflm tflm_log tflm_swap loading sha256 arduino "
        "netduinoplus2 mps2 mps2_vectors "
        "nrf52840 nrf52840_vectors bare_heap bare_main bare_new cortex_m cortex_m_fault "
        "stm32_fault clock cobs crc32 decimal frame human measure mlperf operations profile "
        "reals receiver server state text ticks token linked qemu_virt riscv"
    ).split()
)
_OWN_SCOPES = frozenset(
    (
        "app human netduinoplus2 port Clock Loading Mlperf Operations Profiler Reader Receiver "
        "Server State Text TextBuffer Token Writer AddOutputs CobsDecode CobsEncode Crc32 "
        "ElementCount ElementSize EndWithFault FormatDigits FormatFixed4 HeapTrap LoadU32 "
        "MeasureTimer Microseconds NextToken OpenFrame PackTicks ParseDecimal SealFrame Sha256 "
        "SizeBytes StatusName StoreInputs StoreU32 TimedInvoke"
    ).split()
)
_OWN_NAMES = frozenset(
    (
        "main setup loop ResetHandler NmiHandler FaultHandler ReportFault UartRxHandler "
        "UarteHandler WakeHandler DebugLog DebugVsnprintf hil_step_begin hil_step_end "
        "_ZeqRK5TokenPKc hil_setup hil_received hil_poll "
        "hil_waiting ExternalHandler TrapVectors Start"
    ).split()
)
_DESCRIPTIONS = {"kAotModel", "kTflmModel", "kTflmRoom", "kTflmTraits", "kSteps"}
# Storage for TFLM's own objects, in our runtime/tflm.cpp.
_TFLM_OBJECTS = {"Resolver", "interpreter", "interpreter_place", "planner_place", "arena_place"}

_KERNEL = re.compile(r"arm_[a-z]|esp_nn_|bknn_|xa_nn_|riscv_nn_")
_BAKENN_CONTROL = re.compile(r"bknn_\w*_(infer|init|prepare|profile\w*)$")
_TFLM_C = re.compile(r"TfLite|V?MicroPrintf|MicroV?[Ss]nprintf|RegisterDebugLog")
_TFLM_CORE_FILE = re.compile(
    r"(micro_(?!tensor_utils)|flatbuffer_|memory_(helpers|plan)|greedy_|linear_memory|schema_utils"
    r"|(non_)?persistent_|single_arena_|recording_|error_reporter|tensor_utils|common\.c|debug_log"
    r"|system_setup|op_resolver)"
)
_TFLM_CORE_FUNCTION = re.compile(
    r"(Parse[A-Z]|MicroContext|Align|BytesRequired|CallBuiltin|Convert(TensorType|Tensor)|Element"
    r"|FlatBuffer|EnumName|Get(BuiltinCode|MicroErrorReporter|RegistrationFrom|Current|Model"
    r"|ErrorReporter)|InitializeTarget|IsExplicit|NumSubgraph|ReverseSort|TfLite|VerifyModel"
    r"|ticks_per_second|TicksTo)"
)
_KERNEL_CLASSES = {"RuntimeShape"}
_SPECIAL = re.compile(r"T[VTIS]|G[VR]|Th[n]?\d+_|Tv[n]?\d+_n?\d+_|Z|L")
_IDENTIFIER = re.compile(r"L?(\d+)")
_ANONYMOUS = "_GLOBAL__N_1"


def owner_of(name: str, *, file: str, is_function: bool) -> str:
    """The owner of a symbol, one of OWNERS; `rest` if no rule knows it.

    Args:
        name: as in the ELF file, mangled.
        file: name of the source file of a local symbol, empty for a global one.
    """
    # Parts that the compiler splits off a function have a suffix: .part.0, .constprop.0, .isra.0.
    base = name.partition(".")[0] or name
    scopes = scope_names(base)
    top = scopes[0] if scopes else ""
    if file in _MODEL_FILES:
        return RUNTIME if is_function else MODEL
    if top == "tflite" or "TfLiteNode" in base:
        return _tflm_owner(base, scopes, file)
    if top == "runtime":
        return _adapter_owner(scopes)
    if top == "flatbuffers" or file == _OPERATORS_FILE or _TFLM_C.match(top or base):
        return RUNTIME
    if top in ("gemmlowp", "ruy"):
        return KERNELS
    if top in _OWN_SCOPES or base in _OWN_NAMES or file in _OWN_FILES or base[:7] == "__wrap_":
        return HARNESS
    if _KERNEL.match(base):
        return _kernel_owner(base, is_function)
    anonymous = not scopes or _ANONYMOUS in base
    return RUNTIME if anonymous and file and _tflm_core_file(file) else REST


def _adapter_owner(scopes: tuple[str, ...]) -> str:
    """The owner of a symbol in namespace `runtime`, which also holds objects of model and TFLM."""
    if _DESCRIPTIONS & set(scopes):
        return MODEL
    return RUNTIME if _TFLM_OBJECTS & set(scopes) else HARNESS


def _kernel_owner(name: str, is_function: bool) -> str:
    if not name.startswith("bknn_"):
        return KERNELS
    if not is_function:
        return MODEL
    return RUNTIME if _BAKENN_CONTROL.match(name) else KERNELS


def _tflm_owner(name: str, scopes: tuple[str, ...], file: str) -> str:
    """Tells TFLM's interpreter from its kernels, which share the namespace `tflite`."""
    inside = scopes[1:] if scopes[:1] == ("tflite",) else scopes
    if file and _tflm_core_file(file):
        return RUNTIME
    if file or not inside:
        return KERNELS
    first = inside[0]
    described = name.startswith(("_ZTV", "_ZTI", "_ZTS"))
    if first[0].isupper() and (len(inside) > 1 or described):
        return KERNELS if first in _KERNEL_CLASSES else RUNTIME
    return RUNTIME if first == "internal" or _TFLM_CORE_FUNCTION.match(first) else KERNELS


def _tflm_core_file(file: str) -> bool:
    return _TFLM_CORE_FILE.match(file) is not None


def scope_names(mangled: str) -> tuple[str, ...]:
    """Namespaces, classes and name of a C++ symbol, outermost first; empty for other symbols.

    Leaves out anonymous namespaces, template arguments and everything behind an operator's name.
    Name mangling: Itanium C++ ABI, section 5.1.
    """
    if not mangled.startswith("_Z"):
        return ()
    at = 2
    while (special := _SPECIAL.match(mangled, at)) and special.end() < len(mangled):
        at = special.end()
    nested = mangled[at : at + 1] == "N"
    if nested:
        at += 1
        while mangled[at : at + 1] in ("r", "V", "K", "R", "O"):
            at += 1
    names: list[str] = []
    while at < len(mangled):
        if mangled.startswith("St", at):
            names.append("std")
            at += 2
        elif identifier := _IDENTIFIER.match(mangled, at):
            end = identifier.end() + int(identifier[1])
            names.append(mangled[identifier.end() : end])
            at = end
        elif mangled[at] == "I" and nested:
            at = _after_arguments(mangled, at)
        elif mangled[at] in "CD" and mangled[at + 1 : at + 2].isdigit():
            names.append(mangled[at : at + 2])
            at += 2
        else:
            break
        if not nested:
            break
    return tuple(name for name in names if name != _ANONYMOUS)


def _after_arguments(mangled: str, at: int) -> int:
    """Index behind the template arguments that begin at `at`; the end of the name if unclear."""
    depth = 0
    while at < len(mangled):
        letter = mangled[at]
        if letter == "L" and not mangled.startswith("L_Z", at):
            at = mangled.find("E", at) + 1 or len(mangled)
            continue
        if letter.isdigit():
            identifier = _IDENTIFIER.match(mangled, at)
            assert identifier is not None
            at = identifier.end() + int(identifier[1])
            continue
        if letter in "ST" and (short := re.compile(r"[ST][0-9A-Z]*_").match(mangled, at)):
            at = short.end()
            continue
        if letter == "A" and (array := re.compile(r"A\d*_").match(mangled, at)):
            at = array.end()
            continue
        depth += (letter in "INXFJ") - (letter == "E")
        at += 1
        if depth == 0:
            return at
    return len(mangled)
