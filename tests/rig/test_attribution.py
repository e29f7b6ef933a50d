"""Which operator a difference comes from, in firmware with a wrong kernel."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.models import few_checks
from fakes.sources import changed_sources

from harness.board.registry import load_registry
from harness.measure.compare import Culprit, Verdict
from harness.model.resolve import resolve_model
from harness.model.wheels import tflm_installed
from harness.project import Project, find_project
from harness.rig.allowance import Allowance
from harness.rig.alone import _with, compare_alone
from harness.rig.checks import checks_for
from harness.rig.open import RigOptions, open_board
from harness.tolerance import Stated, parse_tolerance

pytestmark = pytest.mark.skipif(not tflm_installed(), reason="no tflite-micro wheel here")
PROJECT = find_project()
BOARD = load_registry()["qemu-m4"]
MODEL = few_checks(resolve_model("mnist_dnn", PROJECT.artifacts))
ROW = "rows, output + row * rows.depth * rows.output_bytes);\n"
OFF = "    output[row * rows.depth * rows.output_bytes] ^= 1;  // Of int8: 1 LSB.\n"


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the sources whose SOFTMAX is 1 LSB off."""
    kernels = "firmware/src/runtime/aot_operators.cpp"
    return changed_sources(tmp_path_factory.mktemp("spoilt"), kernels, ROW, ROW + OFF)


def stated(text: str) -> RigOptions:
    return RigOptions(runtime="aot", tolerance=Stated(items=parse_tolerance(text), by="a test"))


def test_what_differs_is_attributed_to_its_operator_also_alone(spoilt: Project) -> None:
    with open_board(BOARD, MODEL, spoilt, RigOptions(runtime="aot")) as opened:
        compared = opened.comparison()
        assert (compared.verdict, compared.culprit) == (Verdict.MISMATCH, Culprit.KERNEL)
        assert compared.attribution == ""
        opened.allowance = Allowance(1)
        told = str(opened.attributed())
        left = str(opened.attributed())
    assert "first difference: operator 3, SOFTMAX\n  with check input 0\n" in told
    assert "\noperator 3 (SOFTMAX) alone on qemu-m4 (aot" in told
    (alone,) = (line for line in told.splitlines() if "alone" in line)
    assert f"{compared.samples} of {compared.samples} outputs differ" in alone
    assert alone.endswith("by up to 1 LSB")
    assert "takes two builds: --hil-attribute=1 allows so many in a run; hil profile" in left
    assert "first difference" not in left


def test_a_run_attributes_so_many_failures_or_none() -> None:
    some, none, every = Allowance(2), Allowance(0), Allowance()
    assert [some.take() for _ in range(4)] == [True, True, False, False]
    assert not none.take() and none.refusal.startswith("not attributed to an operator, as asked")
    assert all(every.take() for _ in range(100))


def test_a_tolerance_holds_for_the_operator_that_it_names_alone(spoilt: Project) -> None:
    with open_board(BOARD, MODEL, spoilt, stated("1lsb@SOFTMAX")) as opened:
        compared = opened.comparison()
        assert (compared.verdict, compared.mismatches) == (Verdict.PASS, 0)
        assert compared.within == compared.samples
        assert compared.tolerance == "1 LSB, of SOFTMAX alone, by a test"
        # One build says that it holds; alone the operator is built only for a mismatch.
        assert compared.attribution.startswith("first difference: operator 3, SOFTMAX\n")
        assert "alone" not in compared.attribution
    with open_board(BOARD, MODEL, spoilt, stated("1lsb@FULLY_CONNECTED")) as opened:
        compared = opened.comparison()
    assert (compared.verdict, compared.culprit) == (Verdict.MISMATCH, Culprit.KERNEL)
    assert (compared.mismatches, compared.within) == (compared.samples, 0)
    assert "alone on qemu-m4 (aot" in compared.attribution
    assert compared.attribution.endswith("the tolerance names FULLY_CONNECTED alone")


def test_a_right_operator_alone_is_right() -> None:
    inputs = checks_for(MODEL).inputs
    one_more = inputs[-1:] ^ 1
    found = compare_alone(BOARD, MODEL, PROJECT, RigOptions(runtime="aot"), 1, one_more)
    assert (found.operator.kind, found.differing, found.max_abs) == ("FULLY_CONNECTED", 0, 0.0)
    assert found.kernels.startswith("CMSIS-NN") and found.samples == len(inputs) + 1 >= 33


def test_the_input_that_showed_a_difference_comes_first_and_once() -> None:
    first = np.arange(12, dtype=np.int8).reshape(4, 3)
    assert np.array_equal(_with(first, None), first)
    assert np.array_equal(_with(first, first[2:3]), first[[2, 0, 1, 3]])
    assert np.array_equal(_with(first, -first[2:3]), np.concatenate([-first[2:3], first]))
