"""Models brought to boards: which share a firmware, and the virtual board, which takes them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.loads import RESET, Loads
from fakes.measured import a_run
from fakes.places import measured_in_turn

from harness.board.registry import Board, load_registry
from harness.errors import SwapRefused, TooLarge, Where, WrongUse
from harness.firmware.swap import brought, plan_swap
from harness.link.dut import Dut
from harness.link.faults import Faults
from harness.link.link import Link
from harness.link.loading import (
    Brought,
    begin_body,
    bring,
    commit_body,
    parse_committed,
    piece_body,
    read_operators,
)
from harness.link.protocol import Op, Status
from harness.measure.compare import Verdict
from harness.measure.runs import Baselines, Run
from harness.model.artifact import Artifact
from harness.model.resolve import resolve_model
from harness.model.wheels import tflm_version
from harness.project import find_project
from harness.rig.open import RigOptions, open_board
from harness.rig.swapping import Swaps
from harness.rig.virtual import VirtualProcess

PROJECT = find_project()
BOARDS = load_registry()
VIRTUAL, QEMU, NANO = BOARDS["virtual"], BOARDS["qemu-m4"], BOARDS["nano33ble"]
SINE, CNN, LINEAR, HORSE = (
    resolve_model(name, PROJECT.artifacts)
    for name in ("sine", "fashion_cnn-8", "linear", "horse_or_human")
)
WHERE = Where(board="virtual", port="virtual:")


def swaps(mode: str, *models: Artifact) -> Swaps:
    def of(board: Board, runtime: str) -> Sequence[Artifact]:
        return models

    return Swaps(mode, of, arena_bytes=4096)


def test_a_plan_has_the_union_of_operators_and_the_most_of_all_sizes() -> None:
    plan = plan_swap((CNN, SINE, LINEAR), arena_bytes=4096)
    assert plan.own is LINEAR
    kinds = ("CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "RESHAPE", "SOFTMAX")
    assert plan.operators == kinds
    assert plan.model_bytes == 58 * 1024 >= len(CNN.content) == 59000
    assert (plan.input_bytes, plan.outputs_bytes, plan.specs) == (784, 0, 2)
    assert plan.identity == plan_swap((LINEAR, CNN, SINE), arena_bytes=9).identity


def test_the_largest_arena_that_a_model_needs_is_that_of_all() -> None:
    plans = [plan_swap((model,)).arena.size_bytes for model in (SINE, LINEAR)]
    together = plan_swap((SINE, LINEAR)).arena
    assert together.size_bytes == max(plans) and "the most of 2 models" in together.source


def test_several_models_share_a_firmware_and_one_has_its_own() -> None:
    shared = swaps("auto", SINE, CNN)
    plan = shared.plan_for(QEMU, "tflm", SINE, ours=True)
    assert plan is not None and plan is shared.plan_for(QEMU, "tflm", CNN, ours=True)
    assert shared.plan_for(QEMU, "tflm", LINEAR, ours=True) is None  # It is none of this run.
    assert swaps("auto", SINE).plan_for(QEMU, "tflm", SINE, ours=True) is None
    assert swaps("always", SINE).plan_for(QEMU, "tflm", SINE, ours=True) is not None
    assert swaps("never", SINE, CNN).plan_for(QEMU, "tflm", SINE, ours=True) is None
    assert shared.news() == []


def test_a_model_that_is_code_is_built_without_a_word() -> None:
    shared = swaps("auto", SINE, CNN)
    assert shared.plan_for(QEMU, "aot", SINE, ours=True) is None
    assert shared.news() == []
    with pytest.raises(WrongUse, match="its code is the model's") as caught:
        swaps("always", SINE, CNN).plan_for(QEMU, "aot", SINE, ours=True)
    assert "--hil-swap=never" in caught.value.hint


def test_what_does_not_fit_together_is_built_each_and_said_once() -> None:
    shared = swaps("auto", SINE, replace(CNN, content=CNN.content + bytes(200_000)))
    for model in (SINE, CNN, SINE):
        assert shared.plan_for(NANO, "tflm", model, ours=True) is None
    (note,) = shared.news()
    assert note.startswith("nano33ble, tflm: each model is built: all of them together may not fit")
    assert shared.news() == []


def test_models_that_are_held_to_baselines_of_flash_stay_there() -> None:
    def held_to(*runs: Run) -> Swaps:
        baselines = Baselines(source="b.csv", runs=runs)
        return Swaps("auto", lambda board, runtime: (SINE, CNN), baselines=baselines)

    flash = a_run("r1", board="qemu-m4", runtime="tflm", model_in="flash")
    shared = held_to(flash)
    assert shared.plan_for(QEMU, "tflm", SINE, ours=True) is None
    assert "its baselines are of models that were linked in" in shared.news()[0]
    ram = a_run("r2", board="qemu-m4", runtime="tflm", model_in="ram")
    for runs in ((flash, ram), (ram,), (a_run("r3", board="nano"),)):
        assert held_to(*runs).plan_for(QEMU, "tflm", SINE, ours=True) is not None


def test_nothing_is_brought_to_a_board_that_this_run_cannot_give_firmware() -> None:
    shared = swaps("auto", SINE, CNN)
    assert shared.plan_for(NANO, "tflm", SINE, ours=False) is None
    assert "neither starts the board nor uploads to it" in shared.news()[0]


def test_a_firmware_that_cannot_be_built_for_all_is_given_up_once() -> None:
    shared = swaps("auto", SINE, CNN)
    assert shared.plan_for(QEMU, "tflm", SINE, ours=True) is not None
    full = TooLarge(where=WHERE, memory="RAM", needed=9, available=8)
    shared.give_up(QEMU, "tflm", full)
    assert shared.plan_for(QEMU, "tflm", CNN, ours=True) is None
    assert shared.news() == [f"qemu-m4, tflm: each model is built: {full.what}"]
    with pytest.raises(TooLarge):
        swaps("always", SINE, CNN).give_up(QEMU, "tflm", full)


def test_a_model_that_the_board_refuses_is_built_alone() -> None:
    shared = swaps("auto", SINE, CNN)
    refused = SwapRefused("the board did not take it", where=WHERE)
    shared.give_up(QEMU, "tflm", refused, SINE)
    assert shared.plan_for(QEMU, "tflm", SINE, ours=True) is None
    assert shared.plan_for(QEMU, "tflm", CNN, ours=True) is not None
    assert shared.news() == ["qemu-m4, tflm: sine_int8 is built: the board did not take it"]


needs_wheel = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")


@needs_wheel
def test_models_are_brought_to_one_virtual_board_and_again_after_a_reset() -> None:
    options = RigOptions(swaps=swaps("auto", SINE, CNN))
    builds = set()
    for model in (SINE, CNN):
        with open_board(VIRTUAL, model, PROJECT, options) as opened:
            assert opened.model_in == "ram"
            opened.reset()
            assert opened.dut.hello.model_sha256.hex() == model.sha256
            compared = opened.comparison()
            assert compared.verdict is Verdict.PASS and compared.mismatches == 0, str(compared)
            builds.add(opened.dut.hello.build_id)
    assert len(builds) == 1
    with open_board(VIRTUAL, SINE, PROJECT, RigOptions()) as opened:
        assert opened.model_in is None
        assert opened.dut.hello.build_id not in builds


@needs_wheel
def test_a_model_that_is_brought_is_not_held_to_the_same_model_linked_in(tmp_path: Path) -> None:
    """The virtual board's own model is in the memory of its process, which counts as flash."""
    brought_to = RigOptions(swaps=swaps("auto", SINE, CNN))
    ways = (RigOptions(), brought_to, brought_to)
    own, ram, again = measured_in_turn(VIRTUAL, SINE, ways, tmp_path)
    assert (own.model_in, ram.model_in) == (None, "ram")
    assert (own.mismatches, ram.mismatches) == (0, 0)
    assert (ram.baseline_verdict, ram.baseline_ratio) == ("cannot tell", None)
    assert "the model lay in ram, the baseline's in flash: never compared" in ram.baseline_rule
    assert again.baseline_run == ram.run and again.baseline_ratio is not None


