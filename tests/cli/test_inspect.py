"""`hil inspect`, and the commands that look at a model before they begin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.rewritten import lsh_projection, rewritten

from harness.cli import EXIT_USAGE, GROUPS, _parser, main
from harness.firmware.probe import Allocations, Answer
from harness.model.artifact import load_artifact
from harness.model.wheels import tflm_version
from harness.text import WIDTH

ROOT = Path(__file__).parents[2]
SINE = load_artifact(ROOT / "models" / "artifacts" / "sine")
SHA256 = SINE.sha256
pytestmark = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")


@pytest.fixture
def sine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.tflite"
    path.write_bytes(SINE.content)
    return path


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """A model of an operator that no TFLM library has."""
    path = tmp_path / "unknown.tflite"
    path.write_bytes(lsh_projection(SINE.content))
    return path


def test_a_model_that_runs_is_one_page_at_80_columns(sine: Path, capsys) -> None:
    assert main(["inspect", str(sine)]) == 0
    page = capsys.readouterr().out
    lines = page.splitlines()
    assert len(lines) < 30 and max(map(len, lines)) <= WIDTH
    for said in (
        "mine.tflite, 2640 B",
        SHA256,
        "3: 3 FULLY_CONNECTED",
        "int8 1x1, scale 0.0246351, zero",
        "none: an answer depends on its input only",
        "288 per inference",
        "288 B of int8, 132 B of int32",
        "1504 B on the host",
    ):
        assert said in page, page
    assert "aot, tflm, virtual" in lines and "           runs" in lines


def test_a_model_that_nothing_runs_says_why_and_what_to_do(unknown: Path, capsys) -> None:
    assert main(["inspect", str(unknown)]) == EXIT_USAGE
    page = " ".join(capsys.readouterr().out.split())
    assert (
        "aot, tflm, virtual cannot, because operator 0 (LSH_PROJECTION): TFLM has no kernel for it "
        "Convert the model without this operator"
    ) in page
    assert "arena not known" in page


def test_programs_get_the_same_as_json(unknown: Path, sine: Path, capsys) -> None:
    main(["inspect", str(sine), "--json"])
    page = json.loads(capsys.readouterr().out)
    assert page["model"]["sha256"] == SHA256 and page["model"]["batch"] == 1
    assert page["model"]["inputs"][0]["shape"] == [1, 1] and page["host_arena_bytes"] == 1504
    assert [item["ability"] for item in page["verdicts"]] == ["runs"] * 3
    main(["inspect", str(unknown), "--json"])
    page = json.loads(capsys.readouterr().out)
    assert page["host_arena_bytes"] is None
    assert {item["ability"] for item in page["verdicts"]} == {"cannot"}


def test_each_board_has_its_verdicts(sine: Path, capsys) -> None:
    assert main(["inspect", str(sine), "--board", "qemu-m4", "nano33ble,virtual"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    for board in ("qemu-m4 (aot)", "qemu-m4 (tflm)", "nano33ble (aot)", "virtual (tflm)"):
        assert board in page
    assert main(["inspect", str(sine), "--board", "qemu"]) == EXIT_USAGE
    assert "unknown board 'qemu'" in capsys.readouterr().err


def test_a_model_of_the_project_is_known_by_its_name(capsys) -> None:
    assert main(["inspect", "sine"]) == 0
    assert SHA256 in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("absent.tflite", None, "cannot read .*absent.tflite: No such file"),
        ("cut.tflite", SINE.content[:900], "cut.tflite is cut off or damaged"),
        ("keras.h5", b"\x89HDF" + bytes(90), "an HDF5 file.*tf.lite.TFLiteConverter"),
    ],
)
def test_what_cannot_be_read_is_one_error(
    tmp_path: Path, capsys, name: str, content: bytes | None, said: str
) -> None:
    import re

    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main(["inspect", str(path)]) == EXIT_USAGE
    output = capsys.readouterr()
    assert output.out == ""
    assert re.search(said, " ".join(output.err.split())) and output.err.startswith("hil: ")


def test_state_batch_and_several_tensors_are_said() -> None:
    from harness.firmware.look import as_page
    from harness.model.inspect import facts_of
    from harness.model.resolve import described

    def change(schema, model) -> None:
        graph = model.subgraphs[0]
        for operator in graph.operators:
            graph.tensors[operator.outputs[0]].shape[0] = 4
        graph.tensors[graph.inputs[0]].shape = [4, 1]
        graph.tensors[graph.operators[0].outputs[0]].isVariable = True
        graph.outputs = [graph.outputs[0], graph.operators[0].outputs[0]]

    facts = facts_of(described(Path("given.tflite"), rewritten(SINE.content, change)))
    answer = Answer(refusal=None, allocations=Allocations(head=1, tail=2, tensors=3))
    page = as_page(facts, answer, ())
    assert "batch      4: a sample is one batch" in page
    assert "state      kept by variable tensors" in page
    assert "output 0" in page and "output 1" in page and "arena      3 B on the host" in page


@pytest.mark.parametrize(
    "command",
    [
        ("build",),
        ("flash", "--board", "nano33ble"),
        ("infer", "1"),
        ("bench",),
        ("profile",),
        ("infer", "1", "--board", "virtual"),
        ("virtual",),
    ],
)
def test_a_command_refuses_a_model_before_it_begins(
    unknown: Path, tmp_path: Path, monkeypatch, capsys, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--model", str(unknown)]) == EXIT_USAGE
    said = capsys.readouterr()
    assert said.err.count("hil: ") == 1 and said.out == ""
    assert "this model cannot run, because operator 0 (LSH_PROJECTION): TFLM has no" in said.err
    assert not (tmp_path / "state").exists() and not (tmp_path / "locks").exists()


def test_bench_says_a_reason_once_for_all_boards_and_measures_what_is_left(
    unknown: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))
    monkeypatch.chdir(tmp_path)
    boards = ("--board", "virtual", "qemu-m4", "--samples", "5")
    assert main(["bench", *boards, "--model", str(unknown)]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert said.count("hil: ") == 1 and "(board virtual, qemu-m4, model unknown)" in said
    boards = ("--board", "virtual", "--samples", "5")
    assert main(["bench", *boards, "--model", "sine", str(unknown)]) == EXIT_USAGE
    output = capsys.readouterr()
    assert output.err.count("hil: ") == 1 and "0/256" in output.out


@pytest.mark.parametrize("group", GROUPS)
def test_a_command_alone_loads_the_module_that_has_it(group: str) -> None:
    (commands,) = (a for a in _parser()._actions if a.dest != "help" and a.choices)
    for name in GROUPS[group]:
        (alone,) = (a for a in _parser(name)._actions if a.dest != "help" and a.choices)
        assert set(alone.choices) == set(GROUPS[group])
    assert set(commands.choices) == {name for names in GROUPS.values() for name in names}
