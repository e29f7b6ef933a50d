"""The report in a real browser: it renders, is quiet, asks for nothing, fits a phone, prints."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pypdf
import pytest
from fakes import nights
from fakes.browser import Tab, find_browser, opened

from harness.board.registry import load_registry
from harness.measure.csvfile import append
from harness.report.page import write_report

PHONE, DESK = 360, 1280
A4_POINTS = (595, 842)


@pytest.fixture(scope="module")
def program() -> str:
    """A browser; in CI its absence is a failure, elsewhere a reason to skip."""
    found = find_browser()
    if found is None:
        assert not os.environ.get("CI"), "no Chromium, and CI is set: apt-get install chromium"
        pytest.skip("no Chromium: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week of two boards, a convolution network, and a board of which every name is hostile."""
    folder = tmp_path_factory.mktemp("report")
    nights.write_week(folder / "week")
    append(folder / "week" / "cnn.csv", nights.emulated_cnn(1))
    append(folder / "week" / "hostile.csv", nights.hostile_board(2))
    write_report(
        folder / "week",
        folder / "report.html",
        now=datetime(2026, 11, 21, tzinfo=timezone.utc),
        artifacts=(nights.ARTIFACTS,),
        registry=load_registry(),
    )
    return folder / "report.html"


@pytest.fixture(scope="module")
def tab(program: str, report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with opened(program, tmp_path_factory.mktemp("browser") / "profile") as tab:
        tab.resize(DESK)
        tab.open(report)
        yield tab


def test_page_renders_with_every_figure_in_sight(tab: Tab) -> None:
    tab.resize(DESK)
    assert tab.evaluate("document.readyState") == "complete"
    assert tab.evaluate("document.compatMode") == "CSS1Compat"
    headings = tab.evaluate("[...document.querySelectorAll('h1, h2')].map(h => h.textContent)")
    assert headings == [
        "Hardware-in-the-loop report", "Verdicts", "What was run", "Numbers", "Measurements",
        "Memory", "Feature maps", "Training", "Trend",
    ]  # fmt: skip
    sizes = tab.evaluate(
        "[...document.querySelectorAll('figure svg')].map(s => s.getBoundingClientRect())"
        ".map(r => [r.width, r.height])"
    )
    # Latency of the real board, outputs and operators of both, functions of the emulated one, flash
    # and RAM, two curves of each training, trends.
    assert len(sizes) == 2 + 4 + 4 + 1 + 2 + 4 + 2
    assert all(width > 300 and height > 80 for width, height in sizes)


def test_feature_maps_are_loaded_and_unfold_without_blur(tab: Tab) -> None:
    tab.resize(DESK)
    loaded = tab.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth])")
    assert loaded == [[True, width] for width in (28, 84, 84, 140, 108)]
    folded = "document.querySelector('details:has(img)')"
    assert tab.evaluate(f"{folded}.open") is False
    tab.evaluate(f"{folded}.open = true")
    shown = tab.evaluate(
        "[...document.images].map(i => [i.width, i.height, getComputedStyle(i).imageRendering])"
    )
    tab.evaluate(f"{folded}.open = false")
    assert all(250 < width == height and style == "pixelated" for width, height, style in shown)


def test_text_inside_pictures_lies_inside_them(tab: Tab) -> None:
    tab.resize(DESK)
    outside = tab.evaluate(
        """[...document.querySelectorAll('figure svg')].flatMap(s => {
          const box = s.getBoundingClientRect();
          return [...s.querySelectorAll('text')].filter(t => {
            const r = t.getBoundingClientRect();
            return r.left < box.left - 2 || r.right > box.right + 2
              || r.top < box.top - 2 || r.bottom > box.bottom + 2;
          }).map(t => t.textContent);
        })"""
    )
    assert outside == []


def test_console_stays_empty_and_nothing_is_asked_for(tab: Tab, report: Path) -> None:
    assert tab.messages == []
    outside = [url for url in tab.requests if not url.startswith("data:image/png;")]
    assert outside == [report.resolve().as_uri()]


