"""TFLM itself on an emulated board, wherever a library is at hand."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from fakes.loads import RESET, WHERE, Loads
from fakes.places import measured_in_turn
from fakes.rewritten import float_output, lsh_projection, of_schema, per_channel, planned
from fakes.stateful import SEVENS, ZERO_POINT, ZEROS, summing_file, sums

from benchmarks.whole.mutants import mutant
from harness.board.registry import load_registry
from harness.board.rigfile import load_rig
from harness.errors import MissingKernel, ModelError, ModelRefused, SwapRefused
from harness.firmware.build import Builder
from harness.firmware.support import PER_CHANNEL_DENSE
from harness.firmware.swap import brought
from harness.firmware.tflm_library import Library, find_library
from harness.firmware.verdict import refuse_unrunnable
from harness.link.loading import (
    Brought,
    begin_body,
    bring,
    commit_body,
    parse_committed,
    piece_body,
)
from harness.link.protocol import Op
from harness.measure.compare import Culprit, Verdict
from harness.model.artifact import Artifact
from harness.model.resolve import described, inspect_model, resolve_model
from harness.project import find_project
from harness.rig.open import RigOptions, open_board
from harness.rig.profiling import first_difference, profile_board
from harness.rig.qemu import QemuProcess
from harness.rig.swapping import Swaps

PROJECT = find_project()
BOARD = load_registry()["qemu-m4"]
ENV = BOARD.env["tflm"]
SINE = resolve_model("sine", PROJECT.artifacts)


@pytest.fixture(scope="module")
def folder() -> Path:
    """The TFLM library's: $HIL_TFLM, or where PlatformIO keeps what it fetched for this board."""
    named = os.environ.get("HIL_TFLM")
    if named:
        return Path(named).resolve()
    fetched = PROJECT.state / "build" / ENV / "pio" / "libdeps" / ENV
    found = [path.parent for path in fetched.glob("*/library.*")]
    if not found:
        pytest.skip(f"no TFLM library: $HIL_TFLM is not set, and PlatformIO fetched none for {ENV}")
    return found[0]


@pytest.fixture(scope="module")
def library(folder: Path) -> Library:
    return find_library(folder, PROJECT.state / "libraries")


@pytest.fixture(scope="module")
def options(folder: Path) -> RigOptions:
    return RigOptions(runtime="tflm", tflm=folder)


@pytest.fixture
def dense(tmp_path: Path) -> Artifact:
    """A model with per-channel Dense layers."""
    path = tmp_path / "per_channel.tflite"
    path.write_bytes(per_channel(SINE.content))
    return inspect_model(path)


@pytest.mark.parametrize("name", ["sine", "sine-1-16-1"])
def test_every_output_equals_the_wheels(options, library, name: str) -> None:
    model = resolve_model(name, PROJECT.artifacts)
    with open_board(BOARD, model, PROJECT, options) as opened:
        compared = opened.comparison()
        assert compared.verdict is Verdict.PASS, str(compared)
        assert (compared.samples, compared.mismatches) == (256, 0)
        assert compared.reference.startswith("tflm ")
        hello = opened.dut.hello
        assert hello.runtime_version == str(library)
        assert 0 < hello.arena_used < hello.arena_capacity
        assert hello.note == ""


def test_kernels_are_told_by_what_is_linked(options) -> None:
    with open_board(BOARD, SINE, PROJECT, options) as opened:
        linked = b"arm_fully_connected_s8" in opened.firmware.elf.read_bytes()
        assert opened.dut.hello.kernels == ("CMSIS-NN" if linked else "TFLM reference")


def test_nothing_in_the_firmware_can_allocate(options) -> None:
    """On emulated boards malloc is a trap, and the linker drops it where nothing calls it."""
    firmware = Builder(PROJECT, tflm=options.tflm).build(BOARD, "tflm", SINE)
    with firmware.elf.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        names = {symbol.name for symbol in symbols if symbol["st_info"]["type"] == "STT_FUNC"}
    assert "main" in names
    assert names & {"malloc", "calloc", "realloc", "_Znwj", "_malloc_r", "_sbrk_r"} == set()


