from __future__ import annotations

from typing import Any

from fakes.measured import a_run

from harness.measure.footprint import FootprintRow, any_larger, as_text, footprints
from harness.measure.runs import Baselines, Run

SIZES = {
    "flash_bytes": 1000,
    "flash_kernels_bytes": 600,
    "flash_rest_bytes": 400,
    "ram_bytes": 200,
    "arena_used_bytes": 32,
    "stack_used_bytes": 64,
}


def sized(run: str, **changes: Any) -> Run:
    return a_run(run, **{**SIZES, **changes})


def compared(a: list[Run], b: list[Run]) -> tuple[FootprintRow, ...]:
    return footprints(Baselines(source="a", runs=tuple(a)), Baselines(source="b", runs=tuple(b)))


def test_one_byte_more_is_larger_and_its_owner_is_named() -> None:
    (row,) = compared([sized("1")], [sized("2", flash_bytes=1001, flash_kernels_bytes=601)])
    (flash,) = row.changed
    assert (flash.quantity, flash.a, flash.b, flash.difference) == ("flash", 1000, 1001, 1)
    assert flash.owners == (("kernels", 1),)
    assert row.larger == (flash,) and any_larger([row])


def test_owners_that_exchange_bytes_are_named_where_the_sum_is_the_same() -> None:
    (row,) = compared([sized("1")], [sized("2", flash_kernels_bytes=500, flash_rest_bytes=500)])
    assert row.changed == () and not any_larger([row])
    assert row.sizes[0].owners == (("kernels", -100), ("rest", 100))


def test_less_is_a_change_and_not_larger() -> None:
    (row,) = compared([sized("1")], [sized("2", arena_used_bytes=16, stack_used_bytes=0)])
    assert [(size.quantity, size.difference) for size in row.changed] == [
        ("arena", -16),
        ("stack", -64),
    ]
    assert not row.larger


def test_what_was_not_measured_is_no_change() -> None:
    (row,) = compared([sized("1", stack_used_bytes=None)], [sized("2")])
    stack = row.sizes[-1]
    assert (stack.a, stack.b, stack.difference) == (None, 64, None)
    assert row.changed == ()


def test_other_flags_and_clocks_are_compared_and_the_newest_run_counts() -> None:
    (row,) = compared(
        [sized("1", ram_bytes=100), sized("2")],
        [sized("3", ram_bytes=999), sized("4", ram_bytes=208, flags="-O3", clock_hz=5)],
    )
    assert [(size.quantity, size.difference) for size in row.changed] == [("RAM", 8)]


def test_what_one_side_lacks_has_sizes_of_the_other_only() -> None:
    old, new = compared([sized("1", board="a")], [sized("2", board="b")])
    assert (old.board, old.sizes[0].a, old.sizes[0].b) == ("a", 1000, None)
    assert (new.board, new.sizes[0].a, new.sizes[0].b) == ("b", None, 1000)
    assert not any_larger([old, new])


def test_text_fits_eighty_columns_and_names_owners() -> None:
    long = {"board": "qemu-netduinoplus2", "model": "horse_or_human-96"}
    changed = sized("2", **long, flash_bytes=1_512_345, flash_kernels_bytes=1_511_945)
    text = as_text(compared([sized("1", **long)], [changed]))
    assert max(map(len, text.splitlines())) <= 80
    assert "1512345 (+1511345)" in text
    assert "flash +1511345: kernels +1511345" in text.replace("\n    ", " ")