def test_policy_of_the_page_forbids_scripts_and_the_network(tab: Tab) -> None:
    broken = tab.evaluate(
        """new Promise(done => {
          const seen = [];
          document.addEventListener('securitypolicyviolation', e => {
            seen.push(e.effectiveDirective);
            if (seen.length === 2) done(seen.sort());
          });
          const image = document.createElement('img');
          image.src = 'https://example.invalid/x.png';
          const script = document.createElement('script');
          script.textContent = 'window.ran = true';
          document.body.append(image, script);
          image.remove();
          script.remove();
        })"""
    )
    assert broken == ["img-src", "script-src-elem"]
    assert tab.evaluate("window.ran === undefined")


def test_hostile_names_are_text(tab: Tab) -> None:
    assert tab.evaluate("document.querySelectorAll('script, b, img:not([alt])').length") == 0
    assert tab.evaluate("[...document.images].every(i => i.src.startsWith('data:image/png;'))")
    assert nights.HOSTILE in tab.evaluate("document.body.innerText")


@pytest.mark.parametrize("width", [320, PHONE, 768, DESK])
def test_page_never_scrolls_sideways(tab: Tab, width: int) -> None:
    tab.resize(width, phone=width <= PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    # What is too wide scrolls in a box of its own, which the keyboard reaches.
    boxes = tab.evaluate(
        "[...document.querySelectorAll('.scroll')].map(b => [b.tabIndex, b.clientWidth,"
        " b.scrollWidth, getComputedStyle(b).overflowX])"
    )
    assert boxes and all(index == 0 and style == "auto" for index, _, _, style in boxes)
    assert width > PHONE or any(inner > outer for _, outer, inner, _ in boxes)


def test_text_can_be_read_on_a_telephone(tab: Tab) -> None:
    tab.resize(PHONE, phone=True)
    smallest = tab.evaluate(
        """Math.min(...[...document.querySelectorAll('figure svg')].flatMap(s => {
          const scale = s.getBoundingClientRect().width / s.viewBox.baseVal.width;
          return [...s.querySelectorAll('text')].map(
            t => parseFloat(getComputedStyle(t).fontSize) * scale);
        }))"""
    )
    assert smallest >= 7
    verdicts = "[...document.querySelectorAll('.verdicts td')].map(c => c.getBoundingClientRect())"
    assert tab.evaluate(f"Math.max(...{verdicts}.map(r => r.right))") <= PHONE


def test_page_prints_on_a4_with_all_its_text(tab: Tab) -> None:
    tab.call("Emulation.clearDeviceMetricsOverride")
    pages = pypdf.PdfReader(io.BytesIO(tab.pdf())).pages
    assert 4 <= len(pages) <= 20
    for page in pages:
        size = (float(page.mediabox.width), float(page.mediabox.height))
        assert size == pytest.approx(A4_POINTS, abs=1.5)
        assert page.extract_text().strip()
    text = " ".join(" ".join(page.extract_text() for page in pages).split())
    assert "something got slower" in " ".join(pages[0].extract_text().split())
    # The last is inside what is folded on the screen.
    for said in ("What was run", "latency of one invoke", "began with"):
        assert said in text


def test_feature_maps_are_printed_though_folded(tab: Tab) -> None:
    tab.call("Emulation.clearDeviceMetricsOverride")
    pages = pypdf.PdfReader(io.BytesIO(tab.pdf())).pages
    drawn = [one for page in pages for one in page["/Resources"].get("/XObject", {}).values()]
    images = [one.get_object() for one in drawn if one["/Subtype"] == "/Image"]
    assert [image["/Width"] for image in images] == [28, 84, 84, 140, 108]


def test_figures_are_not_cut_by_the_end_of_a_page(tab: Tab) -> None:
    tab.call("Emulation.setEmulatedMedia", media="print")
    avoided = tab.evaluate(
        "[...document.querySelectorAll('figure')].map(f => getComputedStyle(f).breakInside)"
    )
    tab.call("Emulation.setEmulatedMedia", media="")
    assert avoided and set(avoided) == {"avoid"}
