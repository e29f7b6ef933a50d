"""The HTML page and `hil report`: one file that says what was measured and loads nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fakes import described, nights
from fakes.forks import Forks

from harness.board.registry import load_registry
from harness.errors import ReportError
from harness.measure.csvfile import append
from harness.measure.tables import LatencyRow
from harness.progress import Advance
from harness.report.facts import COLUMNS
from harness.report.page import write_report

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 21, 12, 30, tzinfo=timezone.utc)
Report = Callable[..., subprocess.CompletedProcess[str]]
VOID = {"meta", "link", "br", "img", "input"}


class Document(HTMLParser):
    """Tags with their attributes, and the visible text, of a well-nested page."""

    def __init__(self, page: str, origin: Path | None = None) -> None:
        super().__init__()
        self.origin = origin
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.source, self.text = page, ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]

    @property
    def said(self) -> str:
        """The text in one line."""
        return " ".join(self.text.split())


def make(source: Path, output: Path, **changes: object) -> Document:
    settings = {"now": NOW, "artifacts": (nights.ARTIFACTS,), "registry": load_registry()}
    write_report(source, output, **(settings | changes))  # type: ignore[arg-type]
    return Document(output.read_text(encoding="utf-8"), origin=source)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """One run of a real and of an emulated board."""
    path = tmp_path / "latency.csv"
    nights.write(path, nights.real_board(1))
    nights.write(path, nights.emulated_board(1))
    return path


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run of which only latency.csv is known, without sizes: quickly made into a page."""
    path = tmp_path / "latency.csv"
    append(path, without_sizes(nights.real_board(1)))
    return path


def without_sizes(rows: list[LatencyRow]) -> list[LatencyRow]:
    return [replace(row, flash_bytes=None, ram_bytes=None) for row in rows]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """The page of such a run, made once for all that only read it."""
    path = tmp_path_factory.mktemp("page") / "latency.csv"
    nights.write(path, nights.real_board(1))
    nights.write(path, nights.emulated_board(1))
    return make(path, path.with_name("report.html"))


def test_verdicts_come_first_then_what_was_run_numbers_and_pictures(page: Document) -> None:
    places = [
        page.said.index(text)
        for text in ("All outputs are right, and nothing got slower", "Verdicts", "What was run")
        + ("Numbers", "Measurements", "Memory", "Training", "Trend")
    ]
    assert places == sorted(places)
    # Histogram and distribution of the real board only; two pictures of outputs and of operators
    # each; functions of the emulated one; flash and RAM; loss and MAE.
    pictures = 2 + 4 + 4 + 1 + 2 + 2
    assert page.count("figure") == page.count("svg") == page.count("figcaption") == pictures


def test_run_header_tells_where_the_numbers_are_from(bare: Path) -> None:
    rows = [
        replace(row, git_commit="abc1234-dirty", run="d" * 12)
        for row in without_sizes(nights.real_board(3))
    ]
    append(bare, rows)
    assert (
        "git commit 0000001, nothing uncommitted"
        in make(bare, bare.with_name("clean.html"), runs={f"{1:012x}"}).said
    )
    said = make(bare, bare.with_name("report.html"), runs={"d" * 12}).said
    for fact in (
        "board nano33ble", "unique id a1b2c3d4e5f60718", "port /dev/ttyACM0", "clock 64 MHz",
        "runtime tflm 1", "kernels CMSIS-NN 4.0.0", "compiler GCC 12.2",
        "flags -Os -mfloat-abi=hard", "model sine int8", "model's SHA-256 6158f3d0d2e6",
        "harness 0.1.0", "git commit abc1234, with uncommitted changes", "host rig",
        "written, UTC 2026-11-17 02:00:00", "Made 2026-11-21 12:30 UTC",
    ):  # fmt: skip
        assert fact in said


def test_emulated_cores_that_ran_a_model_are_in_one_table(csv: Path, page: Document) -> None:
    m3 = [
        replace(row, board="qemu-m3", mcu="Cortex-M3", samples=256, mismatches=3, macs=288)
        for row in without_sizes(nights.emulated_board(2, instructions=3970))
    ]
    append(csv, m3)
    said = make(csv, csv.with_name("cores.html")).said
    assert "sine int8, aot qemu-m3 CMSIS-NN 4.0.0 3,970 13.78 1.338 - - 1,480 3/256!" in said
    assert "qemu-m3, aot, sine_int8: not shown to be bit-equal, 3 of 256 inputs differ" in said
    assert "against qemu-m4" not in page.said


def test_emulated_rows_are_marked_as_no_time_on_silicon(page: Document, csv: Path) -> None:
    said = page.said
    assert "sine int8 on qemu-m4, aot emulated 2,967 instructions" in said
    assert "emulated: instructions, not time on silicon" in said
    only_real = make(csv, csv.with_name("real.html"), runs={f"{1:012x}"}).said
    assert "not time on silicon" not in only_real.replace("Emulated boards: ", "")


