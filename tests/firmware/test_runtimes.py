"""Runtimes of installed distributions: loaded where they are used, run, and what can go wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Verdict
from harness.board.registry import Board, load_registry, parse_board
from harness.board.runtimes import runtime_ids
from harness.errors import HilError, ModelError, RigError, UnknownName, WrongUse
from harness.files import tree_digest
from harness.firmware import added, generated
from harness.firmware.added import MOST_STEPS
from harness.firmware.build import Builder
from harness.firmware.platformio import Job
from harness.firmware.runtime import Given, Question
from harness.firmware.runtimes import runtime_of, usable_runtimes
from harness.firmware.verdict import Ability, verdicts
from harness.model.graph import read_graph
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.emulated import expand_here
from harness.rig.open import RigOptions, open_board

OUTSIDE = Path(__file__).parents[1] / "fakes" / "outside"
PROJECT = find_project()
SINE = resolve_model("sine", PROJECT.artifacts)
CNN = resolve_model("fashion_cnn-8", PROJECT.artifacts)
QEMU_M4 = load_registry()["qemu-m4"]
LOOPS = RigOptions(runtime="acme-loops")
JOB = Job(board=QEMU_M4, runtime="x", artifact=SINE)

HEAD = """
from harness import Look, Runtime, write_model
def look(question): return Look()
def generate(job, build_id, folder): {generate}
"""
RUNTIME = HEAD + "RUNTIME = Runtime(description='d', version='v', look=look, generate=generate)\n"


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(OUTSIDE)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a distribution as pip leaves it in a folder."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(source: str, runtime: str = "x", name: str = "x_runtimes") -> None:
        sys.modules.pop(name, None)  # That of the test before.
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        point = f"[tinyml_hil.runtimes]\n{runtime} = {name}:RUNTIME\n"
        (info / "entry_points.txt").write_text(point)
        (tmp_path / f"{name}.py").write_text(source)

    return made


@pytest.mark.parametrize("model", ["sine", "filters-edge-pool"])
def test_a_runtime_of_a_distribution_answers_with_the_goldens(model: str, acme: None) -> None:
    artifact = resolve_model(model, PROJECT.artifacts)
    with open_board(QEMU_M4, artifact, options=replace(LOOPS, timed=False)) as board:
        compared = board.comparison()
        assert compared.samples > 200 and compared.verdict == Verdict.PASS, str(compared)
        hello = board.dut.hello
    assert (hello.runtime, hello.runtime_version) == ("acme-loops", "acme-loops 1.0")
    assert (hello.kernels, hello.arena_used) == ("plain C loops", hello.arena_capacity)
    assert hello.arena_used == (32 if model == "sine" else 1800)


WHOLE = """
from dataclasses import replace
import shutil, acme_loops
def generate(job, build_id, folder):
    acme_loops.generate(job, build_id, folder)
    shutil.copy({source!r}, folder / "whole.cpp")
    return ()