@pytest.fixture(scope="module")
def process() -> Iterator[VirtualProcess]:
    """A virtual board with room for the models that the tests bring, whose own is `linear`."""
    plan = plan_swap((SINE, LINEAR), arena_bytes=4096)
    with VirtualProcess(LINEAR, Faults(), where=WHERE, swap=plan) as running:
        yield running


@pytest.fixture(scope="module")
def link(process: VirtualProcess) -> Iterator[Link]:
    link = Link(process.stream, where=WHERE, reopen=process.reopen)
    with closing(link):
        yield link


@pytest.fixture
def dut(link: Link) -> Iterator[Dut]:
    dut = Dut(link)
    dut.greet()
    yield dut
    # Whatever was refused: the board answers, and takes the next model.
    dut.greet()
    bring(link, dut.hello, brought(SINE))
    assert dut.greet().model_sha256.hex() == SINE.sha256
    assert dut.reset().model_sha256.hex() == LINEAR.sha256


def damaged(content: bytes, place: int) -> bytes:
    return content[:place] + bytes((content[place] ^ 0xFF,)) + content[place + 1 :]


@needs_wheel
def test_a_model_that_is_too_large_is_refused(dut: Dut) -> None:
    with pytest.raises(SwapRefused, match="59000 bytes, and the board has room for 3072"):
        bring(dut.link, dut.hello, brought(CNN))


