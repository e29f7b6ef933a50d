"""Any board, any model: `pytest --board ID --hil-model NAME`."""

import numpy as np
import pytest

from harness import Verdict
from harness.errors import BoardStatus
from harness.link.protocol import Op
from harness.measure.apart import differing, tolerances
from harness.measure.latency import MOST_INVOKES
from harness.model.legal import Limits, input_limits
from harness.model.samples import limits_of
from harness.model.tensor import activate
from harness.rig.checks import affordable, checks_for, run_batch


def test_hello_matches_what_was_built(dut, board, model):
    hello = dut.hello
    assert hello.model_sha256.hex() == model.sha256
    # A board of somebody's rig file may run the firmware of an environment that is another board's.
    environments = board.declared.env.items()
    others = {env.removesuffix(f"-{runtime}") for runtime, env in environments}
    assert hello.board in {board.declared.kind, *others}
    assert hello.runtime == board.runtime
    assert hello.runtime_version
    assert hello.tick_hz > 0 and hello.timer_step_ticks > 0
    for mine, theirs in zip(
        model.inputs + model.outputs, hello.inputs + hello.outputs, strict=True
    ):
        assert theirs.same_layout(mine)


def test_build_id_is_that_of_the_firmware_file(dut, firmware):
    assert dut.hello.build_id.hex() == firmware.build_id


def test_the_stack_holds_the_model_with_room_to_spare(dut, board, model):
    memory = dut.memory()
    if memory is None:
        pytest.skip("this board cannot tell how deep its stack was")
    dut.infer(board.checks.inputs[:1])
    after = dut.memory()
    assert after.stack_bytes > 0
    assert memory.stack_used_bytes <= after.stack_used_bytes < after.stack_bytes


def test_every_golden_input_gives_the_golden_output(dut, board):
    compared = board.comparison()
    assert compared.samples >= min(32, board.data.count if board.data else 32)
    assert compared.verdict is not Verdict.MISMATCH, str(board.attributed())


def test_accuracy_holds_the_manifests_bounds(dut, board):
    compared = board.comparison()
    assert not compared.broken_bounds, str(compared)


def test_classes_are_as_often_right_as_on_the_host(dut, board):
    compared = board.comparison()
    if compared.classes is None:
        pytest.skip(f"{board.artifact.name} is no classifier")
    assert compared.classes.agreement == 1.0
    assert compared.classes.accuracy == compared.classes.golden_accuracy
    if board.data is None:
        labels = board.checks.labels
        assert set(labels.tolist()) == set(range(len(board.artifact.labels)))
        assert compared.classes.accuracy > 1 / len(board.artifact.labels), "no better than chance"


def test_the_users_data_gives_what_the_host_gives(dut, evaluation):
    first = evaluation.disagreeing[:5].tolist()
    assert evaluation.agrees, f"{len(evaluation.disagreeing)} samples differ: {first} ..."


def test_what_everybody_knows_of_the_model_holds(dut, model):
    if not model.probes:
        pytest.skip(f"{model.name} has no probes")
    for probe in model.probes:
        answer = activate(dut.infer_real(np.array(probe.x)), model.activation)
        np.testing.assert_allclose(
            answer.ravel(), probe.y, rtol=0, atol=probe.within, err_msg=probe.what
        )


def test_one_input_repeated_gives_one_answer(dut, board, model):
    sample = board.checks.inputs[:1]
    repeated = np.repeat(sample, affordable(model, 300), axis=0)
    outputs = board.defined.of(dut.infer(repeated).samples)
    assert len(outputs) > 1
    assert len({output.tobytes() for output in outputs}) == 1


def test_order_of_inputs_does_not_matter(dut, board, model):
    checked = board.checks.inputs
    inputs = checked[: affordable(model, len(checked))]
    order = np.random.default_rng(2).permutation(len(inputs))
    in_order = dut.infer(inputs).samples
    shuffled = dut.infer(inputs[order]).samples
    assert unlike(shuffled, in_order[order], board) == []


def test_single_staged_and_batched_answers_are_equal(dut, board, model):
    inputs = board.checks.inputs[: affordable(model, 20)]
    batched = dut.infer(inputs).samples
    single = [dut.infer(inputs[at : at + 1]).samples for at in range(len(inputs))]
    assert unlike(np.concatenate(single), batched, board) == []
    assert unlike(dut.infer_staged(inputs).samples, batched, board) == []


def test_boundary_inputs_equal_the_golden(dut, board, model, reference):
    if reference.golden is None:
        pytest.skip("no tflite-micro wheel on this machine")
    if all(spec.dtype == "float32" for spec in model.inputs):
        pytest.skip("float32 has no integer boundaries")
    columns = [
        boundaries(spec, limits)
        for spec, limits in zip(model.inputs, input_limits(model), strict=True)
    ]
    samples = dut.takes.pack(columns)[: affordable(model, len(columns[0]), least=2)]
    expected = run_batch(reference.golden, samples, dut.takes, dut.gives).outputs
    allowed, defined = tolerances(board.stated, dut.gives), board.defined
    answers = defined.of(dut.infer(samples).samples)
    assert differing(answers, defined.of(expected), allowed).tolist() == []


def boundaries(spec, limits: Limits) -> np.ndarray:
    """Samples (8, ...), each of one value at or near an end of what is legal, 0 or zero point."""
    low, high = limits.low, limits.high
    values = (low, low + 1, -1, 0, 1, spec.zero_point, high - 1, high)
    legal = np.clip(values, low, high).astype(spec.dtype)
    return np.repeat(legal[:, np.newaxis], spec.elements, axis=1)


