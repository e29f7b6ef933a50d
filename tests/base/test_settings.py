"""The table of settings: where each is looked for, and that front ends and guide agree with it."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import _parser
from harness.cli.settings import takes_several
from harness.errors import WrongUse
from harness.settings import (
    ARENA,
    BOARD,
    CSV,
    FLASH,
    LIST,
    LOCK_TIMEOUT,
    MODEL,
    REPORT,
    SAMPLES,
    SETTINGS,
    TRACK,
    TRUTH,
    Setting,
    Sources,
)

PLATFORMIO = "harness/firmware/platformio.py"
ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "options.md").read_text()
COMMANDS = {command for setting in SETTINGS for command in setting.commands}


def said(given=None, ini=None, environment=None, **others) -> Sources:
    return Sources(given=given or {}, ini=ini or {}, environment=environment or {}, **others)


def test_settings_are_looked_for_on_command_line_in_ini_file_and_environment_in_that_order() -> (
    None
):
    given, ini, environment = {"samples": "1"}, {"hil_samples": "2"}, {"HIL_SAMPLES": "3"}
    assert said(given, ini, environment)[SAMPLES] == 1
    assert said({"samples": None}, ini, environment)[SAMPLES] == 2
    assert said({}, {"hil_samples": ""}, environment)[SAMPLES] == 3
    assert said({}, {}, {"HIL_SAMPLES": ""})[SAMPLES] is None


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        (BOARD, " a, b,a,", ("a", "b")),
        (MODEL, ["a,b", "c"], ("a", "b", "c")),
        (SAMPLES, "12", 12),
        (SAMPLES, 12, 12),
        (ARENA, "4096", 4096),
        (LOCK_TIMEOUT, "0.5", 0.5),
        (LOCK_TIMEOUT, "0", 0.0),
        (TRACK, "Yes", True),
        (TRACK, True, True),
        (TRACK, "0", False),
        (FLASH, "never", "never"),
        (REPORT, "page.html", Path("page.html")),
    ],
)
def test_text_becomes_what_the_setting_is(setting: Setting, text: object, value: object) -> None:
    assert said({setting.name: text})[setting] == value


def test_nothing_said_is_none_or_the_default() -> None:
    nothing = said()
    assert (nothing[ARENA], nothing[REPORT], nothing[TRACK]) == (None, None, False)
    assert nothing[BOARD] == ("qemu-m4", "virtual")
    assert said(hil=True)[BOARD] == ("qemu-m4",)


@pytest.mark.parametrize(
    ("setting", "text", "wanted"),
    [
        (SAMPLES, "none", "takes a positive number, not 'none'"),
        (SAMPLES, "0", "takes a positive number, not '0'"),
        (ARENA, "-1", "takes a positive number"),
        (LOCK_TIMEOUT, "nan", "takes seconds, 0 or more, not 'nan'"),
        (LOCK_TIMEOUT, "-1", "takes seconds"),
        (FLASH, "often", "takes one of auto, always, never, not 'often'"),
        (TRACK, "maybe", "takes true or false, not 'maybe'"),
        (BOARD, ",", "takes a name, or several with commas, not ','"),
    ],
)
def test_a_wrong_value_is_told_by_the_option_key_or_variable_that_said_it(
    setting: Setting, text: str, wanted: str
) -> None:
    for sources, where in (
        (said({setting.name: text}), setting.pytest_flags[0]),
        (said({setting.name: text}, hil=True), setting.hil_flag),
        (said(ini={setting.ini: text}), f"ini key {setting.ini}"),
        (said(environment={setting.variable: text}), f"${setting.variable}"),
    ):
        with pytest.raises(WrongUse) as caught:
            sources[setting]
        assert str(caught.value).startswith(f"{where} {wanted}")


def test_relative_paths_belong_to_the_place_that_said_them() -> None:
    places = {"folder": Path("/here"), "ini_folder": Path("/ini"), "default_folder": Path("/root")}
    assert said({"csv": "a.csv"}, **places)[CSV] == Path("/here/a.csv")
    assert said({"csv": "/b/a.csv"}, **places)[CSV] == Path("/b/a.csv")
    assert said(ini={"hil_csv": "a.csv"}, **places)[CSV] == Path("/ini/a.csv")
    assert said(environment={"HIL_CSV": "a.csv"}, **places)[CSV] == Path("/here/a.csv")
    assert said(**places)[CSV] == Path("/root/reports/latency.csv")
    assert said({"csv": "a.csv"})[CSV] == Path("a.csv")


def test_a_setting_that_the_command_does_not_take_has_its_default() -> None:
    environment = {"HIL_SAMPLES": "none", "HIL_FLASH": "never"}
    sources = said(environment=environment, known=(SAMPLES,))
    assert sources[FLASH] == "auto"
    with pytest.raises(WrongUse):
        sources[SAMPLES]


FAULTY = "virtual:?flip=0.01&seed=1"


@pytest.mark.parametrize(
    ("text", "boards", "ports"),
    [
        ("", ("a",), {}),
        ("/dev/x", ("a",), {"a": "/dev/x"}),
        (FAULTY, ("a",), {"a": FAULTY}),
        (f"a=/dev/x,b={FAULTY}", ("a", "b"), {"a": "/dev/x", "b": FAULTY}),
    ],
)
def test_ports_are_of_the_board_that_is_named_or_of_the_only_one(text, boards, ports) -> None:
    assert said({"port": text}).ports(boards) == ports


def test_ports_of_the_environment_may_be_of_boards_that_do_not_run_this_time() -> None:
    sources = said(environment={"HIL_PORT": "a=/dev/x,b=/dev/y"})
    assert sources.ports(("a",)) == {"a": "/dev/x"}
    with pytest.raises(WrongUse, match="--hil-port b=/dev/y: b is not among a, c"):
        said({"port": "b=/dev/y"}).ports(("a", "c"))
    with pytest.raises(WrongUse, match="say which board, as in BOARD=PORT"):
        said({"port": "/dev/y"}).ports(("a", "c"))


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = _parser()
    for word in command.split():
        (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = commands.choices[word]
    return parser


FILTERS = {
    *(("baseline save", "--board"), ("baseline save", "--model"), ("inspect", "--board")),
    *(("history", "--board"), ("history", "--runtime"), ("profile", "--functions")),
}
"""Options that are no settings: only what was measured of these, or what is said of these."""


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_hil_has_the_settings_that_the_table_gives_a_command_and_no_others(command: str) -> None:
    declared = parser_of(command)._option_string_actions
    for setting in SETTINGS:
        for flag in {setting.hil_flag, *setting.pytest_flags}:
            if (command, flag) in FILTERS:
                continue
            assert (flag in declared) == (command in setting.commands), flag
        if command in setting.commands:
            assert declared[setting.hil_flag].help == setting.help_of(
                hil=True, several=takes_several(command, setting)
            )


def test_no_other_command_of_hil_has_a_setting() -> None:
    (commands,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    others = set(commands.choices) - {command.split()[0] for command in COMMANDS}
    assert others >= {"compare", "models", "report", "train"}
    flags = {flag for setting in SETTINGS for flag in setting.pytest_flags}
    for command in others:
        taken = set(parser_of(command)._option_string_actions) & flags
        assert {(command, flag) for flag in taken} <= FILTERS


def test_pytest_has_the_options_and_keys_of_the_table_and_no_others() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    group = help_text.partition("\nhardware in the loop:\n")[2].partition("\n\n")[0]
    flags = {flag for setting in SETTINGS for flag in setting.pytest_flags}
    assert set(re.findall(r"(?:^  |, )(--[a-z-]+)", group, re.MULTILINE)) == flags
    keys = re.findall(r"^  (hil_[a-z_]+) \(", help_text, re.MULTILINE)
    assert sorted(keys) == sorted(setting.ini for setting in SETTINGS)
    words = " ".join(group.split())
    for setting in SETTINGS:
        assert " ".join(setting.help_of(hil=False).split()) in words


def row(setting: Setting) -> list[str]:
    """The cells of a setting's row in the guide."""
    value = "" if setting.kind is TRUTH else f" {setting.metavar}".replace("|", r"\|")
    default = f"`{setting.default}`" if setting.default else setting.absent
    if setting.hil_default is not None:
        default += f"; of `hil` `{setting.hil_default}`"
    return [
        ", ".join(f"`{flag}{value}`" for flag in setting.pytest_flags),
        f"`{setting.hil_flag}{value}`" if setting.commands else "",
        ", ".join(setting.commands),
        f"`{setting.ini}`, `{setting.variable}`",
        default,
        setting.meaning(),
    ]