def test_float_model_runs_on_reference_kernels(options) -> None:
    model = resolve_model("sine_float32", PROJECT.artifacts)
    with open_board(BOARD, model, PROJECT, options) as opened:
        assert opened.dut.hello.kernels == "TFLM reference"
        zero = opened.dut.infer(np.zeros((1, 1), np.float32)).outputs
        assert abs(float(zero.ravel()[0])) < 0.1


def test_per_channel_dense_is_right_or_refused_and_then_caught(options, library, dense) -> None:
    if PER_CHANNEL_DENSE in library.cannot:
        with pytest.raises(ModelError, match="quantized per channel"):
            Builder(PROJECT, tflm=library.folder).build(BOARD, "tflm", dense)
    unchecked = replace(options, check_support=False)
    with open_board(BOARD, dense, PROJECT, unchecked) as opened:
        opened.checks.inputs[:] = np.arange(-128, 128, dtype=np.int8).reshape(256, 1)
        compared = opened.comparison()
    if PER_CHANNEL_DENSE in library.cannot:
        assert compared.verdict is Verdict.MISMATCH and compared.culprit is Culprit.KERNEL
        assert compared.mismatches > 200, str(compared)
    else:
        assert (compared.samples, compared.mismatches) == (256, 0), str(compared)


@pytest.mark.parametrize("arena_bytes", [16, 200, 400, 800])
def test_arena_too_small_is_an_error_with_the_numbers(options, arena_bytes: int) -> None:
    with pytest.raises(ModelRefused, match="arena_too_small") as caught:
        with open_board(BOARD, SINE, PROJECT, replace(options, arena_bytes=arena_bytes)):
            pass
    note = caught.value.note
    assert f"the arena has {arena_bytes} bytes, at least " in note
    needed = int(note.split("at least ")[1].split()[0])
    assert arena_bytes < needed < 3000


@pytest.mark.parametrize("initial", [ZEROS, SEVENS])
def test_state_is_reset_and_kept_as_the_wheel_does(options, tmp_path, initial) -> None:
    # The variable's initial value comes from CALL_ONCE, which TFLM's own reset leaves out.
    model = resolve_model(str(summing_file(tmp_path, initial)))
    sequence = (ZERO_POINT + np.arange(240) % 3 - 1).astype(np.int8).reshape(60, 1, 4)
    with open_board(BOARD, model, PROJECT, options) as opened:
        compared = opened.comparison()
        assert (compared.verdict, compared.mismatches) == (Verdict.PASS, 0), str(compared)
        for _ in range(2):
            whole = opened.dut.infer(sequence, keep_state=True).outputs
            assert np.array_equal(whole, sums(sequence, initial)[:, 0])
        assert opened.dut.measure(sequence[:1], 5).state == "reset"
        opened.reset()
        again = opened.dut.infer_staged(sequence[:3], keep_state=True).outputs
        assert np.array_equal(again, sums(sequence[:3], initial)[:, 0])


@pytest.mark.parametrize("arena_bytes", [400, 700])
def test_arena_too_small_for_variables_is_an_error_with_the_numbers(
    options, tmp_path, arena_bytes: int
) -> None:
    model = resolve_model(str(summing_file(tmp_path)))
    with pytest.raises(ModelRefused, match="arena_too_small") as caught:
        with open_board(BOARD, model, PROJECT, replace(options, arena_bytes=arena_bytes)):
            pass
    assert f"the arena has {arena_bytes} bytes, at least " in caught.value.note


def test_a_stateful_model_is_profiled_and_searched_from_a_fresh_state(options, tmp_path) -> None:
    model = resolve_model(str(summing_file(tmp_path, SEVENS)))
    with open_board(BOARD, model, PROJECT, replace(options, profile=True)) as opened:
        layers = [layer.operator for layer in profile_board(opened, n=2).layers]
        assert layers == ["CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ADD", "ASSIGN_VARIABLE"]
        # Twice: what the first search left must not be found by the second.
        assert [first_difference(opened) for _ in range(2)] == [None, None]


def test_firmware_that_is_not_ours_runs_it(options, library) -> None:
    if not library.wrapped:
        pytest.skip("own builds take a source tree of upstream's")
    rig = load_rig(Path(__file__).parents[1] / "outside" / "rig.toml", load_registry())
    node = rig.extend(load_registry())["node"]
    with open_board(node, SINE, PROJECT, options) as board:
        assert board.comparison().verdict == Verdict.PASS
        hello = board.dut.hello
        assert (hello.board, hello.runtime, hello.runtime_version) == (
            *("node", "tflm"),
            str(library),
        )
        assert 500 < hello.arena_used < hello.arena_capacity