def test_file_loads_nothing_and_runs_nothing(page: Document) -> None:
    assert page.tags[0][0] == "html" and page.tags[0][1] == {"lang": "en"}
    policies = [attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert page.count("script") == page.count("img") == page.count("iframe") == 0
    links = page.values("href") + page.values("src")
    assert links and all(link.startswith(("#", "data:,")) for link in links)
    assert not re.search(r"url\((?!#)|@import", page.source)


def test_ids_are_unique_and_every_reference_has_its_target(page: Document) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    targets = {link[1:] for link in page.values("href") if link.startswith("#")}
    assert targets | set(page.values("aria-labelledby")) <= set(ids)


def test_tables_name_their_rows_and_columns(page: Document) -> None:
    assert page.count("caption") == page.count("table") >= 4
    scopes = [attrs.get("scope") for name, attrs in page.tags if name == "th"]
    assert set(scopes) == {"row", "col"}
    pictures = [attrs for name, attrs in page.tags if name == "svg"]
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in pictures)


def test_text_of_a_board_or_a_file_is_never_markup(page: Document, tmp_path: Path) -> None:
    text, plain = nights.HOSTILE, page
    hostile = tmp_path / "hostile" / "latency.csv"
    rows = nights.hostile_board(1)
    append(hostile, rows)
    append(hostile.with_name("samples.csv"), nights.sample_rows(rows))
    append(hostile.with_name("outputs.csv"), nights.output_rows(rows[-1]))
    layers = [replace(row, operator=text, name=text) for row in nights.layer_rows(rows[-1])]
    append(hostile.with_name("layers.csv"), layers)
    again = [replace(row, run="e" * 12, time_utc="2026-12-01T00:00:00Z") for row in rows]
    append(hostile, again)
    page = make(hostile, tmp_path / "hostile.html", runs={f"{1:012x}"})
    assert {name for name, _ in page.tags} <= {name for name, _ in plain.tags}
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert page.text.count(text) > 10
    # Inside a picture, cut short.
    assert f"0 {text[:27]}…" in page.text


def test_lost_session_is_named_with_its_reason(bare: Path) -> None:
    first, second, third, run = (
        replace(row, run="d" * 12) for row in without_sizes(nights.real_board(2))
    )
    lost = replace(second, error="board rebooted during RUN", p50_us=None, n=None)
    append(bare, [first, lost, third, replace(run, sessions=2, sessions_lost=1)])
    said = make(bare, bare.with_name("report.html"), runs={"d" * 12}).said
    assert "Outputs are right, but the rig is not well" in said
    assert "1 of 3 lost session 2: board rebooted during RUN" in said


def test_what_no_file_holds_is_said_in_one_line(tmp_path: Path) -> None:
    append(tmp_path / "latency.csv", [*nights.real_board(1), *nights.emulated_board(1)])
    page = make(tmp_path / "latency.csv", tmp_path / "report.html")
    for line in (
        "No histogram: samples.csv holds nothing of any of them.",
        "No outputs: outputs.csv holds nothing of any of them.",
        "No profile of operators: layers.csv holds nothing of any of them.",
    ):
        assert page.said.count(line) == 1
    assert "Histogram" not in page.said


def test_sections_and_sessions_are_tables_that_unfold(page: Document) -> None:
    assert page.count("details") == page.count("summary") == 5
    assert page.said.count("memcpy rest 1 1,920 64.8% 1,920") == 1
    assert page.said.count("memcpy: 1920 of 2965 instructions (65%)") == 1
    assert page.said.count(".rodata model 2,640") == 2
    assert page.said.count("1 start 120") == 2


def test_feature_maps_of_a_convolution_network_are_folded_pictures_inside_the_file(
    tmp_path: Path,
) -> None:
    append(tmp_path / "latency.csv", without_sizes(nights.emulated_cnn(1)))
    page = make(tmp_path / "latency.csv", tmp_path / "report.html")
    assert "What the layers of fashion_cnn-8 int8 see" in page.said
    assert "on the machine that made this page, not by a board." in page.said
    images = [attrs for name, attrs in page.tags if name == "img"]
    assert len(images) == 5 and all(image["alt"] for image in images)
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in images)
    again = make(tmp_path / "latency.csv", tmp_path / "again.html")
    assert again.source == page.source


def test_page_without_convolutions_has_no_empty_place_for_their_maps(page: Document) -> None:
    assert "Feature maps" not in page.said and page.count("img") == 0


def test_old_file_without_runs_makes_a_page(tmp_path: Path) -> None:
    append(tmp_path / "latency.csv", [described.row(p50_us=3.25, n=5, verdict="pass", samples=9)])
    said = make(tmp_path / "latency.csv", tmp_path / "report.html").said
    assert "sine int8 on nano, tflm 3.25 µs ✓" not in said and "right, 9 of 9" in said
    assert "Without firmware, so without sizes" in said


