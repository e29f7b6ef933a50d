from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import ReportError
from harness.measure.counts import CallPath, Executed, InvokeCounts
from harness.measure.csvfile import append
from harness.measure.findings import findings, functions_text
from harness.measure.function_changes import (
    as_text,
    compare_functions,
    load_functions,
    newest_runs,
)
from harness.measure.functions import (
    MORE,
    MOST_PATHS,
    UNKNOWN,
    Measured,
    NamedFunction,
    call_rows,
    function_costs,
    function_rows,
)
from harness.measure.tables import FunctionRow

OF = Measured(
    run="a1",
    time_utc="2026-11-26T06:00:00Z",
    board="qemu-m4",
    runtime="aot",
    runtime_version="1",
    model="sine",
    dtype="int8",
    model_sha256="5" * 64,
    firmware_build="b" * 32,
    timed=102,
)


def function(name: str, address: int, symbol: str | None = None) -> NamedFunction:
    return NamedFunction(
        name=name, symbol=symbol or name, owner="rest", address=address, end=address + 16
    )


FUNCTIONS = (function("invoke", 0), function("walk", 16), function("memcpy", 32))


def path(parent: int | None, index: int | None, instructions: int, calls: int = 1) -> CallPath:
    return CallPath(parent=parent, function=index, calls=calls, instructions=instructions)


def counts(*paths: CallPath, code: tuple[Executed, ...] = ()) -> InvokeCounts:
    whole = sum(item.instructions for item in paths)
    return InvokeCounts(number=1, instructions=whole, code=code, paths=paths)


# invoke > walk > walk > memcpy, and invoke > code without a symbol
TREE = counts(
    path(None, 0, 10), path(0, 1, 20), path(1, 1, 30), path(2, 2, 38, 4), path(0, None, 2)
)


def test_with_callees_counts_what_a_recursive_function_did_once() -> None:
    costs = {item.function.name if item.function else None: item for item in costs_of(TREE)}
    alone = {name: (cost.calls, cost.instructions) for name, cost in costs.items()}
    assert alone == {"invoke": (1, 10), "walk": (2, 50), "memcpy": (4, 38), None: (1, 2)}
    whole = {name: cost.with_callees for name, cost in costs.items()}
    assert whole == {"invoke": 100, "walk": 88, "memcpy": 38, None: 2}


def costs_of(invoke: InvokeCounts):
    return function_costs(invoke, FUNCTIONS)


def executed(address: int, text: str, count: int) -> Executed:
    return Executed(address=address, size=2, opcode=0, text=text, count=count, taken=0)


def test_kinds_are_those_of_the_function_that_an_address_lies_in() -> None:
    code = (executed(0, "ldr r0, [r1]", 4), executed(14, "bx lr", 6), executed(48, "nop", 3))
    invoke = counts(path(None, 0, 10), path(0, None, 3), code=code)
    first, unknown = costs_of(invoke)
    assert first.kinds == {"load": 4, "branch": 6}
    assert unknown.function is None and unknown.kinds == {"other": 3}


def rows_of(invoke: InvokeCounts = TREE, of: Measured = OF) -> tuple[FunctionRow, ...]:
    return function_rows(function_costs(invoke, FUNCTIONS), of)


def test_rows_add_up_and_begin_with_the_function_that_took_most() -> None:
    rows = rows_of()
    assert [row.function for row in rows] == ["walk", "memcpy", "invoke", UNKNOWN]
    assert {row.whole_instructions for row in rows} == {100}
    assert sum(row.instructions for row in rows) == 100
    assert rows[0].timed_instructions == 102 and rows[0].size_bytes == 16
    tree = call_rows(TREE, FUNCTIONS, OF)
    assert [(row.index, row.parent, row.function) for row in tree] == [
        (0, None, "invoke"),
        (1, 0, "walk"),
        (2, 1, "walk"),
        (3, 2, "memcpy"),
        (4, 0, UNKNOWN),
    ]


def test_small_paths_of_a_large_tree_are_put_together() -> None:
    many = (path(None, 0, 5), *(path(0, 1, 1000 + n) for n in range(MOST_PATHS)), path(7, 2, 1))
    rows = call_rows(counts(*many), FUNCTIONS, OF)
    assert len(rows) <= MOST_PATHS + 2
    assert sum(row.instructions for row in rows) == sum(item.instructions for item in many)
    assert [row.function for row in rows].count(MORE) >= 1
    assert all(row.parent is None or row.parent < row.index for row in rows)


