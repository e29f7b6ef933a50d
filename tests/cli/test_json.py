"""`--json` of every command that prints a table, held to docs/json.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.measured import rows

from harness.cli import main
from harness.cli.machine import error_object, plain
from harness.errors import WrongUse
from harness.measure.csvfile import append

Answer = Callable[..., dict[str, Any]]
PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text()


@pytest.fixture
def answer(capfd) -> Answer:
    def asked(*words: str) -> dict[str, Any]:
        assert main([*words, "--json"]) == 0
        told = capfd.readouterr().out  # also that of processes it starts
        assert told.isascii()
        return json.loads(told)

    return asked


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    for day, (board, count) in enumerate((("qemu-m4", 3000), ("qemu-m3", 4500))):
        known = {"emulated": True, "instructions_p50": count, "macs": 300, "board": board}
        made = rows(f"r{day}", [100.0], time_utc=f"2026-11-0{day + 1}T02:00:00Z", **known)
        append(tmp_path / "latency.csv", made)
    return tmp_path


def documented(command: str) -> set[str]:
    """The fields of a command in its table; those of records are told in words."""
    found, current = {"schema", "command"}, ""
    for line in PAGE.partition("## Fields by command")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) >= 3:
            current = cells[0].strip("`") or current
            if current == command.partition(" ")[0]:
                found |= set(re.findall(r"`([^`]+)`", cells[1]))
    return found


def paths(value: Any, name: str = "") -> Iterator[str]:
    """Names of all fields, as the page spells them."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (path := f"{name}.{key}" if name else key)
            yield from paths(item, path)
    elif isinstance(value, list):
        yield f"{name}[]"
        for item in value[:1]:
            yield from paths(item, f"{name}[]")


def is_told(path: str, known: set[str]) -> bool:
    parts = path.split(".")
    prefixes = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    begins = any(name.startswith((f"{path}.", f"{path}[]")) for name in known)
    return begins or bool(known & (prefixes | {prefix.removesuffix("[]") for prefix in prefixes}))


CASES = {
    "doctor": ("doctor",),
    "boards": ("boards",),
    "models": ("models",),
    "loss": ("loss",),
    "inspect": ("inspect", "sine"),
    "layers": ("layers", "filters", "--output", "{}/pictures"),
    "cores": ("cores", "{}"),
    "history": ("history", "{}"),
    "compare": ("compare", "{0}", "{0}"),
    "compare sizes": ("compare", "{0}", "{0}", "--memory"),
    "baseline save": ("baseline", "save", "--csv", "{}/latency.csv", "--baseline", "{}/b.csv"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_field_is_told_on_the_page(answer, measured: Path, case: str) -> None:
    words = [word.format(measured) for word in CASES[case]]
    found = answer(*words)
    untold = [path for path in paths(found) if not is_told(path, documented(case))]
    assert untold == [] and found["schema"] == 1
    assert found["command"].startswith(case.partition(" ")[0])


def test_baselines_are_listed_and_shown(answer, measured: Path) -> None:
    file = str(measured / "b.csv")
    answer("baseline", "save", "--csv", str(measured / "latency.csv"), "--baseline", file)
    listed = answer("baseline", "list", "--baseline", file)["baselines"]
    assert {one["board"]: (one["median"], one["unit"]) for one in listed} == {
        "qemu-m3": (4500.0, "instructions"),
        "qemu-m4": (3000.0, "instructions"),
    }
    (shown,) = answer("baseline", "show", "qemu-m4", "--baseline", file)["baselines"]
    assert (shown["median"], shown["sessions"], shown["profile"]) == (3000.0, [3000.0], [])


def test_a_board_that_was_measured_and_a_model_that_cannot_run_are_one_object(
    answer, tmp_path: Path
) -> None:
    csv, page = str(tmp_path / "latency.csv"), tmp_path / "report.html"
    words = ("--board", "virtual", "--samples", "3", "--csv", csv, "--report", str(page))
    found = answer("bench", *words)
    assert page.exists()
    (row,) = found["rows"]
    assert (row["board"], row["verdict"], row["n"]) == ("virtual", "pass", 3)
    assert found["errors"] == [] and found["csv"] == csv
    told = [path for path in paths(found) if not is_told(path, documented("bench") | {"errors[]"})]
    assert told == []


def test_an_answer_is_numbers(answer) -> None:
    found = answer("infer", "--board", "virtual", "--model", "sine", "1.5")
    (output,) = found["outputs"]
    assert output["values"] == [pytest.approx(1.0, abs=0.05)]
    assert [path for path in paths(found) if not is_told(path, documented("infer"))] == []


@pytest.mark.parametrize(
    "words, error, what",
    [
        (("cores", "none.csv"), "ReportError", "none.csv"),
        (("infer", "--board", "no;such", "1"), "UnknownName", "no;such"),
        (("boards", "--matrix"), "WrongUse", "--matrix is JSON already"),
        (("cores", "none.csv", "--format", "csv"), "WrongUse", "take one"),
        (("compare", "a", "b", "--format", "json"), "WrongUse", "--format"),
        (("bench", "--bisect"), "WrongUse", "exit status"),
        (("baseline", "list", "--baseline", "none.csv"), "ReportError", "none.csv"),
    ],
)
def test_an_error_is_an_object_and_a_line_for_people(capsys, words, error, what) -> None:
    assert main([*words, "--json"]) == 2
    told = capsys.readouterr()
    document = json.loads(told.out)
    (only,) = document["errors"]
    assert (only["error"], set(document)) == (error, {"schema", "command", "errors"})
    assert what in only["what"] and what in told.err
    assert document["command"] == " ".join(words[: 2 if words[0] == "baseline" else 1])


def test_a_figure_of_the_loss_that_cannot_be_written_is_an_object(capfd) -> None:
    assert main(["loss", "--json", "--output", "loss.gif"]) == 2
    told = capfd.readouterr()
    (only,) = json.loads(told.out)["errors"]
    assert "loss.gif" in only["what"] and "loss.gif" in told.err
    assert set(only) == set(error_object(WrongUse("")))


def test_numbers_that_are_none_are_null_and_names_are_escaped(tmp_path: Path, answer) -> None:
    assert plain([float("nan"), float("inf"), 1.5]) == [None, None, 1.5]
    named = {"emulated": True, "instructions_p50": 7, "board": "a\x1b[2J;b", "model": "é"}
    append(tmp_path / "latency.csv", rows("r", [1.0], **named))
    (row,) = answer("cores", str(tmp_path))["cores"]
    assert row["board"].endswith("[2J;b") and row["model"] == "é"


def test_recipes_that_cannot_be_listed_hide_no_model(
    tmp_path: Path, answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "artifacts").mkdir(parents=True)
    (tmp_path / "platformio.ini").touch()
    (tmp_path / "models" / "__init__.py").touch()
    (tmp_path / "models" / "__main__.py").write_text("raise RuntimeError")
    monkeypatch.setenv("HIL_PROJECT_DIR", str(tmp_path))
    assert answer("models") == {
        **{"schema": 1, "command": "models"},
        **{"models": [], "unreadable": [], "untrained": []},
    }