def test_wrong_schema_version_is_an_error_with_both_versions(options) -> None:
    model = replace(SINE, content=of_schema(SINE.content, 2))
    with pytest.raises(ModelRefused, match="bad_schema") as caught:
        with open_board(BOARD, model, PROJECT, options):
            pass
    assert caught.value.note == "model has schema version 2, the library reads 3"


def test_operator_the_library_lacks_is_named(library) -> None:
    content = lsh_projection(SINE.content)
    model = replace(SINE, content=content, operators=("LSH_PROJECTION",) * 3)
    with pytest.raises(MissingKernel, match="no kernel for operator LSH_PROJECTION"):
        Builder(PROJECT, tflm=library.folder).build(BOARD, "tflm", model)


def test_kernel_that_refuses_its_tensors_says_so(options) -> None:
    model = replace(SINE, content=float_output(SINE.content))
    with pytest.raises(ModelRefused, match="model_not_loaded") as caught:
        with open_board(BOARD, model, PROJECT, options):
            pass
    assert "Hybrid" in caught.value.note or "input->type" in caught.value.note


def test_a_new_model_recompiles_only_the_model(options, folder: Path) -> None:
    builder = Builder(PROJECT, tflm=folder)
    builder.build(BOARD, "tflm", SINE)
    built = [path for path in (PROJECT.state / "build").glob(f"{ENV}*/pio/build") if path.is_dir()]
    before = {path: path.stat().st_mtime_ns for root in built for path in root.rglob("*.o")}
    builder.build(BOARD, "tflm", replace(SINE, content=SINE.content + os.urandom(4)))
    after = {path: path.stat().st_mtime_ns for root in built for path in root.rglob("*.o")}
    assert {path.name for path, when in after.items() if before.get(path) != when} == {
        "model_tflm.cpp.o"
    }


@pytest.fixture(scope="module")
def shared(options) -> RigOptions:
    """Options by which three models share a firmware, whose own is `linear`."""
    models = tuple(resolve_model(name, PROJECT.artifacts) for name in SHARING)
    return replace(options, swaps=Swaps("always", lambda board, runtime: models))


SHARING = ("linear", "sine", "fashion_cnn-8")


@pytest.mark.parametrize("name", SHARING)
def test_a_model_that_is_brought_answers_and_takes_what_it_does_linked_in(
    options, shared, name: str
) -> None:
    model = resolve_model(name, PROJECT.artifacts)
    counts = []
    for how, place in ((shared, "ram"), (options, "flash")):
        if place == "flash" and name != "sine":
            continue  # A build for each would take its time.
        with open_board(BOARD, model, PROJECT, how) as opened:
            assert opened.model_in == place
            compared = opened.comparison()
            assert compared.verdict is Verdict.PASS and compared.mismatches == 0, str(compared)
            opened.reset()
            measured = opened.dut.measure(opened.checks.inputs[:1], 5)
            counts.append(set(measured.timer.instructions(measured.ticks, 128)))
    assert all(count == counts[0] for count in counts)


def test_the_sine_takes_as_long_from_ram_as_from_flash_and_is_not_held_to_it(
    options, shared, tmp_path
) -> None:
    """QEMU has no wait states. On silicon the two differ, so that the gate compares neither."""
    flash, ram = measured_in_turn(BOARD, SINE, (options, shared), tmp_path)
    assert (flash.model_in, ram.model_in) == ("flash", "ram")
    assert flash.instructions_p50 == ram.instructions_p50 > 1000
    assert (flash.mismatches, ram.mismatches) == (0, 0)
    assert flash.ram_bytes < ram.ram_bytes and flash.flash_bytes < ram.flash_bytes
    assert (ram.baseline_verdict, ram.baseline_ratio) == ("cannot tell", None)
    assert "the model lay in ram, the baseline's in flash: never compared" in ram.baseline_rule