@needs_wheel
def test_a_model_with_another_operator_is_refused(dut: Dut) -> None:
    filters = resolve_model("filters", PROJECT.artifacts)
    assert read_operators(dut.link, dut.hello) == ("FULLY_CONNECTED",)
    with pytest.raises(SwapRefused, match="unknown_operator: operator [A-Z_0-9]+"):
        bring(dut.link, dut.hello, brought(filters))


@needs_wheel
def test_half_a_model_is_refused(dut: Dut) -> None:
    half = SINE.content[: len(SINE.content) // 2]
    dut.link.request(Op.LOAD, begin_body(brought(SINE)))
    dut.link.request(Op.LOAD, piece_body(0, half))
    said = parse_committed(dut.link.request(Op.LOAD, commit_body()))
    assert said.status is Status.BAD_MODEL and said.note == "1320 of 2640 bytes have come"


@needs_wheel
def test_a_model_whose_bytes_changed_on_the_way_is_refused(dut: Dut) -> None:
    dut.link.request(Op.LOAD, begin_body(brought(SINE)))
    dut.link.request(Op.LOAD, piece_body(0, damaged(SINE.content, 1000)))
    said = parse_committed(dut.link.request(Op.LOAD, commit_body()))
    assert said.status is Status.BAD_MODEL and said.note == "its bytes have another SHA-256"


@needs_wheel
def test_a_file_that_is_no_model_is_refused(dut: Dut) -> None:
    for content in (b"m", bytes(3000), SINE.content[:2000], damaged(SINE.content, 4)):
        with pytest.raises(SwapRefused, match="bad_model"):
            bring(dut.link, dut.hello, Brought(content=content, name="no model"))


@pytest.fixture
def loads(process: VirtualProcess, dut: Dut) -> Loads:
    """The virtual board, which is to take a model in the end."""
    dut.link.close()
    return Loads(process.reopen, LINEAR, SINE)


@needs_wheel
def test_a_host_that_is_killed_in_mid_load_leaves_a_board_that_answers(
    process: VirtualProcess, loads: Loads, dut: Dut
) -> None:
    loads.killed(process.port)
    dut.link.reopen()


@needs_wheel
def test_a_board_that_is_unplugged_in_mid_load_goes_on(loads: Loads, dut: Dut) -> None:
    loads.unplugged()
    dut.link.reopen()


@needs_wheel
def test_a_board_that_reboots_in_mid_load_takes_the_model_anew(loads: Loads, dut: Dut) -> None:
    loads.rebooted(lambda stream: stream.write(RESET))
    dut.link.reopen()


@needs_wheel
def test_of_two_loads_at_once_one_is_refused(loads: Loads, dut: Dut) -> None:
    loads.two_at_once()
    dut.link.reopen()