def test_what_could_not_be_read_is_on_the_page_and_returned(bare: Path) -> None:
    with bare.open("a") as file:
        file.write("torn")
    output = bare.with_name("report.html")
    notes = write_report(
        bare, output, now=NOW, artifacts=(nights.ARTIFACTS,), registry=load_registry()
    )
    assert notes == (f"{bare}: 1 line is left out: the last line is torn",)
    assert f"Left out {notes[0]}" in Document(output.read_text()).said


def test_folder_shows_the_newest_and_a_trend_for_emulated_and_real_apart(tmp_path: Path) -> None:
    page = make(nights.write_week(tmp_path / "week"), tmp_path / "report.html")
    assert "Outputs are right, but something got slower" in page.said
    assert (
        "Slower than the baseline: sine int8 on nano33ble, tflm; sine int8 on qemu-m4" in page.said
    )
    real = page.said.index("Real boards")
    emulated = page.said.index("Emulated boards: not time on silicon")
    assert "7 runs; the last one's median is 55" in page.said[real:emulated]
    assert "7 runs; the last one's median is 2,981 instructions, +0.47%" in page.said[emulated:]


def test_runs_limit_the_page_to_themselves_but_not_the_trend(tmp_path: Path) -> None:
    week = nights.write_week(tmp_path / "week")
    said = make(week, tmp_path / "report.html", runs={f"{3:012x}"}).said
    assert "1 measurement, 1 of 1 compared with a baseline." in said
    assert "qemu-m4" not in said and "7 runs; the last one's" in said


def test_run_that_is_not_there_is_refused(bare: Path) -> None:
    with pytest.raises(ReportError, match="holds no measurement of this run"):
        make(bare, bare.with_name("report.html"), runs={"0" * 12})
    assert not bare.with_name("report.html").exists()


def test_many_measurements_are_split_into_tables_that_fit_on_paper(tmp_path: Path) -> None:
    for number in range(COLUMNS + 2):
        rows = [
            replace(row, board=f"nano-{number}", run=f"{number:012x}")
            for row in without_sizes(nights.real_board(number))
        ]
        append(tmp_path / "latency.csv", rows)
    page = make(tmp_path / "latency.csv", tmp_path / "report.html")
    assert "Each run, all its sessions together, continued" in page.said
    assert page.said.count("median of session medians") == 2


def test_progress_is_told_of_every_measurement(bare: Path) -> None:
    append(bare, without_sizes(nights.emulated_board(1)))
    told: list[object] = []

    @contextmanager
    def progress(what: str, total: int | None = None) -> Iterator[Advance]:
        told.append((what, total))
        yield told.append

    make(bare, bare.with_name("report.html"), progress=progress)
    assert told == [("drawing measurement", 2), 1, 1]


def test_same_files_at_the_same_time_make_the_same_bytes(page: Document, tmp_path: Path) -> None:
    assert make(page.origin or Path(), tmp_path / "again.html").source == page.source


def test_page_is_replaced_whole_or_not_at_all(bare: Path) -> None:
    output = bare.parent / "made" / "report.html"
    make(bare, output)
    make(bare, output)
    assert [path.name for path in output.parent.iterdir()] == ["report.html"]
    with pytest.raises(ReportError, match="cannot write"):
        make(bare, output / "below.html")
    (bare.parent / "taken").mkdir()
    with pytest.raises(ReportError, match="cannot write"):
        make(bare, bare.parent / "taken")
    assert not list(bare.parent.glob(".*.part"))


@pytest.fixture
def hil(commands: Forks) -> Report:
    """Runs `hil report` in a folder."""
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    return lambda folder, *arguments: commands.run(
        ("harness.cli", "report", *arguments), cwd=folder, env=own
    )


def test_hil_report_takes_the_reports_folder_and_writes_into_it(bare: Path, hil: Report) -> None:
    folder = bare.parent
    (folder / "reports").mkdir()
    for file in folder.glob("*.csv"):
        shutil.move(file, folder / "reports" / file.name)
    (folder / "reports" / "prices.csv").write_text("fruit,price\n")
    done = hil(folder)
    assert (done.returncode, done.stdout) == (0, "reports/report.html\n")
    assert done.stderr == "reports/prices.csv is no CSV of the harness: left out\n"
    assert "sine int8" in (folder / "reports" / "report.html").read_text()


def test_hil_report_of_nothing_says_so(tmp_path: Path, hil: Report) -> None:
    done = hil(tmp_path, "absent.csv", "--output", "r.html")
    assert done.returncode == 2 and "hil: cannot read absent.csv" in done.stderr
    (tmp_path / "reports").mkdir()
    done = hil(tmp_path)
    assert done.returncode == 2 and "hil: reports holds no CSV file" in done.stderr
    assert not list(tmp_path.rglob("*.html"))
