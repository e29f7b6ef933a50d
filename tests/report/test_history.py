from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.hostile import EVIL, acts
from fakes.measured import rows

from harness.measure.csvfile import append
from harness.measure.history_read import Wanted, read_history
from harness.report.history import history_data, history_text


def nights(folder: Path, *made: dict) -> Path:
    """A night for each, that of an emulated board with these changes."""
    for day, changes in enumerate(made, 1):
        usual = {
            "time_utc": f"2026-11-{day:02}T02:00:00Z",
            "git_commit": f"{day:012x}",
            "emulated": True,
            "instructions_p50": 2967,
        }
        append(folder / "latency.csv", rows(f"r{day}", [100.0], **{**usual, **changes}))
    return folder


def text(folder: Path, *, width: int = 80, unicode: bool = True) -> str:
    return history_text(read_history(folder, Wanted()), width=width, unicode=unicode)


SLOWER, LARGER = {"instructions_p50": 3412}, {"instructions_p50": 3412, "flash_bytes": 9}


def test_a_change_is_told_with_its_night_its_commits_and_how_to_search_them(tmp_path: Path) -> None:
    assert text(nights(tmp_path, {}, {}, SLOWER)).splitlines() == [
        "sine_int8 on nano (emulated), tflm: 3 runs, 2026-11-01 to 2026-11-03",
        "",
        "latency: 2,967 instr to 3,412 instr in 3 runs, 1 change",
        f"3,412 instr │{' ' * 44}{'⠉' * 22}",
        *["            │"] * 4,
        f"2,967 instr │{'⣀' * 44}",
        f"            └{'─' * 66}",
        f"{' ' * 57}1",
        f"{' ' * 13}2026-11-01{' ' * 46}2026-11-03",
        "1 slower: 2,967 instr to 3,412 instr (+15 %, exact)",
        "  first 2026-11-03 02:00 UTC, run r3",
        "  last before 2026-11-02 02:00 UTC, run r2",
        "  commits 000000000002..000000000003",
        "  hil bisect 000000000002 000000000003 -- --board nano --runtime tflm \\",
        "    --model sine",
    ]


def test_what_never_changed_takes_one_line_and_each_change_its_own(tmp_path: Path) -> None:
    same = {"flash_bytes": 7, "ram_bytes": 5}
    told = text(nights(tmp_path, same, same | SLOWER, same))
    assert "1 slower: " in told and "2 faster: 3,412 instr to 2,967 instr (-13 %, exact)" in told
    assert told.endswith("Always the same: flash 7 B, RAM 5 B")


@pytest.mark.parametrize("width, unicode", [(40, True), (40, False), (80, False), (200, True)])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int, unicode: bool) -> None:
    flags = {"flags": "-O3 " + " ".join(f"-Wsome-{at}" for at in range(40)), **LARGER}
    made = nights(tmp_path, {"flash_bytes": 7}, LARGER, flags, {"model_sha256": "cd", **flags})
    lines = text(made, width=width, unicode=unicode).splitlines()
    assert max(map(len, lines)) <= width
    assert unicode or all(line.isascii() for line in lines)


def test_runs_of_another_setup_are_named_with_what_differs_and_both_figures(tmp_path: Path) -> None:
    told = text(nights(tmp_path, {}, {"flags": "-O3", **SLOWER}))
    assert "no change found" in told and "B 2026-11-02: 3,412 instr, before 2,967 instr" in told
    assert "-O3 only in this run" in told and "hil bisect" not in told


@pytest.mark.parametrize(
    "commits, said",
    [
        (("abc", "abc"), "both of commit abc: no commit made the change"),
        (("abc", None), "commits: abc, then unknown"),
        (
            ("abc-dirty", "v1.0-3-gdef"),
            "commits abc..v1.0-3-gdef; abc-dirty had changes of its own",
        ),
        (("abc", "--output=x"), "commits: abc, then --output=x"),
        (("a", "$(reboot)"), "commits: a, then $(reboot)"),
        (("a", "b..c"), "commits: a, then b..c"),
    ],
)
def test_only_commits_that_git_could_have_named_are_to_be_pasted(tmp_path, commits, said) -> None:
    before, after = ({"git_commit": commit} for commit in commits)
    folder = nights(tmp_path, before, after | SLOWER)
    told = text(folder)
    pasted = said.startswith("commits abc..")
    assert said in told and ("  hil bisect abc v1.0-3-gdef -- --board nano" in told) == pasted
    assert ("hil bisect" in told) == pasted
    (change,) = parsed(folder)["subjects"][0]["figures"][0]["changes"]
    assert (change["range"] is None) == said.startswith("commits: ")


