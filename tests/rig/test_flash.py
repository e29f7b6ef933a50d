"""Uploads by the real PlatformIO to a platform of a few lines, and what interrupts them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.bench import NANO
from fakes.processes import alive, children_of

from harness.board.ports import SerialPort
from harness.errors import FlashFailed, RigError
from harness.firmware.build import Firmware
from harness.project import Project, find_project
from harness.rig.flash import PlatformioUploader, upload_command, upload_config

ROOT = Path(__file__).parents[2]
PORT = SerialPort(path="/dev/ttyACM7", usb="2341:005a", serial_number="0A1B")

# As nordicnrf52 does it: `nobuild` takes the file in the build folder, and always the .hex.
BUILDER = """
import json
from os.path import join
from SCons.Script import COMMAND_LINE_TARGETS, AlwaysBuild, DefaultEnvironment

env = DefaultEnvironment()
env.Replace(
    PROGNAME="firmware",
    UPLOADER="$PYTHONEXE",
    UPLOADERFLAGS=["$UPLOAD_PORT"],
    UPLOADCMD='$UPLOADER "$PROJECT_DIR/uploader.py" $UPLOADERFLAGS "$SOURCE"',
)

def before(target, source, env):
    options = env.BoardConfig().get("upload")
    with open(join(env.subst("$PROJECT_DIR"), "options.json"), "w") as file:
        json.dump(options, file)

assert "nobuild" in COMMAND_LINE_TARGETS, "compiles nothing"
firmware = join("$BUILD_DIR", "${PROGNAME}.hex")
AlwaysBuild(env.Alias("nobuild", firmware))
upload = [env.VerboseAction(before, "Looking"), env.VerboseAction("$UPLOADCMD", "Uploading")]
env.AddPlatformTarget("upload", firmware, upload, "Upload")
"""

UPLOADER = """
import json, os, sys, time
from pathlib import Path
sys.stdout.reconfigure(line_buffering=True)
*flags, file = sys.argv[1:]
print("uploader speaks, pid", os.getpid())
time.sleep(float(os.environ.get("UPLOADER_S", "0")))
Path(__file__).with_name("uploaded.json").write_text(json.dumps([flags, Path(file).read_text()]))
sys.exit(int(os.environ.get("UPLOADER_STATUS", "0")))
"""

INI = """
[platformio]
src_dir = firmware/src
[env:nano-tflm]
platform = symlink://platform
board = nano
extra_scripts = pre:firmware/build_model.py
lib_deps = nobody/nothing@1.0.0
"""


@pytest.fixture
def project(tmp_path):
    """A project whose platform uploads by a script that writes down what it was given."""
    root = tmp_path / "project"
    (root / "platform" / "builder").mkdir(parents=True)
    (root / "platform" / "boards").mkdir()
    (root / "firmware" / "src").mkdir(parents=True)
    (root / "platformio.ini").write_text(INI)
    (root / "uploader.py").write_text(UPLOADER)
    (root / "platform" / "builder" / "main.py").write_text(BUILDER)
    (root / "platform" / "platform.py").write_text(
        "from platformio.public import PlatformBase\nclass FakePlatform(PlatformBase):\n    pass\n"
    )
    about = {"name": "fake", "title": "Fake", "description": "Fake", "version": "1.0.0"}
    (root / "platform" / "platform.json").write_text(json.dumps({**about, "packages": {}}))
    upload = {"use_1200bps_touch": True, "wait_for_upload_port": True, "protocol": "sam-ba"}
    board = {"name": "Nano", "vendor": "A", "url": "", "build": {"mcu": "x"}, "upload": upload}
    (root / "platform" / "boards" / "nano.json").write_text(json.dumps(board))
    for script in ("build_model.py", "upload.py"):
        shutil.copy(find_project().firmware / script, root / "firmware")
    return Project(root=root, state=tmp_path / "state")


@pytest.fixture
def firmware(project):
    kept = project.state / "firmware" / "00ff"
    kept.mkdir(parents=True)
    (kept / "firmware.elf").write_text("elf")
    (kept / "firmware.bin").write_text("the kept firmware")
    return Firmware(
        elf=kept / "firmware.elf",
        build_id="00ff",
        runtime="tflm",
        sections=(),
        compiler="gcc",
        flags="-O2",
    )


def test_platformio_uploads_the_kept_firmware_to_the_port_and_does_not_touch(project, firmware):
    board = replace(NANO, upload_flags=("-c", "adapter serial {serial_number}"))
    PlatformioUploader(project)(board, firmware, PORT, 60)
    flags, content = json.loads((project.root / "uploaded.json").read_text())
    assert content == "the kept firmware"
    assert flags == ["-c", "adapter serial 0A1B", "/dev/ttyACM7"]
    options = json.loads((project.root / "options.json").read_text())
    assert options["use_1200bps_touch"] is False and options["wait_for_upload_port"] is False
    assert [path.name for path in (project.state / "upload").iterdir()] == ["nano.log"]


def test_an_upload_that_fails_shows_the_tools_words(project, firmware, monkeypatch):
    monkeypatch.setenv("UPLOADER_STATUS", "3")
    with pytest.raises(FlashFailed, match="ended with status 1") as caught:
        PlatformioUploader(project)(NANO, firmware, PORT, 60)
    assert "Error 3" in caught.value.hint and "port /dev/ttyACM7" in str(caught.value)
    log = Path(caught.value.hint.rpartition("Full log: ")[2])
    assert "uploader speaks" in log.read_text()


def test_an_upload_that_hangs_is_killed_with_all_its_processes(project, firmware, monkeypatch):
    monkeypatch.setenv("UPLOADER_S", "60")
    start = time.monotonic()
    with pytest.raises(FlashFailed, match="took longer than 5 s"):
        PlatformioUploader(project)(NANO, firmware, PORT, 5)
    assert time.monotonic() - start < 20
    log = (project.state / "upload" / "nano.log").read_text()
    assert not alive(int(re.search(r"pid (\d+)", log)[1]))


def test_upload_command_names_env_project_and_port():
    command = upload_command(NANO, "tflm", find_project(), "/dev/ttyACM7", Path("own.ini"))
    assert command[:4] == [sys.executable, "-m", "platformio", "run"]
    text = " ".join(command)
    assert "-c own.ini -e nano-tflm" in text
    assert "-t nobuild -t upload --upload-port /dev/ttyACM7" in text


def test_upload_flags_need_a_serial_number():
    board = replace(NANO, upload_flags=("-c", "adapter serial {serial_number}"))
    assert upload_config(board, "tflm", "066D").endswith("  -c\n  adapter serial 066D\n")
    assert upload_config(board, "tflm", None).endswith("upload_flags =\n")


@pytest.mark.parametrize(
    "number", ["0A; reboot", "$(reboot)", "a b", "-f", "x\n[env:nano]", "${x}"]
)
def test_serial_number_that_a_shell_would_read_is_refused(number):
    board = replace(NANO, upload_flags=("-c", "adapter serial {serial_number}"))
    with pytest.raises(RigError, match="cannot be given to an uploader.*board nano") as refused:
        upload_config(board, "tflm", number)
    assert str(refused.value).replace("\n", "").isprintable()
    assert "upload_flags =\n" in upload_config(NANO, "tflm", number)


@pytest.mark.parametrize(
    "number", ["066DFF555", "0001", "DF60BCA003", "a0:b1:c2", "E660-1", "A_1.2"]
)
def test_serial_numbers_of_real_boards_reach_the_uploader(number):
    board = replace(NANO, upload_flags=("-c", "adapter serial {serial_number}"))
    assert f"adapter serial {number}\n" in upload_config(board, "tflm", number)


@pytest.mark.parametrize(
    "port", ["/dev/ttyACM0;reboot", "-x", "/dev/tty $(x)", "/dev/tty`x`", "a'b"]
)
def test_port_that_a_shell_would_read_is_refused(port):
    with pytest.raises(RigError, match="cannot be given to an uploader"):
        upload_command(NANO, "tflm", find_project(), port, Path("own.ini"))


INTERRUPTED = """
import sys
from pathlib import Path
from harness.process import defer_signals, run