def test_reals_beyond_the_input_range_saturate(dut, board, model):
    if not any(spec.quantized for spec in model.inputs):
        pytest.skip("no input is quantized: nothing saturates")
    for spec, limits in zip(model.inputs, input_limits(model), strict=True):
        if spec.quantized and (limits.low, limits.high) != limits_of(spec.dtype):
            pytest.skip(f"{spec.name} may not be as far from 0 as its dtype goes")
    reals, ends = two_samples(dut, model), two_samples(dut, model)
    for number, spec in enumerate(model.inputs):
        if spec.quantized:
            each = (2, spec.elements)
            reals[number] = np.repeat([[-1e9], [1e9]], spec.elements, axis=1)
            ends[number] = np.empty(each, spec.dtype)
            ends[number][:] = np.array([limits_of(spec.dtype)]).T
    far, expected = dut.infer(dut.takes.pack_real(reals)), dut.infer(ends)
    assert unlike(far.samples, expected.samples, board) == []


def two_samples(dut, model) -> list[np.ndarray]:
    return list(dut.takes.columns(checks_for(model).inputs[:2]))


def test_latency_is_measured_and_recorded(latency, rig, board):
    most = rig.options.samples or MOST_INVOKES
    asked = affordable(board.artifact, most, least=20, sent=False)
    row = latency(n=asked)
    assert (row.n, row.sessions) == (asked * rig.options.sessions, rig.options.sessions)
    assert row.link_us > 0
    assert row.min_us <= row.p50_us <= row.p95_us <= row.max_us
    assert row.min_us > 0
    assert row.emulated == board.declared.emulated
    last = rig.options.csv.read_text().splitlines()[-1]
    assert row.session in last and row.board in last


@pytest.mark.hil_requires("counted")
def test_instruction_counts_are_identical_over_many_repeats(dut, model, board):
    repeats = affordable(model, 1000, least=20, sent=False)
    measured = dut.measure(board.checks.inputs[:1], repeats)
    counts = measured.timer.instructions(measured.ticks, board.declared.ns_per_instruction)
    assert len(counts) == repeats
    assert len(set(counts.tolist())) == 1
    assert counts[0] > 10


def test_arena_and_memories_are_within_the_boards_limits(dut, board, firmware):
    hello = dut.hello
    # A single layer needs none in the aot runtime: it works between input and output.
    assert (hello.arena_used > 0) == (hello.arena_capacity > 0)
    assert hello.arena_used <= hello.arena_capacity
    # Such a board need not say how much it has.
    assert 0 < firmware.flash_bytes <= (board.declared.flash_bytes or firmware.flash_bytes)
    assert 0 < firmware.ram_bytes <= (board.declared.ram_bytes or firmware.ram_bytes)


def test_a_refused_request_leaves_the_board_answering(dut, board, model):
    refusal = "bad_value" if dut.hello.max_infer else "unsupported"
    with pytest.raises(BoardStatus, match=f"INFER.*{refusal}"):
        dut.link.request(Op.INFER, b"\xff\xff")
    with pytest.raises(BoardStatus, match="bad_size"):
        dut.link.request(Op.READ, b"")
    assert len(dut.infer(board.checks.inputs[:1]).samples) == 1


@pytest.mark.hil_requires("reset")
def test_reset_brings_the_same_board_back(dut, board, model):
    sample = board.checks.inputs[:1]
    before = dut.infer(sample).samples
    hello = dut.hello
    assert dut.reset() == hello
    assert unlike(dut.infer(sample).samples, before, board) == []


def test_a_person_gets_an_answer(dut, model):
    if dut.takes.elements > 64:
        pytest.skip(f"{dut.takes.elements} numbers are more than one line takes")
    if dut.gives.elements > 1000:
        pytest.skip(f"{dut.gives.elements} numbers are nothing that a person reads")
    numbers = [
        plain_number(spec, limits)
        for spec, limits in zip(model.inputs, input_limits(model), strict=True)
        for _ in range(spec.elements)
    ]
    answer = dut.link.ask_text(" ".join(f"{number:g}" for number in numbers))
    assert answer.startswith("y=") and " us=" in answer
    quoted = [float(number) for number in answer[2:].split(" ")[0].split(",")]
    sample = dut.takes.from_bytes(dut.takes.from_numbers(np.array(numbers)))
    expected = dut.gives.to_numbers(dut.gives.to_bytes(dut.infer(sample).samples))
    assert quoted == pytest.approx(expected, abs=1e-4, rel=1e-6, nan_ok=True)
    assert dut.link.ask_text("abc") == "error not-a-number: abc"
    assert dut.link.ask_text("nan").startswith("error not-finite")


def plain_number(spec, limits: Limits) -> float:
    """A number in the model's unit that an element of the tensor may have."""
    if spec.quantized or spec.dtype == "float32":
        return 0.5
    return min(1.0, limits.high)


def unlike(one: np.ndarray, other: np.ndarray, board) -> list[int]:
    """Samples of which not all bytes that the model defines are equal."""
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    pairs = enumerate(zip(board.defined.of(one), board.defined.of(other), strict=True))
    return [at for at, (a, b) in pairs if a.tobytes() != b.tobytes()]
