from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.measure.cycles_found import Compared, Found, error_lines, found_text, load_found

ROOT = Path(__file__).parents[2]
ROW = Compared(
    core="Cortex-M4",
    network="FC",
    board="nRF",
    code="BakeNN",
    source="somewhere",
    alike=True,
    published_cycles=1000,
    runtime="aot",
    built="GCC",
    instructions=700,
    estimate_cycles=900,
)


def found(*rows: Compared) -> Found:
    return Found(date="2026-11-26", versions="v", rows=rows)


def test_the_range_of_errors_is_said_and_of_other_code_apart() -> None:
    lines = error_lines(found(ROW, replace(ROW, estimate_cycles=1100)), "Cortex-M4")
    same = "2 published figures of code with the same kernels: the estimate was off by"
    assert lines == [f"{same} -10 % to +10 %"]
    other = error_lines(found(ROW, replace(ROW, alike=False, estimate_cycles=800)), "Cortex-M4")
    assert other[1].endswith("other code for the same networks: the estimate was off by -20 %")


def test_more_than_30_percent_is_said_in_so_many_words() -> None:
    far = error_lines(found(replace(ROW, alike=False, estimate_cycles=600)), "Cortex-M4")
    assert far[-1].startswith("MORE THAN 30 % OFF")
    near = error_lines(found(replace(ROW, estimate_cycles=701)), "Cortex-M4")
    assert not any("MORE" in line for line in near)


def test_a_core_without_published_figures_is_of_unknown_error() -> None:
    (line,) = error_lines(found(ROW), "Cortex-M7")
    assert "nobody knows" in line


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    path.write_text(found_text(found(ROW)))
    assert load_found(path) == found(ROW)


def test_the_guide_has_every_row_that_was_found() -> None:
    guide = (ROOT / "docs" / "profile.md").read_text()
    committed = load_found()
    for row in committed.rows:
        figures = (f"{row.published_cycles:,.0f}", f"{row.estimate_cycles:,.0f}")
        lines = [line for line in guide.splitlines() if f"| {row.network}, {row.runtime} |" in line]
        assert any(all(figure in line for figure in figures) for line in lines), row
    for line in error_lines(committed, "Cortex-M4"):
        assert line in " ".join(guide.split())
    assert len(committed.rows) >= 2 and committed.date in guide


def test_the_feature_stays_out_of_the_readme_while_it_is_too_far_off() -> None:
    far = any("MORE THAN" in line for line in error_lines(load_found(), "Cortex-M4"))
    assert not far or "estimate-cycles" not in (ROOT / "README.md").read_text()