def test_the_guide_has_the_row_of_every_setting_and_no_others() -> None:
    table = GUIDE.partition("| pytest |")[2].partition("\n\n")[0].splitlines()[2:]
    unlinked = [re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", line) for line in table]
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in unlinked]
    assert found == [row(setting) for setting in SETTINGS]


def test_every_variable_that_anything_reads_is_in_the_guide() -> None:
    texts = [path.read_text() for path in (ROOT / "harness").rglob("*.py")]
    texts.append((ROOT / ".ci" / "night").read_text())
    reading = r"(?:environ\.get\(\"|environ\[\"|\$\{)(HIL_[A-Z_]+)\b"
    read = {name for text in texts for name in re.findall(reading, text)}
    assert {"HIL_STATE_DIR", "HIL_LOCK_DIR", "HIL_HISTORY"} <= read
    # What the harness itself says to PlatformIO's scripts is not for users.
    read -= set(re.findall(r"\"(HIL_[A-Z_]+)\": ", (ROOT / PLATFORMIO).read_text()))
    assert read <= set(re.findall(r"`(HIL_[A-Z_]+)`", GUIDE))


def test_names_are_told_apart() -> None:
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
    assert all(setting.metavar for setting in SETTINGS if setting.kind is not TRUTH)
    assert {setting for setting in SETTINGS if setting.kind is LIST} >= {BOARD, MODEL}


def test_the_table_loads_nothing_else_of_the_harness() -> None:
    code = "import sys, harness.settings; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name for name in done.stdout.split() if name.split(".")[0] in ("harness", "numpy")}
    assert loaded == {
        "harness",
        "harness.version",
        "harness.errors",
        "harness.settings",
        "harness.text",
    }
