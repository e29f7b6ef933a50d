from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.firmware.memory import (
    Part,
    Pointer,
    Section,
    Symbol,
    folded,
    footprint,
    memory_table_rows,
    summed,
)
from harness.measure.tables import HARNESS, KERNELS, MODEL, OWNERS, REST, RUNTIME

TEXT = Section(name=".text", address=0x1000, size_bytes=100, in_flash=True, in_ram=False)
DATA = Section(name=".data", address=0x2000, size_bytes=40, in_flash=True, in_ram=True)
BSS = Section(name=".bss", address=0x2028, size_bytes=60, in_flash=False, in_ram=True)

NAMES = {
    MODEL: "bknn_model_constant_0",
    RUNTIME: "bknn_model_infer",
    KERNELS: "arm_softmax_s8",
    HARNESS: "_ZN4port5TicksEv",
    REST: "memcpy",
}


def symbol(owner: str, address: int, size: int) -> Symbol:
    return Symbol(name=NAMES[owner], address=address, size_bytes=size, is_function=owner == RUNTIME)


def sizes(parts: tuple[Part, ...]) -> dict[str, int]:
    return {part.owner: part.flash_bytes or part.ram_bytes for part in parts}


def test_what_has_no_symbol_is_rest() -> None:
    parts = footprint([TEXT], [symbol(KERNELS, 0x1010, 20), symbol(HARNESS, 0x1030, 30)])
    assert sizes(parts) == {KERNELS: 20, HARNESS: 30, REST: 50}


def test_an_elf_without_symbols_is_all_rest() -> None:
    parts = footprint([TEXT, DATA], [])
    assert parts == (
        Part(section=".text", owner=REST, flash_bytes=100, ram_bytes=0),
        Part(section=".data", owner=REST, flash_bytes=40, ram_bytes=40),
    )


def test_a_firmware_of_no_sections_takes_nothing() -> None:
    assert footprint([], [symbol(KERNELS, 0x1000, 4)]) == ()
    assert set(asdict(summed([])).values()) == {0}


def test_several_names_of_one_place_count_once() -> None:
    alias = replace(symbol(REST, 0x1000, 40), name="memmove")
    assert sizes(footprint([TEXT], [symbol(REST, 0x1000, 40), alias])) == {REST: 100}
    inside = symbol(KERNELS, 0x1010, 10)
    assert sizes(footprint([TEXT], [symbol(HARNESS, 0x1000, 40), inside])) == {
        HARNESS: 40,
        REST: 60,
    }


@pytest.mark.parametrize("order", [(REST, KERNELS), (KERNELS, REST)])
def test_functions_folded_into_one_are_the_first_owners_whatever_their_order(order) -> None:
    parts = footprint([TEXT], [symbol(owner, 0x1000, 40) for owner in order])
    assert sizes(parts) == {KERNELS: 40, REST: 60}


def test_overlapping_symbols_share_what_they_cover() -> None:
    parts = footprint([TEXT], [symbol(KERNELS, 0x1000, 40), symbol(HARNESS, 0x1014, 40)])
    assert sizes(parts) == {KERNELS: 40, HARNESS: 20, REST: 40}


def test_symbols_without_a_size_take_nothing() -> None:
    assert sizes(footprint([TEXT], [symbol(KERNELS, 0x1000, 0)])) == {REST: 100}


def test_symbols_count_as_far_as_they_lie_in_a_section() -> None:
    before, over = symbol(KERNELS, 0xFF0, 32), symbol(HARNESS, 0x1000 + 90, 500)
    elsewhere = symbol(MODEL, 0x9000, 50)
    assert sizes(footprint([TEXT], [before, over, elsewhere])) == {
        KERNELS: 16,
        HARNESS: 10,
        REST: 74,
    }


def test_initial_values_count_in_flash_and_in_ram() -> None:
    parts = footprint([DATA, BSS], [symbol(HARNESS, 0x2000, 40), symbol(HARNESS, 0x2028, 10)])
    total = summed(parts)
    assert (total.flash_harness_bytes, total.ram_harness_bytes) == (40, 50)
    assert (total.flash_rest_bytes, total.ram_rest_bytes) == (0, 50)


