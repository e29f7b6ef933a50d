"""The ini file that `hil` reads is the one that pytest reads: its own search is the judge."""

from pathlib import Path

import pytest
from _pytest.config.findpaths import locate_config

from harness.errors import WrongUse
from harness.inifile import find_ini

INI = "[pytest]\nhil_board = virtual\nhil_samples = 7\n"
TOML = '[tool.pytest.ini_options]\nhil_board = ["virtual", "qemu-m4"]\nhil_samples = 7\n'


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"pytest.ini": INI},
        {".pytest.ini": INI},
        {"tox.ini": INI},
        {"setup.cfg": INI.replace("[pytest]", "[tool:pytest]")},
        {"pyproject.toml": TOML},
        {"pyproject.toml": TOML.replace(".ini_options", "")},
        {"pytest.toml": TOML.replace("tool.pytest.ini_options", "pytest")},
        {"pytest.ini": "", "tox.ini": INI},
        {"pytest.toml": "", "tox.ini": INI},
        {"pyproject.toml": "[project]\nname = 'x'\n", "tox.ini": INI},
        {"pyproject.toml": TOML, "pytest.ini": INI},
        {"tox.ini": "[tox]\n", "setup.cfg": "[metadata]\n", "../tox.ini": INI},
        {"pyproject.toml": "", "../pytest.ini": INI},
    ],
    ids=" ".join,
)
def test_the_file_is_that_of_pytest_and_says_the_same(files, tmp_path: Path) -> None:
    folder = tmp_path / "project" / "inside"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "project" / name).write_text(text)
    found = find_ini(folder)
    root, _, values, _ = locate_config(folder, [])
    assert {key: str(value) for key, value in found.values.items()} == {
        key: str(value.value) for key, value in values.items()
    }
    if found.values:
        assert found.folder == root


@pytest.mark.parametrize(
    ("name", "text"),
    [("pytest.ini", "no section\n"), ("pyproject.toml", "= 1"), ("tox.ini", b"\xff")],
)
def test_a_file_that_cannot_be_read_is_named(name: str, text: str | bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(WrongUse, match=f"cannot read .*{name}"):
        find_ini(tmp_path)
