"""Documents as Markdown and as JSON, the Markdown read by GitHub's own parser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import ReportError
from harness.report.document import (
    MOST_JSON,
    MOST_ROWS,
    Column,
    Document,
    Kind,
    Line,
    Note,
    Section,
    as_json,
    from_json,
)
from harness.report.markdown import as_markdown, code, plain

ROOT = Path(__file__).parents[2]
COLUMNS = (
    Column(heading="model", kind=Kind.NAME),
    Column(heading="ratio", kind=Kind.FIGURE),
    Column(heading="verdict", kind=Kind.WORD),
)
DOCUMENT = Document(
    title="Emulated boards",
    verdict="1 of 2 slower",
    bad=True,
    notes=(Note(text="A is base, B is head"),),
    sections=(
        Section(
            heading="Time",
            columns=COLUMNS,
            lines=(
                Line(cells=("sine_int8", "1.045", "slower"), loud=True),
                Line(cells=("a|b`c", "1.000", "same")),
            ),
            notes=(Note(subject="sine_int8", text="3100 instructions against 2967"),),
        ),
    ),
)
GOLDEN = """\
### Emulated boards

**1 of 2 slower**

- A is base, B is head

#### Time

| model | ratio | verdict |
| --- | ---: | --- |
| `sine_int8` | 1.045 | **slower** |
| `a\\u007cb\\u0060c` | 1.000 | same |

<details><summary>Why</summary>

- `sine_int8`: 3100 instructions against 2967

</details>"""


class Page(HTMLParser):
    """Elements of a page, its texts outside of code, and the cells of its rows."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.loose: list[str] = []
        self.rows: list[int] = []
        self.inside = 0
        extensions = ["table", "autolink", "strikethrough", "tagfilter", "tasklist"]
        html = cmarkgfm.markdown_to_html_with_extensions(
            markdown, options=Options.CMARK_OPT_UNSAFE, extensions=extensions
        )
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append(tag)
        self.inside += tag == "code"
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag == "code"

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.loose.append(data)


OURS = {"h3", "h4", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code"}
FOLDS = {"details", "summary"}


def test_markdown_is_golden() -> None:
    assert as_markdown(DOCUMENT) == GOLDEN


HOSTILE = st.one_of(
    st.text(max_size=30),
    st.text("`|\\@#<>&[]()!*_~:-= \nwwwhtps./\tgxGH1", max_size=30),
)


@settings(max_examples=60)
@given(HOSTILE)
@example("@octocat")
@example("octocat/repo#12 GH-7 #7")
@example("https://x.org www.x.org a@b.c mailto:a@b.c")
@example("[a](javascript:alert(1)) ![x](http://t/x.png)")
@example("<img src=x onerror=alert(1)><!--")
@example("a|b`c\\|d``|")
@example("</code></details>\n\n# h\n\n---\n")
@example("\\")
@example("www.x.org")
@example("1. x")
@example("- x")
@example("===")
@example("**")
@example(":tada:")
def test_no_text_becomes_anything_but_text(text: str) -> None:
    note = Note(text=text, subject=text)
    table = replace(
        DOCUMENT.sections[0],
        heading=text,
        columns=tuple(replace(column, heading=text) for column in COLUMNS),
        lines=(Line(cells=(text, text, text), loud=True), *DOCUMENT.sections[0].lines),
        notes=(note,),
    )
    hostile = Document(title=text, verdict=text, bad=True, notes=(note,), sections=(table,))
    page = Page(as_markdown(hostile))
    assert set(page.elements) <= OURS | FOLDS
    assert (page.elements.count("details"), page.elements.count("table")) == (1, 1)
    assert (page.elements.count("h3"), page.elements.count("h4")) == (1, 1)
    assert page.rows == [3, 3, 3, 3]
    loose = " ".join(page.loose)
    assert not set("@#<>[]!/") & set(loose)
    assert not re.search(r"www\.|\bgh-\d", loose, re.IGNORECASE)


@pytest.mark.parametrize(
    "text", ["3100 instructions against 2967", "ratio 1.05, 95 % interval", "only in A", "-4", ""]
)
def test_words_are_left_as_they_are(text: str) -> None:
    assert plain(text) == (text if text != "-4" else "`-4`")


def test_code_is_of_one_line_and_bounded() -> None:
    assert code("a\nb") == "`a\\nb`"
    assert len(code("x" * 500)) == 202


def long(lines: int, width: int = 150) -> Document:
    name = "n" * width
    rows = tuple(Line(cells=(f"{name}{n}", "1.000", "same")) for n in range(lines))
    notes = tuple(Note(subject=name, text="why") for _ in range(lines))
    section = replace(DOCUMENT.sections[0], lines=rows, notes=notes)
    return replace(DOCUMENT, sections=(section,) * 4)


@pytest.mark.parametrize("lines", [10, 300, 5000])
def test_a_long_comparison_fits_a_comment_and_says_how_many_lines_are_left_out(lines: int) -> None:
    text = as_markdown(long(lines))
    assert len(text) <= 60_000
    shown = text.count("| 1.000 |") // 4
    assert shown > 0
    left = [int(count) for count in re.findall(r"^(\d+) more lines left out", text, re.MULTILINE)]
    assert left == ([] if lines == shown else [lines - shown] * 4)


def test_lines_that_json_leaves_out_are_counted_as_well() -> None:
    text = as_markdown(from_json(as_json(long(MOST_ROWS + 7, 1))), most=3000)
    assert f"{MOST_ROWS + 7 - text.count('| 1.000 |') // 4} more lines left out." in text


def test_json_gives_the_document_back() -> None:
    assert from_json(as_json(DOCUMENT)) == DOCUMENT


def changed(*path: Any, to: Any) -> str:
    content = json.loads(as_json(DOCUMENT))
    inner = content
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no comparison as JSON"),
        ("[" * 100_000, "no comparison as JSON"),
        ("[]", "a document has bad, notes"),
        (changed("title", to=3), "no text"),
        (changed("bad", to=1), "neither true nor false"),
        (changed("more", to=1), "a document has"),
        (changed("sections", to=[{}] * 13), "no list of at most 12"),
        (changed("sections", 0, "lines", to=[{}] * 2001), "no list of at most 2000"),
        (changed("sections", 0, "lines", 0, "cells", to=["one"]), "a line of other than 3 cells"),
        (changed("sections", 0, "columns", 0, "kind", to="html"), "is not a valid Kind"),
        (changed("sections", 0, "left_out", to=-1), "no count"),
        ("x" * (MOST_JSON + 1), "more than"),
    ],
)
def test_what_is_no_document_is_refused(text: str, said: str) -> None:
    with pytest.raises(ReportError, match=said):
        from_json(text)


def test_texts_from_elsewhere_are_cut_and_printable() -> None:
    found = from_json(changed("title", to="a\x1b[31m\u202e" + "b" * 1000))
    assert found.title.startswith("a\\x1b[31m\\u202eb") and len(found.title) == 200


def test_rendering_needs_nothing_installed() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from harness.report.document import from_json\n"
        "from harness.report.markdown import as_markdown\n"
        "print(as_markdown(from_json(sys.stdin.read())))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(ROOT)],
        input=as_json(DOCUMENT),
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{GOLDEN}\n", done.stderr