try:
    with defer_signals("the upload"):
        run([sys.executable, "-c", {upload!r}], Path(sys.argv[1]), timeout_s=60)
        print("uploaded", flush=True)
    print("went on", flush=True)
finally:
    print("left", flush=True)
"""
UPLOAD = """
import pathlib, time
pathlib.Path("started").touch()
while not pathlib.Path("finish").exists():
    time.sleep(0.01)
"""


@pytest.fixture
def uploading(tmp_path, heard_interrupts):
    """A process in mid-upload, which ends when the file `finish` is there."""
    yield from an_upload(tmp_path)


@pytest.fixture
def deaf_upload(tmp_path):
    """The same where the parent ignores SIGINT, as a shell has its background jobs do."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield from an_upload(tmp_path)
    signal.signal(signal.SIGINT, before)


def an_upload(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(upload=UPLOAD), str(tmp_path / "log")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "started").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    yield process
    process.kill()
    process.communicate()


def told(process):
    """Wait until the process has said that it finishes first."""
    assert "finishing the upload first" in process.stderr.readline()


def test_an_interrupted_upload_is_finished_before_the_program_ends(uploading, tmp_path):
    uploading.send_signal(signal.SIGINT)
    told(uploading)
    (tmp_path / "finish").touch()
    out, err = uploading.communicate(timeout=20)
    assert out.split("\n")[:2] == ["uploaded", "left"] and "KeyboardInterrupt" in err


def test_a_terminated_upload_is_finished_too(uploading, tmp_path):
    for _ in range(2):
        uploading.send_signal(signal.SIGTERM)
        told(uploading)
    (tmp_path / "finish").touch()
    out, _ = uploading.communicate(timeout=20)
    assert out.startswith("uploaded") and uploading.returncode == -signal.SIGTERM


def test_an_ignored_interrupt_stays_ignored(deaf_upload, tmp_path):
    for _ in range(2):
        deaf_upload.send_signal(signal.SIGINT)
    (tmp_path / "finish").touch()
    out, err = deaf_upload.communicate(timeout=20)
    assert out.split("\n")[:2] == ["uploaded", "went on"] and err == ""


def test_a_second_interrupt_kills_the_upload(uploading):
    uploads = children_of(uploading.pid)
    uploading.send_signal(signal.SIGINT)
    told(uploading)
    uploading.send_signal(signal.SIGINT)
    out, err = uploading.communicate(timeout=20)
    assert out == "left\n" and "KeyboardInterrupt" in err
    assert uploads and not any(map(alive, uploads))
