"""The functions of an invoke of our firmware on an emulated board."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.board.registry import load_registry
from harness.cli.profile import show_functions
from harness.errors import RigError
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.functions import count_functions
from harness.rig.open import OpenBoard, RigOptions, open_board

PROJECT = find_project()
BOARD = load_registry()["qemu-m4"]


@pytest.fixture(scope="module")
def opened() -> Iterator[OpenBoard]:
    sine = resolve_model("sine", PROJECT.artifacts)
    options = RigOptions(runtime="aot", functions=True)
    with open_board(BOARD, sine, PROJECT, options) as board:
        yield board


def test_rows_say_what_was_counted_and_add_up(opened: OpenBoard) -> None:
    found = count_functions(opened, run="a1")
    first, *_, last = found.functions
    assert (first.run, first.board, first.runtime) == ("a1", "qemu-m4", "aot")
    assert first.firmware_build == opened.firmware.build_id
    assert sum(row.instructions for row in found.functions) == first.whole_instructions
    assert sum(call.instructions for call in found.calls) == first.whole_instructions
    assert first.timed_instructions == first.whole_instructions + 2
    for row in found.functions:
        kinds = (row.load, row.store, row.alu, row.multiply, row.divide, row.branch, row.fpu)
        assert sum(kinds) + row.simd + row.other == row.instructions
    by_name = {row.function: row for row in found.functions}
    whole = by_name["runtime::Invoke"]
    assert whole.with_callees == first.whole_instructions and whole.owner == "harness"
    assert by_name["arm_nn_vec_mat_mult_t_s8"].owner == "kernels"
    assert by_name["arm_nn_vec_mat_mult_t_s8"].simd > 100
    assert replace(first, time_utc="") == replace(
        count_functions(opened, run="a1").functions[0], time_utc=""
    )


def test_it_is_shown_as_a_table_and_as_json(opened: OpenBoard, capsys) -> None:
    assert show_functions(opened, as_json=False) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == "sine_int8 on qemu-m4: aot, bakenn 1.0.0"
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("runtime::Invoke ") and "100.0%" in line for line in lines)
    assert "not time on silicon" in shown.err
    assert show_functions(opened, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["function"] for row in told["calls"]} == {
        row["function"] for row in told["functions"]
    }


def test_counts_of_another_invoke_than_the_timed_one_are_refused(opened, monkeypatch) -> None:
    stale = opened.counter.read()
    shorter = replace(stale, instructions=stale.instructions - 100)
    monkeypatch.setattr(type(opened.counter), "read", lambda _: shorter)
    with pytest.raises(RigError, match="add up to .* and the board's counter says"):
        count_functions(opened)
