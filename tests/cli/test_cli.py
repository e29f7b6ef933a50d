"""`hil` as a user types it, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.bench import NANO
from fakes.processes import alive, children_of, name_of
from fakes.pytests import rows

from harness.board.ports import SerialPort
from harness.board.registry import Registry
from harness.board.rigfile import Plugged, RigFile
from harness.cli import EXIT_USAGE, _parser, main
from harness.cli.command import worst_status
from harness.cli.rig import watch, whereabouts
from harness.cli.settings import sources_of
from harness.cli.work import works
from harness.errors import Where
from harness.link.link import Link
from harness.link.protocol import VERSION, Op, parse_hello
from harness.link.streams import open_serial
from harness.measure.frames import read_rows
from harness.measure.tables import CallRow, FunctionRow, LatencyRow
from harness.outcome import Outcome
from harness.progress import no_progress
from harness.rig.open import RigOptions
from harness.rig.profiling import Profiled

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "tests" / "zoo"


@pytest.fixture
def hil(commands, tmp_path):
    """Run `hil` in an empty folder with locks of its own; extra environment as keywords."""

    def run(*arguments, **environment):
        locks = str(tmp_path / "locks")
        own = {**os.environ, "PYTHONPATH": str(ROOT), "HIL_LOCK_DIR": locks, **environment}
        return commands.run(("harness.cli", *arguments), cwd=tmp_path, env=own)

    return run


def test_boards_and_models_are_listed(hil):
    assert "qemu-m4" in hil("boards").stdout
    assert "sine " in hil("models").stdout


def test_infer_answers_with_a_sine(hil):
    for board in ("qemu-m4", "virtual"):
        done = hil("infer", "1.5708", "--board", board)
        assert float(done.stdout) == pytest.approx(1.0, abs=0.15), done.stderr


def test_bench_writes_the_csv_and_prints_the_summary_within_80_columns(hil, tmp_path):
    done = hil("bench", "--board", "qemu-m4", "virtual", "--samples", "100")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert len([line for line in lines if "0/256" in line]) == 2
    assert "not time on silicon" in done.stdout
    assert len((tmp_path / "reports" / "latency.csv").read_text().splitlines()) == 5


def test_build_prints_who_takes_flash_and_ram_within_80_columns(hil):
    done = hil("build")
    path, *lines = done.stdout.splitlines()
    assert path.endswith("firmware.elf")
    assert all(len(line) <= 80 for line in lines)
    flash, ram = (line.split() for line in lines[-2:])
    assert (flash[:3], ram[:3]) == (["in", "all", "flash"], ["in", "all", "RAM"])
    for row in (flash, ram):
        *owners, whole = (int(number) for number in row[3:])
        assert sum(owners) == whole
    assert f"flash {flash[-1]} B, RAM {ram[-1]} B" in done.stdout
    assert "arm-none-eabi-gcc" in done.stdout and "-mcpu=cortex-m4" in done.stdout


def test_wrong_numbers_have_an_exit_status_of_their_own(hil):
    done = hil("bench", "--board", "virtual", "--port", "virtual:?wrong_output=3", "--samples", "9")
    assert done.returncode == Outcome.WRONG.exit_status
    assert "mismatch" in done.stdout and "odd one out" in done.stderr


def test_profile_shows_each_operator_within_80_columns(hil):
    done = hil("profile", "--n", "2", "--first-difference")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("sine_int8 on qemu-m4: aot, bakenn ")
    assert [line.split()[:3] for line in lines[2:5]] == [
        ["0", "FULLY_CONNECTED", "1x16"],
        ["1", "FULLY_CONNECTED", "1x16"],
        ["2", "FULLY_CONNECTED", "1x1"],
    ]
    assert lines[-1] == "every operator's output equals that of TFLM on the host"
    assert "not time on silicon" in done.stderr


def test_a_board_stays_locked_from_its_measurement_to_the_end_of_its_profile(monkeypatch, tmp_path):
    # As if it existed once.
    monkeypatch.setattr(RigOptions, "shared", lambda options, board: True)
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path))
    held = tmp_path / "qemu-m4.lock"
    locked = []

    def profiled(*_):
        locked.append(held.read_text())
        return Profiled(layers=())

    monkeypatch.setattr("harness.cli.board.append_profile", profiled)
    asked = ("--profile", "--functions", "--csv", str(tmp_path / "latency.csv"))
    assert main(["bench", "--board", "qemu-m4", "--samples", "3", *asked]) == 0
    assert f'"pid": {os.getpid()},' in locked[0] and held.read_text() == ""
    whole = read_rows(tmp_path / "latency.csv", LatencyRow).rows[-1]
    functions = read_rows(tmp_path / "functions.csv", FunctionRow).rows
    calls = read_rows(tmp_path / "calls.csv", CallRow).rows
    assert {row.run for row in (*functions, *calls)} == {whole.run}
    assert sum(row.instructions for row in calls) == whole.instructions_p50 - 2
    assert {row.timed_instructions for row in functions} == {whole.instructions_p50}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("infer", "1", "--board", "nano34"), "unknown board 'nano34'; known: esp32, nano33ble"),
        (("infer", "1", "--model", "cosine"), "unknown model 'cosine'; known:"),
        (("infer", "1", "2"), "takes 1 number(s)"),
        (("infer", "nan"), "NaN"),
        (
            ("build", "--runtime", "tvm"),
            "unknown runtime for board qemu-m4 'tvm'; known: aot, tflm",
        ),
        (("build", "--model", "/nonexistent/x.tflite"), "cannot read /nonexistent/x.tflite"),
    ],
)
def test_wrong_use_is_answered_with_what_would_be_right(hil, arguments, said):
    done = hil(*arguments)
    assert done.returncode == EXIT_USAGE
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sick_rig_has_an_exit_status_of_its_own(hil):
    done = hil("infer", "1", "--board", "virtual", "--port", "/dev/does-not-exist")
    assert done.returncode == Outcome.SICK.exit_status
    assert "board virtual, port /dev/does-not-exist" in done.stderr


def test_stale_firmware_has_an_exit_status_of_its_own(hil):
    done = hil("infer", "1", "--board", "virtual", "--port", "virtual:?wrong_model=1")
    assert done.returncode == Outcome.STALE.exit_status
    assert "board runs different firmware" in done.stderr


def measured(csv: Path) -> list[tuple[str, str]]:
    """Board and number of samples of each run in a CSV."""
    return [(row["board"], row["n"]) for row in rows(csv)]


def test_environment_and_ini_file_are_obeyed_as_by_pytest(hil, tmp_path):
    environment = {"HIL_BOARD": "virtual", "HIL_SAMPLES": "7", "HIL_REPORT": "page.html"}
    done = hil("bench", HIL_CSV="mine.csv", **environment)
    assert done.returncode == 0, done.stderr
    assert measured(tmp_path / "mine.csv") == [("virtual", "7")]
    assert (tmp_path / "page.html").is_file()
    (tmp_path / "rig.toml").write_text(RIG)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nhil_rig = "rig.toml"\nhil_board = ["left", "virtual"]\n'
        'hil_samples = 8\nhil_csv = "ini.csv"\nhil_port = "left=virtual:?slow=2"\n'
    )
    done = hil("bench", **environment)
    assert done.returncode == 0, done.stderr
    assert measured(tmp_path / "ini.csv") == [("left", "8"), ("virtual", "8")]
    done = hil("bench", "--board", "left", "--hil-samples", "9", "--csv", "last.csv")
    assert done.returncode == 0, done.stderr
    assert measured(tmp_path / "last.csv") == [("left", "9")]
    done = hil("infer", "1.5708")
    assert done.returncode == EXIT_USAGE
    assert "takes one board, ini key hil_board names 2: left, virtual" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (("--samples", "0"), {}, "hil: --samples takes a positive number, not '0'"),
        (
            (),
            {"HIL_FLASH": "often"},
            "hil: $HIL_FLASH takes one of auto, always, never, not 'often'",
        ),
        ((), {"HIL_BOARD": "a,b", "HIL_PORT": "x"}, "hil: $HIL_PORT x: say which board"),
        ((), {"HIL_MODEL": "cosine"}, "hil: unknown model 'cosine'"),
        (("--port", "virtual:?flip=0.1"), {}, "only the virtual board can inject faults"),
        ((), {"HIL_PORT": "virtual:?flip=0.1"}, "(board qemu-m4, port virtual:?flip=0.1)"),
    ],
)
def test_settings_that_cannot_be_are_wrong_use(hil, arguments, environment, said):
    done = hil("bench", *arguments, **environment)
    assert done.returncode == EXIT_USAGE
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_sick_board_stops_neither_the_others_nor_summary_and_report(hil, tmp_path):
    (tmp_path / "rig.toml").write_text(RIG)
    arguments = ("--board", "far", "left", "--samples", "9", "--report", "page.html")
    done = hil("bench", "--rig", "rig.toml", *arguments)
    assert done.returncode == Outcome.SICK.exit_status
    assert "hil: " in done.stderr and "board far, port socket://127.0.0.1:9" in done.stderr
    assert "left, tflm" in done.stdout and "appended to reports/latency.csv" in done.stdout
    assert measured(tmp_path / "reports" / "latency.csv") == [("left", "9")]
    assert (tmp_path / "page.html").is_file()
    wrong = ("--port", "left=virtual:?wrong_output=3")
    done = hil("bench", "--rig", "rig.toml", *arguments, *wrong)
    assert done.returncode == Outcome.WRONG.exit_status
    assert "board far" in done.stderr and "mismatch" in done.stdout


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [([], 0), ([0, 10], 10), ([10, 11], 11), ([11, 12], 12), ([12, 2], 2), ([2, 1, 0], 1)],
)
def test_the_worst_of_several_statuses_is_that_of_the_command(statuses, worst):
    assert worst_status(statuses) == worst
    assert worst_status(reversed(statuses)) == worst


@pytest.mark.parametrize("command", ["build", "flash", "infer", "bench", "profile"])
def test_every_command_takes_the_same_form_of_a_model(command):
    values = ("1",) if command == "infer" else ()
    arguments = ("--board", "nucleo-f446re", "--runtime", "aot", "--model", "fashion_dnn")
    options = _parser().parse_args([command, *arguments, *values])
    (work,) = works(sources_of(options), no_progress)
    assert (work.runtime, work.artifact.name) == ("aot", "fashion_dnn_int8")


def test_virtual_board_serves_without_a_standard_input_until_it_is_terminated(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "virtual"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        for _ in range(2):
            stream = open_serial(port, where=Where(board="virtual", port=port))
            link = Link(stream, where=Where(board="virtual", port=port))
            link.resync()
            assert parse_hello(link.request(Op.HELLO, bytes((VERSION,)))).board == "virtual"
            stream.close()
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM


def test_every_exit_status_is_in_the_help(hil):
    said = hil("--help").stdout
    for outcome in Outcome:
        assert f" {outcome.exit_status} " in said


def test_doctor_names_every_missing_tool_and_its_cure(hil, tmp_path):
    assert hil("doctor").returncode == 0
    bare = hil("doctor", PATH=str(tmp_path), HIL_STATE_DIR=str(tmp_path / "state"))
    assert bare.returncode == Outcome.SICK.exit_status
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        assert f"MISSING {tool}" in bare.stdout
    assert "sudo apt-get install -y gcc-arm-none-eabi" in bare.stdout
    for tool in ("riscv64-unknown-elf-gcc", "picolibc for RISC-V", "qemu-system-riscv32"):
        assert f"absent  {tool}" in bare.stdout
    assert "sudo apt-get install -y gcc-riscv64-unknown-elf picolibc" in bare.stdout


RIG = """
[boards.left]
kind = "virtual"
[boards.far]
kind = "virtual"
port = "socket://127.0.0.1:9"
"""


def test_boards_of_a_rig_file_are_known_to_every_command(hil, tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_text(RIG)
    assert "left" in hil("boards", "--rig", str(rig)).stdout
    assert "left" in hil("boards", HIL_RIG=str(rig)).stdout
    done = hil("infer", "1.5708", "--board", "left", "--rig", str(rig))
    assert float(done.stdout) == pytest.approx(1.0, abs=0.15), done.stderr
    assert hil("build", "--board", "left").returncode == EXIT_USAGE
    absent = hil("boards", "--rig", str(tmp_path / "none.toml"))
    assert absent.returncode == Outcome.SICK.exit_status and "cannot read rig file" in absent.stderr


def test_a_board_that_is_started_with_its_firmware_is_not_flashed(hil):
    done = hil("flash", "--board", "qemu-m4")
    assert done.returncode == 0 and "nothing to upload" in done.stderr


def test_where_a_board_is_plugged_in_is_told():
    nano = Plugged(id="nano", kind="nano", serial_number="01")
    far = Plugged(id="far", kind="nano", port="rfc2217://bench:4000")
    file = RigFile(boards=(nano, far))
    port = SerialPort(path="/dev/ttyACM0", usb="2341:805a", serial_number="01")
    boot = replace(port, usb="2341:005a")
    assert whereabouts(NANO, file, (port,)) == ("/dev/ttyACM0", (port,))
    assert whereabouts(NANO, file, (boot,))[0] == "/dev/ttyACM0 (in its bootloader)"
    assert whereabouts(NANO, file, ()) == ("absent", ())
    assert whereabouts(NANO, file, (port, port))[0] == "one of /dev/ttyACM0, /dev/ttyACM0"
    assert whereabouts(replace(NANO, id="far"), file, ())[0] == "rfc2217://bench:4000"


def test_what_is_plugged_in_is_shown_with_lines_to_paste(monkeypatch, capsys):
    registry = Registry((NANO,))
    port = SerialPort(path="/dev/ttyACM0", usb="2341:805a", serial_number="01")
    boot = replace(port, usb="2341:005a", path="/dev/ttyACM1")
    foreign = SerialPort(path="/dev/ttyUSB0", usb="1a86:7523")
    listings = iter([(), (port,), (boot,), (boot, foreign)])

    def listed():
        try:
            return next(listings)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("harness.cli.rig.list_serial_ports", listed)
    monkeypatch.setattr("harness.cli.rig.time.sleep", lambda seconds: None)
    with pytest.raises(KeyboardInterrupt):
        watch(registry)
    assert capsys.readouterr().out.splitlines() == [
        "plugged   /dev/ttyACM0  2341:805a  serial number 01",
        "[boards.nano]",
        'serial_number = "01"',
        "unplugged /dev/ttyACM0  2341:805a  serial number 01",
        "plugged   /dev/ttyACM1  2341:005a  serial number 01",
        "a nano in its bootloader: hil flash --board nano --port /dev/ttyACM1",
        "plugged   /dev/ttyUSB0  1a86:7523",
        "[boards.NAME]",
        'kind = "KIND"',
        'port = "/dev/ttyUSB0"',
    ]


def test_termination_lets_go_of_lock_and_emulator(tmp_path):
    (tmp_path / "t").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "t")}
    environment["HIL_LOCK_DIR"] = str(tmp_path / "locks")
    command = [sys.executable, "-m", "harness.cli", "bench", "--board", "qemu-m4"]
    with subprocess.Popen(
        [*command, "--samples", "100000000", "--csv", str(tmp_path / "l.csv")], env=environment
    ) as process:
        deadline = time.monotonic() + 120
        while not any("qemu" in name for name in map(name_of, children_of(process.pid))):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        emulators = children_of(process.pid)
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    assert not any(alive(pid) for pid in emulators)
    assert list((tmp_path / "t").iterdir()) == []
    assert not any(lock.stat().st_size for lock in (tmp_path / "locks").glob("*.lock"))


def test_build_prints_sections(hil):
    done = hil("build")
    assert done.returncode == 0, done.stderr
    assert ".text" in done.stdout and "build id" in done.stdout


def test_models_are_listed_with_what_they_need_and_what_is_not_trained(hil):
    done = hil("models")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    size, macs, arena, boards = rows["sine"]
    assert (size, macs, boards) == ("2640", "288", "all") and 1500 < int(arena) < 5000
    assert "horse_or_human-300 is not trained here: hil train horse_or_human --variant 300" in (
        done.stdout
    )
    assert "\nsine is not trained" not in done.stdout


def test_layers_are_written_as_pictures_where_asked(hil, tmp_path):
    done = hil("layers", "filters-edge-pool", "--sample", "2", "--output", "seen")
    assert done.returncode == 0, done.stderr
    names = ["input.png", "00-conv_2d.png", "01-max_pool_2d.png"]
    assert done.stdout.splitlines() == [f"seen/{name}" for name in names]
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == sorted(names)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("layers", "sine"), "no layer of this model has feature maps"),
        (("layers", "filters", "--sample", "256"), "no sample 256: goldens are 0 to 255"),
        (("layers", str(ZOO / "custom-float32.tflite")), "operator 0 (NobodysOperator)"),
        (("layers", str(ZOO / "conv-2d-int8.tflite")), "no golden inputs to show"),
        (("profile", "--board", "virtual"), "the virtual board cannot be profiled"),
        (("build", "--model", "sine_float32"), "operator 0 (FULLY_CONNECTED)"),
    ],
)
def test_models_of_no_use_are_refused_by_what_they_lack(hil, arguments, said):
    done = hil(*arguments)
    assert done.returncode == EXIT_USAGE
    assert said in done.stderr and "Traceback" not in done.stderr


def test_train_passes_on_where_data_and_weights_lie(hil, tmp_path):
    done = hil("train", "fashion_dnn", "--data", "here", "--output", "out")
    assert done.returncode == 1
    assert f"{tmp_path}/here has no Fashion-MNIST" in done.stderr
    done = hil("train", "linear", "--weights", "w.h5", "--output", "out")
    assert "linear takes no pretrained weights" in done.stderr
    assert not (tmp_path / "out").exists()