RUNTIME = replace(acme_loops.LOOPS, generate=generate, sources=())
"""


def test_a_runtime_may_define_all_of_the_firmwares_end_itself(
    acme: None, install: Callable[..., None]
) -> None:
    install(WHOLE.format(source=str(PROJECT.firmware / "src" / "runtime" / "aot.cpp")))
    options = replace(LOOPS, runtime="x", timed=False)
    with open_board(QEMU_M4, SINE, options=options) as board:
        assert board.comparison().verdict == Verdict.PASS
        assert board.dut.hello.runtime == "x"
        assert board.firmware is not None
        symbols = board.firmware.elf.read_bytes()
    assert b"whole.cpp" in symbols and b"aot.cpp" not in symbols


def test_a_model_that_it_cannot_run_is_refused_by_its_operators_name(acme: None) -> None:
    refused = r"with acme-loops, because operator 7 \(SOFTMAX\) is none of FULLY_CONNECTED"
    with pytest.raises(ModelError, match=refused), open_board(QEMU_M4, CNN, options=LOOPS):
        pass


def test_every_runtime_has_a_verdict_where_it_runs(acme: None) -> None:
    registry = load_registry()
    boards = [registry["virtual"], registry["qemu-m4"]]
    found = verdicts(CNN, boards, answer=None)
    assert [(item.board, item.runtime, item.ability) for item in found] == [
        ("virtual", "tflm", Ability.RUNS),
        ("qemu-m4", "aot", Ability.CHANGED),
        ("qemu-m4", "tflm", Ability.RUNS),
        ("qemu-m4", "acme-loops", Ability.CANNOT),
    ]
    assert [item.runtime for item in verdicts(SINE, answer=None)] == [
        *("aot", "tflm", "acme-loops", "virtual")
    ]


def board_of(mcu: str) -> Board:
    table = {"description": "", "attachment": "serial", "mcu": mcu, "clock_hz": 1}
    return parse_board("b", {**table, "runtimes": ["aot"], "env": {"aot": "e"}})


def test_a_board_that_it_does_not_take_is_refused_with_its_reason(acme: None) -> None:
    assert runtime_of("acme-loops", board_of("Cortex-M4")).version == "acme-loops 1.0"
    with pytest.raises(WrongUse, match="acme-loops does not run on b: it is an MSP430, whose int"):
        runtime_of("acme-loops", board_of("MSP430F2"))


def test_a_board_without_firmware_of_ours_has_no_other_runtime(acme: None) -> None:
    with pytest.raises(UnknownName, match="unknown runtime for board virtual 'acme-loops'"):
        load_registry()["virtual"].runtime("acme-loops")
    assert QEMU_M4.runtime("acme-loops") == "acme-loops"
    assert QEMU_M4.env_of("acme-loops") == QEMU_M4.env["aot"]


def test_a_runtime_that_measures_no_operators_is_not_profiled(acme: None) -> None:
    with pytest.raises(WrongUse, match="runtime acme-loops measures no operators"):
        Builder(PROJECT, profile=True).build(QEMU_M4, "acme-loops", SINE)


def test_its_build_id_is_of_what_it_generates(install: Callable[..., None]) -> None:
    install(RUNTIME.format(generate="(folder / 'a.c').write_text(job.artifact.name); return ()"))
    given, plan = Given(project=PROJECT), runtime_of("x").plan
    texts = [plan(replace(JOB, artifact=model), given).identity for model in (SINE, CNN, SINE)]
    assert texts[0] == texts[2] != texts[1]


def test_a_run_without_it_does_not_import_it(install: Callable[..., None]) -> None:
    install("raise SystemExit('imported')")
    assert runtime_ids() == ("tflm", "aot", "x")
    assert QEMU_M4.runtime("aot") == "aot" and QEMU_M4.runtime("x") == "x"
    assert runtime_of("aot", QEMU_M4).version.startswith("bakenn")


@pytest.mark.parametrize(
    "source, named",
    [
        ("import no_such_\\x1b", "cannot be loaded: SyntaxError"),
        ("raise SystemExit('im Bau')", "cannot be loaded: SystemExit: im Bau"),
        ("raise OSError('no \\x1b[31mdisk')", "cannot be loaded: OSError: no \\x1b[31mdisk"),
        ("", "cannot be loaded: AttributeError: module 'x_runtimes' has no attribute 'RUNTIME'"),
        ("RUNTIME = 7", "x_runtimes:RUNTIME must be a harness.Runtime, not int"),
        (
            "from harness import Runtime\nRUNTIME = Runtime(description='d', version='v')",
            "cannot be loaded: TypeError",
        ),
        (
            HEAD.format(generate="pass")
            + "RUNTIME = Runtime(description='d', version=1, look=look, generate=generate)",
            "a runtime's version must be a string",
        ),
    ],
)
def test_one_that_cannot_be_loaded_names_its_distribution(
    source: str, named: str, install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install(source)
    with pytest.raises(RigError) as caught:
        runtime_of("x", QEMU_M4)
    assert "runtime x of distribution x_runtimes" in str(caught.value)
    assert named in str(caught.value) and "\x1b" not in str(caught.value)
    assert usable_runtimes() == {} == usable_runtimes()
    assert capsys.readouterr().err.count("runtime x of distribution x_runtimes is left out: ") == 1
    with pytest.raises(HilError, match="x_runtimes"):
        expand_here(("all-emulated",), ("x",))


@pytest.mark.parametrize(
    "generate, named",
    [
        ("return 1 / 0", "failed in generate: ZeroDivisionError: division by zero"),
        ("raise KeyboardInterrupt", None),
        ("return None", "generate must return tuple, not None"),
        ("return ('a',)", f"generate must return at most {MOST_STEPS} harness.Step"),
        ("(folder / 'a;b.c').touch(); return ()", "wrote a file 'a;b.c': a name must be"),
        ("write_model(job, build_id, folder, infer='a;b', version='', kernels='')", "not 'a;b'"),
    ],
)
def test_what_it_does_wrong_is_said_to_be_its_own(
    generate: str, named: str | None, install: Callable[..., None], tmp_path: Path
) -> None:
    install(RUNTIME.format(generate=generate))
    folder = tmp_path / "generated"
    folder.mkdir()
    if named is None:  # It is the user's, who is obeyed.
        with pytest.raises(KeyboardInterrupt):
            runtime_of("x").generate(JOB, "00" * 16, folder)
        return
    with pytest.raises(RigError) as caught:
        runtime_of("x").generate(JOB, "00" * 16, folder)
    assert named in str(caught.value)
    assert "runtime x of distribution x_runtimes" in str(caught.value)


@pytest.mark.parametrize(
    "source, named",
    [
        ("while True: pass", "cannot be loaded"),
        (RUNTIME.format(generate="return [1 for _ in iter(int, 1)]"), "failed in generate"),
        (
            RUNTIME.format(generate="return ()").replace(
                "return Look()", "threading.Event().wait()"
            )
            + "import threading",
            "failed in look",
        ),
        (
            HEAD.format(generate="return ()")
            + "import time\ndef refuses(board): time.sleep(1000)\n"
            "RUNTIME = Runtime(description='', version='', look=look, generate=generate, "
            "refuses=refuses)",
            "failed in refuses",
        ),
    ],
)
def test_what_does_not_end_is_ended_and_named(
    source: str, named: str, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(source)
    graph = read_graph(SINE.content, name=SINE.name)
    with pytest.raises(RigError) as caught:
        if "loaded" in named:
            monkeypatch.setattr(added, "LOADING_S", 0.05)
        found = runtime_of("x")
        monkeypatch.setattr(added, "LOADING_S", 0.05)
        monkeypatch.setattr(added, "GENERATING_S", 0.05)
        found.refuses(QEMU_M4)
        found.look(Question(artifact=SINE, graph=graph))
        found.plan(JOB, Given(project=PROJECT))
    said = f"runtime x of distribution x_runtimes {named}: TimeoutError: it took longer than 0.05 s"
    assert said in str(caught.value)


COUNTED = HEAD.format(generate="calls.append(build_id); {writes}; return ()") + (
    "import acme_loops\ncalls = []\n"
    "RUNTIME = Runtime(description='d', version='v', look=look, generate=generate)\n"
)
IDENTITY = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "writes, calls",
    [
        ("acme_loops.generate(job, build_id, folder)", 1),
        ("(folder / 'id.h').write_text(build_id)", 1),
        ("(folder / 'id.h').write_text(str([*bytes.fromhex(build_id)]))", 2),
        ("(folder / 'a.c').write_text('')", 2),
    ],
)
def test_it_generates_once_for_the_build_id_and_the_build(
    writes: str, calls: int, acme: None, install: Callable[..., None], tmp_path: Path
) -> None:
    install(COUNTED.format(writes=writes))
    job = replace(JOB, runtime="acme-loops")
    jobs = [runtime_of("x").plan(job, Given(project=PROJECT)) for _ in range(2)]
    assert jobs[0].identity == jobs[1].identity
    once, anew = tmp_path / "once", tmp_path / "anew"
    for folder in (once, anew):
        folder.mkdir()
    runtime_of("x").generate(jobs[1], IDENTITY, once)
    made = sys.modules["x_runtimes"]
    assert len(made.calls) == calls
    made.generate(job, IDENTITY, anew)
    assert tree_digest(once) == tree_digest(anew)


def test_few_of_what_was_generated_is_kept(install: Callable[..., None]) -> None:
    install(RUNTIME.format(generate="(folder / 'a.c').write_text(build_id); return ()"))
    plan = runtime_of("x").plan
    for name in "abcdefgh":
        plan(replace(JOB, artifact=replace(SINE, name=name)), Given(project=PROJECT))
    assert len(generated._made) <= generated.MOST_KEPT


@pytest.mark.parametrize(
    "runtime, named",
    [
        ("aot", "the harness has a runtime aot of its own"),
        ("a;b", "its id must be letters"),
        ("-x", "its id must be letters"),
    ],
)
def test_an_id_that_cannot_be_is_left_out(
    runtime: str,
    named: str,
    install: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("raise OSError('imported')", runtime)
    assert runtime_of("aot").version.startswith("bakenn")
    assert usable_runtimes() == {} and runtime_ids() == ("tflm", "aot")
    assert named in capsys.readouterr().err


def test_two_distributions_with_one_id_are_both_named_where_it_is_used(
    install: Callable[..., None],
) -> None:
    source = RUNTIME.format(generate="return ()")
    install(source, name="one_runtimes")
    install(source, name="two_runtimes")
    with pytest.raises(RigError, match="distributions one_runtimes and two_runtimes both have one"):
        runtime_of("x")
    assert runtime_of("aot", QEMU_M4).profiled