def test_nothing_in_a_firmware_that_takes_models_can_allocate(options, shared) -> None:
    plan = shared.swap_for(BOARD, SINE)
    firmware = Builder(PROJECT, tflm=options.tflm).build_for_all(BOARD, "tflm", plan)
    with firmware.elf.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        names = {symbol.name for symbol in symbols if symbol["st_info"]["type"] == "STT_FUNC"}
    assert names & {"malloc", "calloc", "realloc", "_Znwj", "_malloc_r", "_sbrk_r"} == set()


def _damaged(content: bytes, place: int) -> bytes:
    return content[:place] + bytes((content[place] ^ 0xFF,)) + content[place + 1 :]


def test_what_is_no_model_for_the_board_is_refused_and_it_answers(shared) -> None:
    horse = resolve_model("horse_or_human", PROJECT.artifacts)
    dnn = resolve_model("fashion_dnn", PROJECT.artifacts)
    bad = {
        "bytes, and the board has room for": dnn.content,
        "unknown_operator: operator": horse.content,
        "no flatbuffer of a model": SINE.content[:2000],
        "bad_model": _damaged(SINE.content, 4),
        "a place that cannot be, of tensor 8": planned(SINE.content, 8, -4096),
    }
    with open_board(BOARD, SINE, PROJECT, shared) as opened:
        dut = opened.dut
        for words, content in bad.items():
            with pytest.raises(SwapRefused, match=words):
                bring(dut.link, dut.hello, Brought(content=content, name="bad"))
            assert dut.greet().model_sha256.hex() == SINE.sha256  # It is brought again.
        dut.link.request(Op.LOAD, begin_body(brought(SINE)))
        dut.link.request(Op.LOAD, piece_body(0, SINE.content[:500]))
        said = parse_committed(dut.link.request(Op.LOAD, commit_body()))
        assert said.note == "500 of 2640 bytes have come"
        dut.link.request(Op.LOAD, begin_body(brought(SINE)))
        dut.link.request(Op.LOAD, piece_body(0, _damaged(SINE.content, 1000)))
        said = parse_committed(dut.link.request(Op.LOAD, commit_body()))
        assert said.note == "its bytes have another SHA-256"
        dut.greet()
        assert opened.comparison().verdict is Verdict.PASS


@pytest.fixture(scope="module")
def loaded(options, shared) -> Iterator[tuple[QemuProcess, Loads]]:
    """An emulator that outlives its hosts, with firmware that takes models."""
    plan = shared.swap_for(BOARD, SINE)
    firmware = Builder(PROJECT, tflm=options.tflm).build_for_all(BOARD, "tflm", plan)
    with QemuProcess(BOARD.emulator, firmware.elf, where=WHERE) as process:
        yield process, Loads(process.reopen, plan.own, SINE)


def test_a_host_that_is_killed_in_mid_load_leaves_a_board_that_answers(loaded) -> None:
    process, loads = loaded
    with closing(process.uart()) as uart:
        loads.killed(str(uart.fileno()), uart.fileno())


def test_a_board_that_is_unplugged_in_mid_load_goes_on(loaded) -> None:
    loaded[1].unplugged()


def test_a_board_that_loses_power_in_mid_load_takes_the_model_anew(loaded) -> None:
    process, loads = loaded
    loads.rebooted(lambda stream: process.power_cycle())
    loads.rebooted(lambda stream: stream.write(RESET))


def test_of_two_loads_at_once_one_is_refused(loaded) -> None:
    loaded[1].two_at_once()


def test_mutants_that_the_host_lets_through_leave_a_board_that_answers(shared) -> None:
    """Those that it does not let through are never sent: TFLM trusts files."""
    outcomes = Counter()
    with open_board(BOARD, SINE, PROJECT, shared) as opened:
        dut = opened.dut
        for number in range(60):
            content = mutant(SINE.content, np.random.default_rng(number))
            try:
                artifact = described(Path("mutant.tflite"), content)
                refuse_unrunnable(artifact, BOARD, "tflm")
            except ModelError:
                outcomes["host"] += 1
                continue
            try:
                bring(dut.link, dut.hello, brought(artifact))
                outcomes["ran"] += 1
            except (SwapRefused, ModelRefused):
                outcomes["board"] += 1
            assert dut.greet().model_sha256.hex() == SINE.sha256
        assert opened.comparison().verdict is Verdict.PASS
    assert outcomes["host"] > 5 and outcomes["ran"] > 5, outcomes
