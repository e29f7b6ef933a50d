from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.measured import rows

from harness.cli import main
from harness.measure.csvfile import append


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    for day, count in enumerate((2967, 2967, 3412), 1):
        known = {"emulated": True, "instructions_p50": count, "git_commit": f"c{day}"}
        made = rows(f"r{day}", [100.0], time_utc=f"2026-11-0{day}T02:00:00Z", **known)
        append(tmp_path / "nano" / str(day) / "latency.csv", made)
    return tmp_path


def test_nights_are_looked_for_where_they_are_kept(kept: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HIL_HISTORY", str(kept))
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["history", "--board", "nano", "--model", "sine", "--dtype", ""]) == 0
    told = capsys.readouterr().out
    assert (
        "hil bisect c2 c3 -- --board nano \\\n" in told and max(map(len, told.splitlines())) <= 40
    )


def test_json_alone_is_on_standard_output(kept: Path, capsys) -> None:
    (kept / "foreign.csv").write_text("a,b\n")
    assert main(["history", str(kept), "--json"]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["subjects"][0]["figures"][0]["changes"][0]["range"] == "c2..c3"
    assert "foreign.csv" in document["notes"][0] and told.err == ""


@pytest.mark.parametrize(
    "words, said",
    [
        (["--board", "other"], "no complete run of other.\nboard: nano"),
        (["absent.csv"], "cannot read"),
    ],
)
def test_nothing_to_tell_of_is_wrong_use(kept: Path, monkeypatch, capsys, words, said) -> None:
    monkeypatch.chdir(kept)
    monkeypatch.setenv("HIL_HISTORY", str(kept))
    assert main(["history", *words]) == 2
    assert said in capsys.readouterr().err
