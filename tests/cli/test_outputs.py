"""What a command writes is never what it reads, nor a file that is not its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import nights
from fakes.measured import rows

from harness.cli import main
from harness.measure.csvfile import append


def hil(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "latency.csv"
    nights.write(path, nights.real_board(1))
    append(path, rows("r1"))
    return path


def named(csv: Path, how: str) -> Path:
    other = csv.with_name("other.csv")
    if how == "symlink":
        other.symlink_to(csv)
    elif how == "hard link":
        os.link(csv, other)
    return csv if how == "itself" else other


@pytest.mark.parametrize("how", ["itself", "symlink", "hard link"])
@pytest.mark.parametrize(
    "command",
    [
        "report {csv} --output {other}",
        "report {folder} --output {other}",
        "compare {csv} {csv} --output {other}",
        "compare {folder} {csv} --output {other}",
        "baseline save --csv {csv} --baseline {other} --replace",
        "bench --csv {csv} --report {other} --board virtual",
        "evaluate --data {csv} --csv {folder}/new.csv --output {other}",
    ],
)
def test_an_input_is_not_overwritten(
    csv: Path, how: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = named(csv, how)
    if command.startswith("evaluate"):
        data = csv.with_name("data.npz")
        shutil.move(csv, data)
        other = named(data, how).with_suffix(".npz") if how == "itself" else data
        csv = data
    before = csv.read_bytes()
    words = command.format(csv=csv, folder=csv.parent, other=other).split()
    assert hil(*words) == 2
    assert "is not to be overwritten" in capsys.readouterr().err
    assert csv.read_bytes() == before


def test_a_table_beside_the_csv_is_not_overwritten(csv: Path) -> None:
    before = csv.with_name("samples.csv").read_bytes()
    assert hil("report", csv, "--output", csv.with_name("samples.csv")) == 2
    assert csv.with_name("samples.csv").read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "report {csv} --output {other}",
        "bench --board virtual --csv {csv} --report {other}",
        "bench --board virtual --csv {other}",
        "evaluate --board host --data {csv} --csv {other}",
        "compare {csv} {csv} --output {other}",
    ],
)
def test_a_file_of_somebody_elses_is_not_touched(
    csv: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = csv.with_name("thesis.txt")
    other.write_text("Chapter 1")
    assert hil(*command.format(csv=csv, other=other).split()) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert other.read_text() == "Chapter 1"
    assert not csv.with_name("thesis.1.txt").exists()


def test_a_report_and_a_comparison_may_be_made_again(csv: Path) -> None:
    page, table = csv.with_name("page.html"), csv.with_name("table.txt")
    for _ in range(2):
        assert hil("report", csv, "--output", page) == 0
        assert hil("compare", csv, csv, "--output", table) == 0


@pytest.mark.parametrize("command", ["compare {csv} {csv} --output {folder}", "report {folder}/no"])
def test_what_cannot_be_read_or_written_is_named(
    csv: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hil(*command.format(csv=csv, folder=csv.parent).split()) == 2
    assert "cannot" in capsys.readouterr().err


FULL = """
import resource, signal, sys
from harness.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, -1))
sys.exit(main(["bench", "--board", "virtual", "--samples", "100", "--csv", sys.argv[1]]))
"""


def test_figures_are_shown_where_no_file_can_take_them(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    # Without git, which would leave a lock in this checkout when it meets the limit.
    own = {"PATH": str(Path(sys.executable).parent), "HIL_LOCK_DIR": str(tmp_path / "locks")}
    environment = {**os.environ, "PYTHONPATH": str(root), **own}
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "latency.csv")],
        capture_output=True,
        text=True,
        env=environment,
        cwd=root,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "hil: cannot write" in done.stderr and "File too large" in done.stderr
    assert "0/256" in done.stdout and "not all of this could be appended" in done.stdout


def test_an_answer_that_no_disk_takes_is_an_error_and_no_traceback() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "harness.cli", "udev"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    why = "cannot write to standard output: No space left on device"
    assert (done.returncode, done.stderr) == (1, f"hil: {why}.\n")


def test_what_is_said_to_a_closed_stream_is_in_no_other() -> None:
    """Python prints to standard output what is for a standard error that is not there."""
    command = (sys.executable, "-m", "harness.cli", "cores", "none.csv", "--json")
    closed = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&- 2>&-', "sh", *command], stdout=subprocess.PIPE
    )
    assert closed.returncode == 2
    assert json.loads(closed.stdout)["errors"][0]["error"] == "ReportError"