@pytest.mark.parametrize(
    "before, after, question",
    [
        ({"flash_bytes": 5}, {"flash_bytes": 6}, "--larger flash 0"),
        ({"ram_bytes": 5}, {"ram_bytes": 6}, "--larger ram 0"),
        ({"mismatches": 0}, {"mismatches": 6}, "--wrong 0"),
        ({"flash_bytes": 6}, {"flash_bytes": 5}, None),
        ({"accuracy": 0.5}, {"accuracy": 0.6}, None),
    ],
)
def test_what_bisect_is_asked_is_what_changed(tmp_path, before, after, question) -> None:
    told = text(nights(tmp_path, before, after))
    assert "commits 000000000001..000000000002" in told
    assert ("hil bisect" in told) == (question is not None)
    assert question is None or f"hil bisect {question}" in told


def test_no_command_has_a_name_that_a_shell_would_read(tmp_path: Path) -> None:
    told = text(nights(tmp_path, {"model": "a;reboot"}, {"model": "a;reboot", **SLOWER}))
    assert "1 slower" in told and "hil bisect" not in told


def test_another_model_and_runtime_are_named_as_causes(tmp_path: Path) -> None:
    other = {"model_sha256": "x", "runtime_version": "2", **SLOWER}
    told = text(nights(tmp_path, {}, other))
    assert "  model changed from ab to x\n  runtime changed from 1 to 2" in told


def test_names_out_of_files_act_on_no_terminal(tmp_path: Path) -> None:
    evil = dict.fromkeys(("board", "model", "runtime", "git_commit", "flags", "compiler"), EVIL)
    folder = nights(tmp_path, {}, evil, evil | SLOWER, evil | {"flags": "-O3", "runtime": EVIL})
    told = text(folder)
    assert acts(EVIL) and not acts(told) and r"\u003a:error" in told


def test_a_thousand_changes_are_told_by_the_newest(tmp_path: Path) -> None:
    made = [
        {"instructions_p50": 2967 + at % 2, "time_utc": f"20{at:02}-01-01"} for at in range(71, 99)
    ]
    told = text(nights(tmp_path, *made))
    assert "18 earlier changes and setups" in told and told.count("exact)") == 9


def parsed(folder: Path) -> dict:
    return json.loads(json.dumps(history_data(read_history(folder, Wanted()))))


def test_json_has_everything(tmp_path: Path) -> None:
    document = parsed(nights(tmp_path, {}, SLOWER, {"flags": "-O3"}))
    assert document["notes"] == []
    (subject,) = document["subjects"]
    assert [subject[name] for name in ("board", "runtime", "model", "dtype")] == [
        *("nano", "tflm", "sine", "int8")
    ]
    (figure,) = subject["figures"]
    assert (figure["figure"], figure["unit"]) == ("latency", "instructions")
    assert [run["verdict"] for run in figure["runs"]] == ["first", "slower", "first"]
    assert [run["setup"] for run in figure["runs"]] == [0, 0, 1]
    (change,) = figure["changes"]
    assert change["range"] == "000000000001..000000000002" and change["verdict"] == "slower"
    assert change["good"]["value"] == 2967 and change["bad"]["value"] == 3412
    (split,) = figure["splits"]
    assert split["setup"] == 1 and split["first"]["run"] == "r3" and "-O3" in split["reason"]


def test_the_documented_fields_of_the_json_are_those_it_has(tmp_path: Path) -> None:
    folder = nights(tmp_path, {}, SLOWER, {"flags": "-O3"})
    guide = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
    documented = {line.split("`")[1] for line in guide.splitlines() if line.startswith("| `")}
    assert names_of(parsed(folder)) == documented - {"schema"}  # which is of every command


def names_of(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(names_of, value))
    if isinstance(value, dict):
        return set(value).union(*map(names_of, value.values()))
    return set()
