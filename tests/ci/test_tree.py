from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.ci.tree import (
    ROOT,
    Wanted,
    bench_command,
    models_in,
    other_dependencies,
    own_harness,
    tflm_of,
    wanted_of,
)
from harness.errors import WrongUse


def wanted(**texts: str) -> Wanted:
    given = {"boards": "qemu-m4", "models": "sine", "runtimes": "", "tflm": "", "extra": ""}
    given["details"] = "--functions"
    return wanted_of(**given | texts)


def test_lists_have_spaces_commas_or_lines_between_their_items() -> None:
    found = wanted(boards="a, b\n a", models="\n  m/*.tflite\n  sine\n", extra="--arena '1 2'")
    assert found.boards == ("a", "b")
    assert found.models == ("m/*.tflite", "sine")
    assert found.extra == ("--arena", "1 2")


@pytest.mark.parametrize("texts", [{"boards": " "}, {"models": ""}, {"extra": "'"}])
def test_nothing_to_measure_is_refused(texts: dict[str, str]) -> None:
    with pytest.raises(WrongUse):
        wanted(**texts)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.tflite", "a.tflite", "sub/c.tflite", "-x.tflite"):
        path = tmp_path / "tree" / "m" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "out.tflite").write_text("")
    return tmp_path / "tree"


def test_patterns_become_files_in_order_and_names_stay(tree: Path) -> None:
    found, absent = models_in(tree, ["sine", "m/*.tflite", "m/a.tflite", "no.tflite", "x/y"])
    names = [Path(name).name for name in found]
    assert names == ["sine", "-x.tflite", "a.tflite", "b.tflite"]
    assert all(Path(name).is_absolute() for name in found[1:])
    assert absent == ["no.tflite", "x/y"]
    found, _ = models_in(tree, ["m/**/c.tflite"])
    assert [Path(name).name for name in found] == ["c.tflite"]


@pytest.mark.parametrize("pattern", ["../out.tflite", "m/../../out.tflite", "/etc/*", "link/*"])
def test_models_outside_of_the_checkout_are_refused(tree: Path, pattern: str) -> None:
    (tree / "link").symlink_to(tree.parent)
    with pytest.raises(WrongUse):
        models_in(tree, [pattern])


def test_too_many_models_are_refused(tree: Path) -> None:
    for number in range(201):
        (tree / f"{number}.tflite").write_text("")
    with pytest.raises(WrongUse, match="201 models are more than 200"):
        models_in(tree, ["*.tflite"])


def test_a_checkout_of_the_harness_measures_itself(tmp_path: Path) -> None:
    assert own_harness(ROOT) and not other_dependencies(ROOT)
    assert not own_harness(tmp_path)
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    assert not own_harness(tmp_path), "no firmware in it"
    (tmp_path / "platformio.ini").write_text("")
    assert own_harness(tmp_path) and not other_dependencies(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "other"),
    [("bakenn[tflite]==1.0.0", "bakenn[tflite]==1.0.1", True), ("mypy==", "mypy>=", False)],
)
def test_other_packages_need_an_environment_of_their_own(
    tmp_path: Path, old: str, new: str, other: bool
) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert old in text
    (tmp_path / "pyproject.toml").write_text(text.replace(old, new))
    assert other_dependencies(tmp_path) is other


def test_tflm_is_a_folder_of_the_checkout(tree: Path) -> None:
    assert tflm_of(tree, "") is None
    assert tflm_of(tree, "m") == tree / "m"
    with pytest.raises(WrongUse, match="no folder n with TFLite Micro"):
        tflm_of(tree, "n")


def test_the_command_has_every_input() -> None:
    command = bench_command(
        Path("/v/hil"),
        wanted(boards="a b", runtimes="aot tflm", extra="--samples 5"),
        ["sine", "/t/m.tflite"],
        Path("/t/tflm"),
        Path("/o/latency.csv"),
        ("--profile", "--functions"),
    )
    assert command == [
        *("/v/hil", "bench", "--board", "a", "b", "--model", "sine", "/t/m.tflite"),
        *("--runtime", "aot", "tflm", "--tflm", "/t/tflm"),
        *("--csv", "/o/latency.csv", "--profile", "--functions"),
        *("--samples", "5"),
    ]
