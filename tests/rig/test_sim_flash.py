"""Touch, bootloader, upload and return on a simulated Nano 33 BLE, by the code of real boards."""

import shutil
import subprocess
from dataclasses import replace

import pytest
import serial
from fakes.cdc import stepping
from fakes.samba import image_of, upload

pytest.importorskip("unicorn")

from harness.board.registry import load_registry  # noqa: E402
from harness.board.rigfile import Deadlines  # noqa: E402
from harness.errors import FlashFailed, StartFailed, Where  # noqa: E402
from harness.firmware.build import Firmware  # noqa: E402
from harness.link.streams import open_serial  # noqa: E402
from harness.rig.flash import Flasher  # noqa: E402
from harness.rig.sim import sim_bench  # noqa: E402
from harness.sim.elf import load_segments  # noqa: E402

REGISTRY = load_registry()
REAL, SIM = REGISTRY["nano33ble"], REGISTRY["nano33ble-sim"]
WHERE = Where(board=SIM.id)
CHIP = b"nRF52840-QIAA"


def by_ourselves(board, firmware, port, timeout_s):
    """An uploader that says what bossac says."""
    with serial.Serial(port.path, 921600, timeout=timeout_s) as opened:

        def ask(data, size):
            opened.write(data)
            return opened.read(size)

        upload(ask, image_of(load_segments(firmware.elf)))


def by_bossac(board, firmware, port, timeout_s):
    """Arduino's bossac, by the arguments of its core's platform.txt."""
    image = firmware.elf.with_suffix(".bin")
    image.write_bytes(image_of(load_segments(firmware.elf)))
    command = ["bossac", "-d", f"--port={port.path}", "-U", "-i", "-e", "-w", str(image), "-R"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]


def no_bossac():
    """Why the test with bossac is skipped; None where it is not. Debian's knows Atmel's chips."""
    path = shutil.which("bossac")
    if path is None:
        return "bossac is not installed"
    with open(path, "rb") as file:
        return None if CHIP in file.read() else f"{path} does not know the chip {CHIP.decode()}"


@pytest.fixture(scope="module")
def firmwares(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nano")
    return {step: firmware_of(stepping(folder / str(step), step)) for step in (1, 3)}


def firmware_of(elf):
    return Firmware(elf=elf, build_id="", runtime="aot", sections=(), compiler="gcc", flags="")


def flasher(bench, firmware, uploader, **deadlines):
    (port,) = bench.ports()
    return Flasher(
        REAL, firmware, port, deadlines=Deadlines(**deadlines), bench=bench, upload=uploader
    )


def echo(port):
    stream = open_serial(port.path, where=WHERE)
    try:
        stream.write(b"123")
        return stream.read(20)
    finally:
        stream.close()


@pytest.mark.parametrize(
    "uploader",
    [
        by_ourselves,
        pytest.param(
            by_bossac, marks=pytest.mark.skipif(bool(no_bossac()), reason=str(no_bossac()))
        ),
    ],
)
def test_a_board_is_touched_uploaded_to_and_comes_back(firmwares, uploader):
    with sim_bench(SIM.simulator, firmwares[1].elf, where=WHERE) as bench:
        (before,) = bench.ports()
        assert (before.usb, before.serial_number) == ("2341:805a", "FFFF456789ABCDEF")
        assert echo(before) == b"234"
        back, report = flasher(bench, firmwares[3], uploader).flash(between=lambda: None)
        assert [phase.name for phase in report.phases] == ["touch", "bootloader", "upload", "port"]
        assert report.failures == ()
        assert (back.usb, back.path) == (before.usb, before.path)
        assert echo(back) == b"456"


def test_an_upload_that_breaks_off_is_tried_again_at_the_bootloader(firmwares):
    tries = []

    def breaks_off_once(board, firmware, port, timeout_s):
        tries.append(port.usb)
        if len(tries) > 1:
            return by_ourselves(board, firmware, port, timeout_s)
        with serial.Serial(port.path, 921600, timeout=timeout_s) as opened:
            opened.write(b"X00000000#")
            assert opened.read(3) == b"X\n\r"
        raise FlashFailed("broken off", phase="upload", where=WHERE, hint="")

    with sim_bench(SIM.simulator, firmwares[1].elf, where=WHERE) as bench:
        back, report = flasher(bench, firmwares[3], breaks_off_once).flash(between=lambda: None)
        assert tries == ["2341:005a"] * 2
        assert [phase.name for phase in report.phases].count("touch") == 1
        assert report.failures == ("broken off",)
        assert echo(back) == b"456"


def test_a_touch_that_starts_no_bootloader_is_an_error_that_names_the_phase(firmwares):
    without = replace(SIM.simulator, bootloader=False)
    with sim_bench(without, firmwares[1].elf, where=WHERE) as bench:
        once = flasher(bench, firmwares[3], by_ourselves, bootloader_s=0.3)
        with pytest.raises(FlashFailed, match=r"bootloader did not appear within 0\.3 s"):
            once.flash(between=lambda: None)


def test_a_simulation_that_ends_says_why_in_the_place_of_its_ports(tmp_path):
    elf = tmp_path / "none.elf"
    with pytest.raises(StartFailed, match="cannot read"):
        with sim_bench(SIM.simulator, elf, where=WHERE):
            pass
