"""What is said of a change: operators, functions, the first wrong one, owners of memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes import described, nights

from harness.bisect.details import details
from harness.bisect.figures import Figure, Step
from harness.bisect.hunt import Change
from harness.bisect.lab import Taken
from harness.bisect.question import Broken, Question, Slower, Wrong
from harness.bisect.repository import Commit
from harness.board.registry import load_registry
from harness.measure.csvfile import append, beside

BOARD = load_registry()["qemu-m4"]
OLD, NEW = Commit(id="a" * 40, tree=""), Commit(id="b" * 40, tree="")


class Told:
    """A lab that has run everything: folders by commit."""

    def __init__(self, steps: dict[str, Step]) -> None:
        self._steps = steps

    def look(self, commit: Commit, command: str, *more: str) -> Step:
        return self._steps[commit.id]


def change(old: Step, new: Step, *suspects: Commit) -> Change:
    figure = Figure(value=1, unit="instr")
    return Change(
        before=Taken(commit=OLD, step=old, figure=figure),
        after=Taken(commit=NEW, step=new, figure=figure),
        suspects=suspects or (NEW,),
        skipped=(Taken(commit=NEW, step=new, why="no reply"),),
    )


def told(question: Question, old: Step, new: Step, *suspects: Commit) -> tuple[str, ...]:
    lab = Told({OLD.id: old, NEW.id: new})
    return details(change(old, new, *suspects), question, lab, BOARD)


def measured(folder: Path, more: int) -> Step:
    """A step with a profile and counted functions, in which one of each takes more."""
    row = described.row(run="r1", emulated=True, board="qemu-m4", instructions_p50=2965 + more)
    layers = nights.layer_rows(row)
    layers[1] = replace(layers[1], instructions_p50=2400 + more, p50_ticks=2400.0 + more)
    functions, _ = nights.counted_rows(row)
    first = replace(functions[0], instructions=functions[0].instructions + more)
    csv = folder / "latency.csv"
    folder.mkdir()
    append(csv, [row])
    append(beside(csv, "layers"), layers)
    append(beside(csv, "functions"), [first, *functions[1:]])
    return Step(folder=folder, status=0)


def test_the_operators_and_functions_that_moved_are_named(tmp_path: Path) -> None:
    old, new = measured(tmp_path / "old", 0), measured(tmp_path / "new", 37)
    operator, function = told(Slower(), old, new)
    assert operator == "operator 1 FULLY_CONNECTED (relu2): 2400 to 2437 instructions"
    assert function.startswith("function ") and function.endswith("instructions")
    before, after = function.split(": ")[1].split(" to ")
    assert int(after.split()[0]) - int(before) == 37
    assert Slower(operator="relu2").read(new).value == 2437
    assert Slower(operator="fully_connected").read(new).value == 180 + 2437 + 310
    assert Slower(operator="2").read(new).value == 310


@pytest.mark.parametrize("said", ("hil bench: error: unrecognized arguments: --profile", ""))
def test_a_harness_without_profiles_leaves_them_out_with_its_reason(
    tmp_path: Path, said: str
) -> None:
    (tmp_path / "log.txt").write_text(said)
    step = Step(folder=tmp_path, status=2)
    assert told(Slower(), step, step) == (f"its operators are not known: {step.reason}",)


def test_the_first_wrong_operator_is_that_of_the_profile(tmp_path: Path) -> None:
    said = (
        "first difference: operator 4, SOFT\x1bMAX\n  output y\n"
        "  int8 1x3: 1 of 3 elements differ from tflm, by up to 1\n"
    )
    (tmp_path / "log.txt").write_text(said)
    step = Step(folder=tmp_path, status=1)
    (line,) = told(Wrong(), step, step)
    assert line == (
        r"first wrong operator 4, SOFT\x1bMAX, output y: int8 1x3: 1 of 3 elements differ from "
        "tflm, by up to 1"
    )


def test_of_a_range_the_reasons_are_named_and_of_a_build_nothing_more(tmp_path: Path) -> None:
    step = Step(folder=tmp_path, status=0)
    assert told(Slower(), step, step, NEW, OLD) == (f"{NEW.short} was skipped: no reply",)
    assert told(Broken(), step, step) == ()
