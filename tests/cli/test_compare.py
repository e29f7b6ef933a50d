from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import nights
from fakes.measured import QUIET, rows
from fakes.profiled import CNN, counted

from harness.cli import main
from harness.measure.csvfile import append, beside

SLOWER = [1.05 * time for time in QUIET]


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "latency.csv"
    append(path, [*rows("r1"), *rows("r2", board="other"), *rows("r3", git_commit="abc")])
    return path


def hil(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def after(tmp_path: Path) -> Path:
    path = tmp_path / "after" / "latency.csv"
    append(path, [*rows("s1", SLOWER), *rows("s2", board="other")])
    return path.parent


def test_compare_fails_on_a_slowdown_only_when_it_is_to_gate(
    measured: Path, after: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hil("compare", measured, after) == 0
    assert "1.050" in capsys.readouterr().out
    assert hil("compare", measured, after, "--gate") == 12
    assert hil("compare", measured, measured, "--gate") == 0


@pytest.mark.parametrize(
    "kind, first",
    [
        ("csv", "board,runtime"),
        ("markdown", "### Comparison\n\n**1 slower, 1 same"),
        ("json", '{\n "title": "Comparison"'),
        ("text", "board, runtime"),
    ],
)
def test_compare_writes_a_file(measured: Path, after: Path, kind: str, first: str) -> None:
    target = after / "out" / "compared"
    assert hil("compare", measured, after, "--format", kind, "--output", target) == 0
    assert target.read_text().startswith(first)


def test_compare_uses_what_is_readable_of_a_damaged_file_and_counts_the_rest(
    measured: Path, after: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (after / "latency.csv").open("a") as file:
        file.write("too,few\n2026-11-21T06")
    assert hil("compare", measured, after) == 0
    done = capsys.readouterr()
    assert "2 lines are left out" in done.err and "1.050" in done.out


@pytest.mark.parametrize("name, said", [("absent.csv", "cannot read"), ("empty", "no CSV file")])
def test_compare_names_what_is_absent_or_empty(
    measured: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (measured.parent / "empty").mkdir()
    assert hil("compare", measured, measured.parent / name) == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    path = tmp_path / "larger.csv"
    append(path, rows("s1", flash_bytes=1001, flash_kernels_bytes=501))
    return path


@pytest.fixture
def sized(tmp_path: Path) -> Path:
    path = tmp_path / "sized.csv"
    append(path, rows("r1", flash_bytes=1000, flash_kernels_bytes=500))
    return path


def test_sizes_are_shown_when_asked_for_and_fail_when_asked_to(
    sized: Path, larger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hil("compare", sized, larger) == 0
    assert "1001" not in capsys.readouterr().out
    assert hil("compare", sized, larger, "--memory", "--gate") == 0
    out = capsys.readouterr().out
    assert "1001 (+1)" in out and "flash +1: kernels +1" in out
    assert hil("compare", sized, larger, "--gate-memory") == 1
    assert hil("compare", sized, sized, "--gate-memory", "--gate") == 0
    assert hil("compare", larger, sized, "--gate-memory") == 0


def test_gitlabs_two_files_go_into_a_folder_and_over_their_like_only(
    sized: Path, larger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sized.parent / "reports"
    gitlab = ("--memory", "--format", "gitlab", "--output", folder)
    for _ in range(2):
        assert hil("compare", sized, larger, *gitlab) == 0
    (finding,) = json.loads((folder / "gl-code-quality-report.json").read_text())
    assert finding["check_name"] == "hil/bytes"
    metrics = (folder / "metrics.txt").read_text()
    assert metrics.endswith("# EOF\n") and 'hil_flash_bytes{board="nano",' in metrics
    (folder / "metrics.txt").write_text("mine 1\n")
    assert hil("compare", sized, sized, *gitlab) == 2
    assert "is no such comparison" in capsys.readouterr().err
    # Neither of the two was written.
    assert json.loads((folder / "gl-code-quality-report.json").read_text()) == [finding]


def test_markdown_and_json_are_written_over_their_like_only(sized: Path, larger: Path) -> None:
    for kind in ("markdown", "json"):
        file = sized.parent / f"out.{kind}"
        for _ in range(2):
            assert hil("compare", sized, larger, "--format", kind, "--output", file) == 0
        file.write_text('{"mine": 1}' if kind == "json" else "# Mine")
        assert hil("compare", sized, larger, "--format", kind, "--output", file) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "gitlab"], "name a folder with --output"),
        (["--format", "csv", "--memory"], "holds times alone"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_read(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hil("compare", tmp_path / "absent", tmp_path / "absent", *words) == 2
    assert said in capsys.readouterr().err


def test_functions_that_differ_are_shown_when_asked_for(
    sized: Path, larger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (*_, row) = nights.emulated_board(0, instructions=2967)
    before, _ = nights.counted_rows(row)
    after = [
        replace(item, instructions=item.instructions + 7 * (item.symbol == "memcpy"))
        for item in before
    ]
    assert hil("compare", sized, larger, "--functions") == 2
    assert "holds no functions of an invoke" in capsys.readouterr().err
    append(beside(sized, "functions"), before)
    append(beside(larger, "functions"), after)
    assert hil("compare", sized, larger, "--functions") == 0
    out = capsys.readouterr().out
    assert "qemu-m4, aot, sine_int8: 2965 to 2972 instructions (+7)" in out
    assert "  memcpy    1920  1927      +7      1" in out
    assert hil("compare", sized, larger, "--functions", "--format", "markdown") == 0
    out = capsys.readouterr().out
    assert "Functions: 1 function changed" in out and "memcpy" in out
    assert hil("compare", sized, larger, "--functions", "--format", "csv") == 2
    assert "take another format with --functions" in capsys.readouterr().err


@pytest.fixture
def profiled(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with a run and its profile each; in the second one operator is slower."""
    for run, operators in (("r1", CNN), ("r2", [*CNN[:3], (*CNN[3][:3], 3061)])):
        append(tmp_path / run / "latency.csv", rows(run))
        append(tmp_path / run / "layers.csv", counted(run, operators))
    return tmp_path / "r1", tmp_path / "r2"


def test_compare_shows_operators_and_its_gate_closes_for_a_slower_one(
    profiled: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = profiled
    assert hil("compare", "--layers", a, b) == 0
    said = capsys.readouterr().out
    assert "nano, tflm, sine_int8: 1 slower, 4 same" in said
    assert "3 FULLY_CONNECTED    1x10   3060   3061  1.0003   slower" in said
    # The whole is the same, so that only the operators' own gate closes.
    assert hil("compare", "--gate", a, b) == 0
    assert hil("compare", "--layers", "--gate", a, b) == 12
    assert hil("compare", "--layers", "--gate", b, a / "latency.csv") == 0
    assert hil("compare", "--layers", "--gate", a / "layers.csv", b / "layers.csv") == 12


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("csv", "nano,tflm,sine,int8,3,3,FULLY_CONNECTED,dense,1x10,,,3060,3061,slower,1.00033,"),
        ("markdown", "| `3 FULLY_CONNECTED` | `1x10` | 3060 instr | 3061 instr | 1.0003 |"),
    ],
)
def test_compare_writes_operators_over_an_earlier_comparison_only(
    profiled: tuple[Path, Path], kind: str, said: str
) -> None:
    target = profiled[0].parent / "compared"
    asked = ("compare", "--layers", *profiled, "--format", kind, "--output", target)
    assert hil(*asked) == 0 and hil(*asked) == 0
    assert said in target.read_text()
    target.write_text("mine\n")
    assert hil(*asked) == 2 and target.read_text() == "mine\n"


def test_compare_of_operators_says_what_was_not_profiled(
    profiled: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (profiled[0] / "layers.csv").unlink()
    assert hil("compare", "--layers", *profiled) == 2
    said = capsys.readouterr().err
    assert "r1 has no profile of its runs" in said and "--profile" in said
