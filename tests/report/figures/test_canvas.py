"""Matplotlib's SVG made fit to stand in a page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest

from harness.report.figures.canvas import axes, style, svg

ROOT = Path(__file__).parents[3]
HOSTILE = "<script>alert(1)</script> \"><img src=x onerror=alert(1)> ' & $x^2$"


def drawn(name: str = "p", text: str = "axis") -> str:
    with style():
        canvas = axes()
        canvas.plot([1, 2, 3], [1, 4, 9], "o-")
        canvas.set_xlabel(text)
        return svg(canvas, name=name, label=text)


def test_text_is_text_and_nothing_in_it_is_markup() -> None:
    picture = ElementTree.fromstring(drawn(text=HOSTILE))
    assert HOSTILE in [element.text for element in picture.iter("text")]
    assert picture.get("aria-label") == HOSTILE and picture.get("role") == "img"
    assert {element.tag for element in picture.iter()} <= {
        "svg", "g", "defs", "path", "use", "text", "rect", "clipPath",
    }  # fmt: skip
    assert "<script" not in drawn(text=HOSTILE) and "<img" not in drawn(text=HOSTILE)


def test_ids_of_two_pictures_differ_and_every_reference_is_kept() -> None:
    first, second = (ElementTree.fromstring(drawn(name)) for name in ("a", "b"))
    ids = [{element.get("id") for element in one.iter()} - {None} for one in (first, second)]
    assert ids[0] and ids[0].isdisjoint(ids[1])
    uses = {element.get("href") for element in first.iter("use")}
    clips = {element.get("clip-path") for element in first.iter()} - {None}
    assert uses <= {f"#{one}" for one in ids[0]}
    assert clips and clips <= {f"url(#{one})" for one in ids[0]}


@pytest.mark.parametrize("values", [[0, 1], [1e-9, 2e-9], [-123_456.5, 7], [0.1234, 0.1235]])
@pytest.mark.parametrize("legend", [False, True])
def test_axes_take_all_room_and_nothing_is_cut(values: list[float], legend: bool) -> None:
    with style():
        canvas = axes()
        canvas.plot(values, values, label="line")
        canvas.set_xlabel("input")
        canvas.set_ylabel("output")
        canvas.annotate("a note that reaches over the end", (values[-1], values[-1]))
        if legend:
            canvas.figure.legend(loc="outside lower center")
        svg(canvas, name="p", label="p")
        room, drawn_box = canvas.figure.bbox, canvas.figure.get_tightbbox()
    edges = (drawn_box.extents * 72 - (0, 0, *room.size)) * (1, 1, -1, -1)
    # Three points are left on every side; a legend is set off by more.
    assert edges.min() > 1 and edges.max() < (12 if legend else 5)


def test_picture_scales_with_the_page_and_brings_no_style_for_it() -> None:
    picture = ElementTree.fromstring(drawn())
    assert picture.get("viewBox") and picture.get("width") is None
    assert not list(picture.iter("style")) and not list(picture.iter("metadata"))


def test_same_numbers_are_the_same_picture_in_any_process() -> None:
    code = "import test_canvas; print(test_canvas.drawn())"
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)))
    done = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert done[0] == done[1] == drawn() + "\n"


def test_users_own_settings_neither_count_nor_change() -> None:
    plain = drawn()
    with matplotlib.rc_context({"font.size": 40, "svg.fonttype": "path"}):
        assert drawn() == plain
        assert matplotlib.rcParams["font.size"] == 40


@pytest.mark.parametrize("text", ["日本", "\N{PILE OF POO}", "𓀀"])
def test_letters_that_the_font_lacks_are_left_to_the_browser(text: str) -> None:
    assert text in drawn(text=text)
