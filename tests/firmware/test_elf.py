"""Memory of real builds: the rules of owners.py against the objects the compiler made."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from fakes.linking import BSS, MBED_REST, link, script
from fakes.sources import copied_sources

from harness.board.registry import load_registry
from harness.firmware.build import Builder, Firmware
from harness.firmware.elf import (
    elf_sections,
    has_symbols,
    memory_by_owner,
    memory_parts,
    opened_elf,
    read_parts,
    symbol_table,
)
from harness.firmware.memory import MemoryByOwner, Section, ram_bytes
from harness.firmware.owners import owner_of
from harness.measure.tables import HARNESS, KERNELS, MODEL, OWNERS, REST, RUNTIME
from harness.model.resolve import resolve_model
from harness.project import find_project

PROJECT = find_project()
QEMU_M4 = load_registry()["qemu-m4"]
SINE = resolve_model("sine", PROJECT.artifacts)
RISCV_GCC = "riscv64-unknown-elf-gcc"
NOT_OURS = {"vectors", "abort", "__assert_func", "__cxa_pure_virtual"}
"""Of our sources, but what any firmware has: `rest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A firmware and the folder of its objects."""

    firmware: Firmware
    objects: Path


def build_afresh(folder: Path, runtime: str, tflm: Path | None = None) -> Built:
    """In a copy of the sources, so that the objects lie there whatever was built before."""
    project = copied_sources(folder)
    firmware = Builder(project, tflm=tflm).build(QEMU_M4, runtime, SINE)
    (objects,) = (folder / "state" / "build").glob(f"*/pio/build/{QEMU_M4.env[runtime]}")
    return Built(firmware=firmware, objects=objects)


@pytest.fixture(scope="module")
def aot(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_afresh(tmp_path_factory.mktemp("aot"), "aot")


@pytest.fixture(scope="module")
def tflm(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = os.environ.get("HIL_TFLM")
    if not folder:
        pytest.skip("$HIL_TFLM names no TFLM library")
    return build_afresh(tmp_path_factory.mktemp("tflm"), "tflm", Path(folder).resolve())


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A function or variable of an object or ELF file."""

    name: str
    file: str
    size_bytes: int
    is_function: bool

    @property
    def owner(self) -> str:
        return owner_of(self.name, file=self.file, is_function=self.is_function)


def named(path: Path) -> Iterator[Named]:
    """By pyelftools, where harness/firmware/elf.py reads by hand."""
    with path.open("rb") as stream:
        file = ""
        for symbol in ELFFile(stream).get_section_by_name(".symtab").iter_symbols():
            kind = symbol["st_info"]["type"]
            if kind == "STT_FILE":
                file = symbol.name
            elif kind in ("STT_FUNC", "STT_OBJECT") and symbol["st_size"]:
                if isinstance(symbol["st_shndx"], int):
                    local = symbol["st_info"]["bind"] == "STB_LOCAL"
                    yield Named(
                        name=symbol.name,
                        file=file if local else "",
                        size_bytes=symbol["st_size"],
                        is_function=kind == "STT_FUNC",
                    )


def linked(built: Built, pattern: str) -> list[Named]:
    """What of the objects that match a pattern is in the firmware."""
    kept = set(named(built.firmware.elf))
    paths = sorted(built.objects.glob(pattern))
    return [symbol for path in paths for symbol in named(path) if symbol in kept]


def check_our_objects(built: Built) -> None:
    ours = linked(built, "src/**/*.o")
    assert len(ours) > 50
    runtimes = sum(symbol.size_bytes for symbol in ours if symbol.owner == RUNTIME)
    # The places of TFLM's own objects, and its inline functions.
    assert runtimes < 0.02 * sum(symbol.size_bytes for symbol in ours)
    others = [symbol for symbol in ours if symbol.owner not in (HARNESS, RUNTIME)]
    assert {symbol.name for symbol in others} <= NOT_OURS


def test_what_is_compiled_from_our_sources_is_the_harness(aot: Built) -> None:
    check_our_objects(aot)
    assert not [symbol for symbol in linked(aot, "src/**/*.o") if symbol.owner == RUNTIME]


def test_what_is_generated_is_model_runtime_or_kernels(aot: Built) -> None:
    generated = linked(aot, "model/**/*.o")
    assert {symbol.owner for symbol in generated} == {MODEL, RUNTIME, KERNELS}
    assert all((symbol.owner == MODEL) != symbol.is_function for symbol in generated)


def test_kernels_and_interpreter_of_tflm_are_told_apart_by_their_folders(tflm: Built) -> None:
    check_our_objects(tflm)
    library = "lib*/*/tensorflow/lite"
    kernels = linked(tflm, f"{library}/micro/kernels/**/*.o") + linked(
        tflm, f"{library}/kernels/**/*.o"
    )
    kernels += linked(tflm, "lib*/*/third_party/cmsis_nn/**/*.o")
    core = [
        symbol
        for pattern in ("micro/*.o", "micro/[!k]*/**/*.o", "core/**/*.o")
        for symbol in linked(tflm, f"{library}/{pattern}")
    ]
    assert kernels and core
    for expected, symbols in ((KERNELS, kernels), (RUNTIME, core)):
        whole = sum(symbol.size_bytes for symbol in symbols)
        wrong = [symbol for symbol in symbols if symbol.owner != expected]
        assert sum(symbol.size_bytes for symbol in wrong) <= 0.01 * whole, wrong


def test_owners_add_up_to_every_section(aot: Built) -> None:
    parts = memory_parts(aot.firmware.elf)
    for section in aot.firmware.sections:
        within = [part for part in parts if part.section == section.name]
        assert sum(part.flash_bytes for part in within) == section.size_bytes * section.in_flash
        assert sum(part.ram_bytes for part in within) == section.size_bytes * section.in_ram
    total = aot.firmware.memory
    flash, ram = (
        sum(getattr(total, f"{memory}_{owner}_bytes") for owner in OWNERS)
        for memory in ("flash", "ram")
    )
    assert (flash, ram) == (aot.firmware.flash_bytes, aot.firmware.ram_bytes)


def test_the_models_ram_is_its_arena_its_input_and_its_output(aot: Built) -> None:
    arena = 32
    assert aot.firmware.memory.ram_model_bytes == arena + 1 + 1


def test_what_is_left_over_is_libraries_vectors_and_stack(aot: Built) -> None:
    total = aot.firmware.memory
    stack = next(area for area in elf_sections(aot.firmware.elf) if area.name == ".stack")
    assert stack.size_bytes <= total.ram_rest_bytes < stack.size_bytes + 1500
    unknown = [symbol for symbol in named(aot.firmware.elf) if symbol.owner == REST]
    assert not {"model", "tflite", "app"} & {symbol.name for symbol in unknown}
    assert total.flash_rest_bytes < 0.3 * aot.firmware.flash_bytes


def test_a_firmware_without_symbols_is_all_rest(aot: Built, tmp_path: Path) -> None:
    stripped = tmp_path / "firmware.elf"
    command = ["arm-none-eabi-objcopy", "--strip-all", aot.firmware.elf, stripped]
    subprocess.run(command, check=True)
    assert has_symbols(aot.firmware.elf) and not has_symbols(stripped)
    assert {part.owner for part in memory_parts(stripped)} == {REST}
    total = memory_by_owner(stripped)
    assert total.flash_rest_bytes == aot.firmware.flash_bytes
    assert total.ram_rest_bytes == aot.firmware.ram_bytes


def linked_assembly(folder: Path, source: str) -> Path:
    (folder / "a.s").write_text(source)
    elf = folder / "a.elf"
    subprocess.run(
        ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-nostdlib", "-Wl,-Ttext=0x1000"]
        + ["-Wl,-e,0x1000", "-o", elf, folder / "a.s"],
        check=True,
    )
    return elf


THUMB = """
 .syntax unified
 .text
 .global arm_softmax_s8
 .type arm_softmax_s8, %function
 .thumb_func
arm_softmax_s8:
 nop
 bx lr
 .size arm_softmax_s8, . - arm_softmax_s8
"""


def test_the_thumb_bit_is_no_part_of_an_address(tmp_path: Path) -> None:
    (part,) = read_parts(linked_assembly(tmp_path, THUMB))
    assert (part.owner, part.flash_bytes) == (KERNELS, 4)


def test_strings_are_found_through_the_literals_of_code(tmp_path: Path) -> None:
    literal = " .align 2\n .word text\n .size arm_softmax_s8, . - arm_softmax_s8\n"
    source = THUMB.replace(" .size arm_softmax_s8, . - arm_softmax_s8\n", literal)
    text = ' .section .rodata\n .asciz "unowned"\ntext:\n .asciz "of a kernel"\n'
    parts = read_parts(linked_assembly(tmp_path, source + text))
    found = {(part.section, part.owner): part.flash_bytes for part in parts}
    assert found == {(".text", KERNELS): 8, (".rodata", REST): 8, (".rodata", KERNELS): 12}


def test_instructions_that_look_like_an_address_point_at_nothing(tmp_path: Path) -> None:
    # Were it a literal, this pair of instructions would be the address 0x1010.
    source = THUMB.replace(" nop\n", " asrs r0, r2, #0\n movs r0, r0\n")
    source += ' .align 4\n .section .rodata, "a"\n .asciz "unowned"\n'
    parts = read_parts(linked_assembly(tmp_path, source))
    assert [part.owner for part in parts if part.section == ".rodata"] == [REST]


def test_the_result_is_kept_beside_the_elf_until_that_changes(aot: Built, tmp_path: Path) -> None:
    elf = Path(shutil.copy2(aot.firmware.elf, tmp_path))
    first = memory_parts(elf)
    kept = elf.with_name("memory.json")
    written = kept.stat().st_mtime_ns
    assert memory_parts(elf) == first == read_parts(elf)
    assert kept.stat().st_mtime_ns == written
    command = ["arm-none-eabi-objcopy", "--strip-all", elf]
    subprocess.run(command, check=True)
    assert memory_parts(elf) == read_parts(elf) != first


def test_areas_are_those_of_the_linker_script(aot: Built) -> None:
    stack = elf_sections(aot.firmware.elf)[-1]
    assert stack == Section(
        name=".stack", address=0x203FC000, size_bytes=16384, in_flash=False, in_ram=True
    )


STATIC = 62 * 4 + 8
"""What the linked programs have in RAM beside the arena: vectors and a counter, padded."""

THE_REST = """
  %s (NOLOAD) : { %s . = ORIGIN(RAM) + LENGTH(RAM) - 0x400; %s } > RAM
"""
STM32 = """
  ._user_heap_stack (NOLOAD) : { PROVIDE(end = .); . = . + 0x200; . = . + 0x400; } > RAM
"""


def ram_of(folder: Path, linker_script: str, arena: int) -> int:
    """Of a linked program, by its sections. That its owners add up to it is checked too."""
    elf, said = link(folder, linker_script, arena=arena)
    assert elf.is_file(), said
    size = ram_bytes(elf_sections(elf))
    assert sum(part.ram_bytes for part in read_parts(elf)) == size
    return size


@pytest.mark.parametrize("arena", [1024, 100_000])
def test_ram_is_what_the_model_makes_it_where_the_heap_has_the_rest(
    arena: int, tmp_path: Path
) -> None:
    # The stack of interrupts has a size of its own: it counts.
    assert ram_of(tmp_path, script(BSS + MBED_REST), arena) == STATIC + arena + 0x400
    with (tmp_path / "a.elf").open("rb") as file:
        whole = sum(
            section["sh_size"]
            for section in ELFFile(file).iter_sections()
            if section["sh_addr"] >= 0x20000000
        )
    assert whole == 0x40000


@pytest.mark.parametrize(
    "ram, reserved",
    [
        (THE_REST % (".heap", "", ""), 0),
        (THE_REST % (".heap_0", "", ""), 0),
        (THE_REST % (".stack_dummy", "", ""), 0),
        (THE_REST % (".stack1_dummy", "", ""), 0),
        (THE_REST % (".free", "__HeapBase = .;", "__HeapLimit = .;"), 0),
        (THE_REST % (".free", "__end__ = .;", "_estack = .;"), 0),
        # Neither a name nor symbols say what these are for.
        (THE_REST % (".free", "", "__HeapLimit = .;"), None),
        (THE_REST % (".buffers", "", ""), None),
        # What is reserved in a size of its own counts: the heap has what is behind.
        (STM32, 0x600),
        ("__HeapBase = .; __HeapLimit = .;" + THE_REST % (".stack", "", "_estack = .;"), None),
    ],
)
def test_a_section_that_reserves_the_rest_of_ram_is_told_by_name_or_symbols(
    ram: str, reserved: int | None, tmp_path: Path
) -> None:
    rest = 0x40000 - 0x400 - STATIC - 1024
    found = ram_of(tmp_path, script(BSS + ram), 1024)
    assert found == STATIC + 1024 + (rest if reserved is None else reserved)


def test_a_heap_with_initial_values_is_a_variable_as_any_other(tmp_path: Path) -> None:
    heap = ".heap : { LONG(1); . += 0x1000; } > RAM"
    assert ram_of(tmp_path, script(BSS + heap), 1024) == STATIC + 1024 + 0x1004


def test_sums_name_every_owner_in_flash_and_ram() -> None:
    names = {f"{memory}_{owner}_bytes" for memory in ("flash", "ram") for owner in OWNERS}
    assert set(MemoryByOwner.__slots__) == names


@pytest.mark.skipif(shutil.which(RISCV_GCC) is None, reason=f"needs {RISCV_GCC}")
def test_a_file_of_64_bits_is_read_too(tmp_path: Path) -> None:
    """Firmware for a PC, such as that of ESP-IDF's target `linux`."""
    source, built = tmp_path / "a.c", tmp_path / "a.elf"
    source.write_text("char arena[77]; const char weights[5] = {1}; int Run(void) { return 1; }")
    whole = ("-march=rv64imac", "-mabi=lp64", "-nostdlib", "-Wl,-e,Run")
    subprocess.run([RISCV_GCC, *whole, source, "-o", built], check=True)
    with opened_elf(built) as binary:
        sizes = {name: size for name, _, size, _, _ in symbol_table(binary)}
        assert binary.elfclass == 64
    read = {symbol.name: symbol.size_bytes for symbol in named(built)}
    assert (read["arena"], read["weights"]) == (77, 5) and read.items() <= sizes.items()
    assert sum(part.ram_bytes for part in memory_parts(built)) >= 77