def test_a_routine_of_the_c_library_that_takes_a_tenth_is_said_first() -> None:
    (said,) = findings(rows_of(), call_rows(TREE, FUNCTIONS, OF))
    assert said.startswith("memcpy: 38 of 100 instructions (38%), in 4 calls, most from walk: ")
    assert "built for speed" in said
    text = functions_text(rows_of(), call_rows(TREE, FUNCTIONS, OF))
    assert text.startswith("memcpy: 38 of 100")
    assert all(len(line) <= 80 for line in text.splitlines())
    assert findings(rows_of(counts(path(None, 0, 91), path(0, 2, 9)))) == []


def test_routines_of_one_kind_count_together() -> None:
    """Names of the Run-time ABI for the Arm Architecture (IHI 0043), and of libgcc."""
    names = "__aeabi_fmul __aeabi_fadd __subsf3 __aeabi_dcmplt __aeabi_f2iz __aeabi_ui2f".split()
    row = rows_of()[0]
    soft = [replace(row, symbol=name, function=name, instructions=2) for name in names]
    (said,) = findings([replace(row, symbol="kernel", instructions=88), *soft])
    assert said.startswith("__aeabi_fmul, __aeabi_fadd, __subsf3 and 3 more: 12 of 100")
    assert "floating-point arithmetic in software" in said
    for symbol, what in {
        "__aeabi_ldivmod": "integer arithmetic in software",
        "__aeabi_uldivmod": "integer arithmetic in software",
        "expf": "mathematics",
        "__ieee754_expf": "mathematics",
        "_malloc_r": "heap",
        "_vfprintf_r": "text",
        "__aeabi_memset4": "copying and filling memory",
    }.items():
        (said,) = findings([replace(row, symbol=symbol)])
        assert what in said, symbol
    for symbol in ("memcpy_words", "exponential", "arm_max_pool_s8", "bknn_model_infer", ""):
        assert findings([replace(row, symbol=symbol)]) == [], symbol


def test_names_from_a_foreign_elf_are_bounded_and_printable() -> None:
    hostile = (function("\x1b[31mred\n" * 2000, 0), function("::" * 5000, 16))
    invoke = counts(path(None, 0, 60), path(0, 1, 40))
    rows = function_rows(function_costs(invoke, hostile), OF)
    assert all(len(row.function) <= 200 and len(row.symbol) <= 200 for row in rows)
    text = functions_text(rows, call_rows(invoke, hostile, OF))
    assert all(len(line) <= 80 and line.isprintable() for line in text.splitlines())


def test_changes_are_the_largest_first_and_add_up() -> None:
    before = rows_of()
    after = [
        replace(row, instructions=row.instructions + more, function=name, symbol=name)
        for row, more, name in zip(
            before, (-9, 200, 0, 0), ("walk.constprop.0", "memcpy", "invoke", ""), strict=True
        )
    ]
    new = replace(before[0], symbol="fresh", function="fresh", instructions=7, calls=1)
    elsewhere = replace(new, board="qemu-m3")
    (found,) = compare_functions([*before, elsewhere], [*after, new])
    assert [(item.function, item.a, item.b, item.change) for item in found.changes] == [
        ("memcpy", 38, 238, 200),
        ("walk", 50, 41, -9),
        ("fresh", None, 7, 7),
    ]
    assert found.changes[0].calls_a == found.changes[0].calls_b == 4
    assert (found.a, found.b) == (100, 298)
    assert sum(item.change for item in found.changes) == 198
    assert as_text([found]).splitlines() == [
        "qemu-m4, aot, sine_int8: 100 to 298 instructions (+198)",
        "  function   A    B  change   calls",
        "  memcpy    38  238    +200       4",
        "  walk      50   41      -9       2",
        "  fresh      -    7      +7  - to 1",
    ]
    (same,) = compare_functions(before, before)
    assert same.changes == () and "the same counts: 1 model" in as_text([same])


def test_the_newest_counted_run_of_each_subject_is_compared(tmp_path) -> None:
    old, new = rows_of(), rows_of(of=replace(OF, run="b2", time_utc="2026-11-27T06:00:00Z"))
    assert newest_runs([*new, *old]) == new
    append(tmp_path / "functions.csv", [*old, *new])
    for source in (tmp_path, tmp_path / "functions.csv"):
        assert {row.run for row in load_functions(source).rows} == {"b2"}
    (tmp_path / "other").mkdir()
    append(tmp_path / "other" / "calls.csv", call_rows(TREE, FUNCTIONS, OF))
    with pytest.raises(ReportError, match="holds no functions of an invoke.*\n.*bench --functions"):
        load_functions(tmp_path / "other")
