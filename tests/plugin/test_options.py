"""The plugin's options as a project's files, environment and command line say them."""

from pathlib import Path

import pytest

from harness.plugin.options import parse_options

pytest_plugins = ["pytester"]


@pytest.fixture
def parsed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Options of a pytest run with these arguments."""
    monkeypatch.delenv("CI", raising=False)

    def parse(*arguments: str):
        return parse_options(pytester.parseconfig("-p", "harness.plugin", *arguments))

    return parse


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nhil_board = a, b\nhil_track = yes\nhil_samples = 7\n"),
        (
            "pyproject.toml",
            '[tool.pytest.ini_options]\nhil_board = ["a", "b"]\n'
            "hil_track = true\nhil_samples = 7\n",
        ),
        (
            "pytest.toml",
            '[pytest]\nhil_board = ["a", "b"]\nhil_track = "true"\nhil_samples = "7"\n',
        ),
    ],
)
def test_every_ini_file_of_pytest_can_say_them(parsed, pytester, name: str, text: str) -> None:
    (pytester.path / name).write_text(text)
    options = parsed()
    assert (options.boards, options.asked, options.missing) == (("a", "b"), True, "error")
    assert (options.track, options.samples) == (True, 7)
    assert parsed("-o", "hil_samples=8").samples == 8


def test_every_option_reaches_the_record(parsed, pytester) -> None:
    here = pytester.path
    options = parsed(
        *("--board", "a", "--board", "b,c", "--hil-model", "sine,linear", "--runtime", "aot,tflm"),
        *("--hil-port", "a=/dev/x", "--hil-samples", "5", "--hil-sessions", "2", "--hil-track"),
        *("--hil-baseline", "old.csv", "--hil-report", "r.html", "--hil-profile"),
        "--hil-functions",
        *("--hil-csv", "l.csv", "--hil-missing", "skip", "--hil-rig", "rig.toml"),
        *("--hil-flash", "never", "--hil-tflm", "tflm", "--hil-arena", "4096"),
        *("--hil-unchecked", "--hil-lock-timeout", "1.5", "--hil-most-baud", "115200"),
    )
    assert (options.boards, options.models) == (("a", "b", "c"), ("sine", "linear"))
    assert (options.runtimes, options.ports) == (("aot", "tflm"), {"a": "/dev/x"})
    assert (options.samples, options.sessions, options.missing) == (5, 2, "skip")
    assert (options.baseline, options.report) == (here / "old.csv", here / "r.html")
    assert (options.csv, options.rig_file) == (here / "l.csv", here / "rig.toml")
    assert (options.track, options.profile, options.unchecked) == (True, True, True)
    assert options.functions
    assert (options.flash, options.tflm, options.arena_bytes) == ("never", here / "tflm", 4096)
    assert (options.lock_timeout_s, options.most_baud) == (1.5, 115200)


def test_paths_belong_to_where_they_were_said(parsed, pytester, monkeypatch) -> None:
    pytester.makeini("[pytest]\nhil_rig = rig.toml\n")
    inside = pytester.mkdir("inside")
    monkeypatch.chdir(inside)
    monkeypatch.setenv("HIL_BASELINE", "old.csv")
    options = parsed("--hil-report", "page.html")
    assert options.rig_file == pytester.path / "rig.toml"
    assert options.csv == pytester.path / "reports" / "latency.csv"
    assert (options.baseline, options.report) == (inside / "old.csv", inside / "page.html")


@pytest.mark.parametrize(
    ("arguments", "variable", "said"),
    [
        (("--hil-samples", "0"), "", r"^--hil-samples takes a positive number, not '0'"),
        (("-o", "hil_flash=often"), "", r"^ini key hil_flash takes one of auto, always, never"),
        ((), "HIL_TRACK", r"^\$HIL_TRACK takes true or false, not 'no number'"),
        ((), "HIL_LOCK_TIMEOUT", r"^\$HIL_LOCK_TIMEOUT takes seconds"),
    ],
)
def test_what_cannot_be_is_wrong_use(parsed, monkeypatch, arguments, variable, said) -> None:
    if variable:
        monkeypatch.setenv(variable, "no number")
    with pytest.raises(pytest.UsageError, match=said):
        parsed(*arguments)


def test_the_module_loads_the_table_and_nothing_else_of_the_harness() -> None:
    text = (Path(__file__).parents[2] / "harness" / "plugin" / "options.py").read_text()
    imported = [line.split()[1] for line in text.splitlines() if line.startswith("from harness")]
    assert imported == ["harness", "harness.errors", "harness.settings"]


def test_all_emulated_is_the_emulated_boards_with_a_line_for_each_left_out(
    parsed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path))
    options = parsed("--board", "virtual,all-emulated")
    assert options.boards[:2] == ("virtual", "qemu-m4") and options.asked
    assert "qemu-netduinoplus2" not in options.boards
    (said,) = [line for line in options.left_out if "qemu-netduinoplus2" in line]
    assert "hil build --board qemu-netduinoplus2" in said


def test_all_emulated_is_wrong_use_where_nothing_is_installed(
    parsed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.UsageError, match="apt-get install"):
        parsed("--board", "all-emulated")