def test_strings_are_whoevers_code_points_at_them() -> None:
    code = [symbol(KERNELS, 0x1000, 8), symbol(HARNESS, 0x1008, 8)]
    pointers = [Pointer(address=0x1004, target=0x1020), Pointer(address=0x100C, target=0x1030)]
    parts = footprint([TEXT], code, pointers)
    # 16 bytes up to the first string, that string, and the other one up to the end.
    assert sizes(parts) == {KERNELS: 8 + 16, HARNESS: 8 + 100 - 0x30, REST: 16}


def test_a_string_of_several_owners_is_the_firsts() -> None:
    code = [symbol(KERNELS, 0x1000, 8), symbol(HARNESS, 0x1008, 8)]
    pointers = [Pointer(address=0x100C, target=0x1010), Pointer(address=0x1004, target=0x1010)]
    assert sizes(footprint([TEXT], code, pointers)) == {KERNELS: 8 + 84, HARNESS: 8}


def test_weights_that_look_like_addresses_point_at_nothing() -> None:
    pointer = Pointer(address=0x1000, target=0x1020)
    assert sizes(footprint([TEXT], [symbol(MODEL, 0x1000, 16)], [pointer])) == {
        MODEL: 16,
        REST: 84,
    }


def test_pointers_into_symbols_or_from_nowhere_change_nothing() -> None:
    code = [symbol(KERNELS, 0x1000, 16)]
    pointers = [Pointer(address=0x1000, target=0x1004), Pointer(address=0x1040, target=0x1050)]
    assert footprint([TEXT], code, pointers) == footprint([TEXT], code)


def test_sections_of_single_functions_are_put_together() -> None:
    areas = [replace(TEXT, name=".rodata.a"), replace(DATA, name=".rodata.b", in_ram=False)]
    assert footprint(areas, []) == (
        Part(section=".rodata", owner=REST, flash_bytes=140, ram_bytes=0),
    )
    assert folded(".text") == ".text" and folded(".init_array") == ".init_array"


SYMBOLS = st.builds(
    symbol,
    st.sampled_from(OWNERS),
    st.integers(min_value=0xFC0, max_value=0x2080),
    st.integers(min_value=0, max_value=120),
)
POINTERS = st.builds(
    Pointer,
    address=st.integers(min_value=0xFC0, max_value=0x2080),
    target=st.integers(min_value=0xFC0, max_value=0x2080),
)


@given(st.lists(SYMBOLS, max_size=12), st.lists(POINTERS, max_size=6))
def test_owners_add_up_to_every_section_whatever_the_symbols(symbols, pointers) -> None:
    parts = footprint([TEXT, DATA, BSS], symbols, pointers)
    for area in (TEXT, DATA, BSS):
        within = [part for part in parts if part.section == area.name]
        for part in within:
            assert (part.flash_bytes > 0, part.ram_bytes > 0) == (area.in_flash, area.in_ram)
        assert sum(part.flash_bytes for part in within) == area.size_bytes * area.in_flash
        assert sum(part.ram_bytes for part in within) == area.size_bytes * area.in_ram


def test_the_table_names_places_and_sums() -> None:
    parts = footprint(
        [replace(TEXT, name=".a_very_long_section_name"), DATA, BSS], [symbol(MODEL, 0x2000, 10)]
    )
    headings, rows = memory_table_rows(parts)
    assert headings == ("section", "in", "model", "runtime", "kernels", "harness", "rest", "sum")
    assert rows == [
        (".a_very~ion_name", "flash", "", "", "", "", "100", "100"),
        (".data", "both", "10", "", "", "", "30", "40"),
        (".bss", "RAM", "", "", "", "", "60", "60"),
        ("in all", "flash", "10", "", "", "", "130", "140"),
        ("in all", "RAM", "10", "", "", "", "90", "100"),
    ]
