"""Real boards on a scripted machine: found, flashed, measured and brought back, over real ptys."""

import os
import shlex
import threading
import time
import tty
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fakes.bench import NANO, BuiltBefore, Device, Machine

from harness.board.far import FarUpload
from harness.board.lock import hold, hold_uploads
from harness.board.ports import SerialPort
from harness.board.power import HubPort
from harness.board.registry import Registry, load_registry
from harness.board.rigfile import Deadlines, Plugged
from harness.cli import main
from harness.errors import (
    BoardBusy,
    BoardNotFound,
    BoardSilent,
    FlashFailed,
    LinkTimeout,
    ModelRefused,
    PortLost,
    StaleFirmware,
    StartFailed,
    Where,
)
from harness.firmware.build import Builder
from harness.firmware.swap import plan_swap
from harness.link.faults import Faults, FaultyBoard
from harness.link.link import LinkOptions
from harness.link.protocol import Status
from harness.link.virtual import VirtualBoard
from harness.model.resolve import resolve_model
from harness.model.wheels import tflm_version
from harness.outcome import Outcome
from harness.project import find_project
from harness.rig.open import RigOptions, open_board
from harness.rig.virtual import Server, VirtualProcess, virtual_build_id, virtual_hello

PROJECT = find_project()
SINE = resolve_model("sine", PROJECT.artifacts)
LEFT, RIGHT = "0A1B2C3D4E5F6071", "0A1B2C3D4E5F6072"
OTHER_FIRMWARE = Faults(wrong_model=True)
needs_wheel = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")


@contextmanager
def served(faults):
    with VirtualProcess(SINE, faults, where=Where(board="nano")) as process:
        process.stream.close()
        yield process.port


@pytest.fixture(scope="module")
def current():
    """A pty whose board runs the very firmware."""
    with served(Faults()) as port:
        yield port


@pytest.fixture(scope="module")
def other():
    """A pty whose board runs another firmware."""
    with served(OTHER_FIRMWARE) as port:
        yield port


@contextmanager
def setup_failed(build_id):
    """A pty whose board answers HELLO, but whose setup failed."""
    hello = replace(
        virtual_hello(SINE, Faults(), timer_read_ticks=0),
        build_id=bytes.fromhex(build_id),
        status=Status.ARENA_TOO_SMALL,
    )
    board = VirtualBoard(hello, lambda raw: raw, ticks=lambda: 0, clock=time.monotonic)
    master, slave = os.openpty()
    tty.setraw(slave)
    stop, stopping = os.pipe()
    server = threading.Thread(target=Server(FaultyBoard(board, Faults()), master, stop).run)
    server.start()
    try:
        yield os.ttyname(slave)
    finally:
        os.close(stopping)
        server.join()
        for descriptor in (master, slave, stop):
            os.close(descriptor)


@pytest.fixture
def silent():
    """A pty on which nobody answers."""
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.fixture(autouse=True)
def own_rig(monkeypatch, tmp_path):
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))
    monkeypatch.setattr("harness.rig.open.Builder", BuiltBefore)
    quick = LinkOptions(timeout_s=0.1, attempts=8, silent_attempts=3)
    monkeypatch.setattr("harness.rig.plugged_in.PROBE", quick)
    monkeypatch.setattr("harness.rig.recovery.PROBE", quick)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def by_serial(number=LEFT, **more):
    return Plugged(id="nano", kind="nano", serial_number=number, **more)


def opened_on(machine, *, board=NANO, upload=None, **options):
    return open_board(
        board,
        SINE,
        PROJECT,
        RigOptions(**options),
        bench=machine.bench,
        upload=upload or machine.upload,
    )


def test_the_very_build_is_not_uploaded_again(machine, current):
    board = Device(machine, LEFT, "ttyACM0", current)
    with opened_on(machine, plugged=by_serial()) as opened:
        assert opened.comparison().mismatches == 0
        assert opened.flash is None and opened.cold_ticks is None and opened.escalations == ()
    assert machine.touched == [] and board.firmware is None


def test_other_firmware_is_replaced_and_every_phase_is_timed(machine, current, other):
    Device(machine, LEFT, "ttyACM0", other, flashed=current)
    with opened_on(machine, plugged=by_serial()) as opened:
        assert opened.comparison().mismatches == 0
        assert Path(opened.port).name == "ttyBack"
        assert opened.cold_ticks is not None
        report = opened.flash
    assert [phase.name for phase in report.phases] == ["touch", "bootloader", "upload", "port"]
    seconds = [phase.seconds for phase in report.phases]
    assert seconds == pytest.approx([0.4, 0.5, 6.0, 1.5], abs=0.25)
    assert report.retries == 0 and "touch 0.4" in str(report)


def test_uploading_and_inference_are_told_one_after_the_other(machine, current, other):
    told = []

    @contextmanager
    def progress(what, total=None):
        told.append((what.partition(", ")[0], total))
        yield lambda count: told.append(count)

    Device(machine, LEFT, "ttyACM0", other, flashed=current)
    with opened_on(machine, plugged=by_serial(), progress=progress) as opened:
        opened.dut.infer(SINE.goldens.inputs)
    assert told[0] == ("nano: uploading", None)
    assert told[1:3] == [("nano: inference", 1), 1]
    assert told[3] == ("nano: inference", 256) and sum(told[4:]) == 256


def test_two_identical_boards_one_plugged_in_during_the_flash(machine, current, other):
    # The right board appears after the touch, before the left one's bootloader: first and new.
    left = Device(machine, LEFT, "ttyACM0", other, flashed=current)
    rights = []
    left.on_touch = lambda: rights.append(Device(machine, RIGHT, "ttyACM1", other))
    with opened_on(machine, plugged=by_serial()) as opened:
        assert opened.comparison().mismatches == 0
        assert opened.port == left.port.path
    (right,) = rights
    assert left.firmware is not None and right.firmware is None
    assert machine.touched == ["ttyACM0"]


def test_two_identical_boards_one_in_its_bootloader_meanwhile(machine, current, other):
    left = Device(machine, LEFT, "ttyACM0", other, flashed=current)
    right = Device(machine, RIGHT, "ttyACM1", None, in_bootloader=True)
    with opened_on(machine, plugged=by_serial()) as opened:
        assert opened.port == left.port.path
    assert left.firmware is not None and right.firmware is None


def test_the_old_name_is_taken_by_the_other_board_meanwhile(machine, current, other):
    left = Device(machine, LEFT, "ttyACM0", other, flashed=current)
    rights = []
    left.on_touch = lambda: rights.append(Device(machine, RIGHT, "ttyACM0", other))
    with opened_on(machine, plugged=by_serial()) as opened:
        assert Path(opened.port).name == "ttyBack"
    assert rights[0].firmware is None and machine.touched == ["ttyACM0"]


@pytest.mark.parametrize("name", ["ttyACM0", "ttyACM7"])
def test_a_port_away_for_8_seconds_is_found_under_any_name(machine, current, other, name):
    Device(machine, LEFT, "ttyACM0", other, flashed=current, back_name=name, back_s=8.0)
    with opened_on(machine, plugged=by_serial()) as opened:
        assert Path(opened.port).name == name
        assert opened.comparison().mismatches == 0
        assert opened.flash.phases[-1].seconds == pytest.approx(8.0, abs=0.5)


def test_a_port_that_never_comes_back_is_one_error_that_says_what_to_try(machine, other):
    Device(machine, LEFT, "ttyACM0", other, back_name=None)
    with pytest.raises(FlashFailed) as caught, opened_on(machine, plugged=by_serial()):
        raise AssertionError("opened")
    assert caught.value.phase == "port"
    text = str(caught.value)
    assert "did not come back within 10 s" in text and LEFT.lower() in text
    assert "board nano" in text and "ttyBoot" in text
    assert "Unplug" in text and "double tap" in text
    # Both locks are free.
    with hold("nano", timeout_s=0), hold_uploads("nano", timeout_s=0):
        pass


def test_a_flash_is_tried_once_more_counted_with_its_reason(machine, current, other):
    Device(machine, LEFT, "ttyACM0", other, flashed=current, bootloader_names=(None, "ttyBoot"))
    with opened_on(machine, plugged=by_serial()) as opened:
        report = opened.flash
    assert machine.touched == ["ttyACM0", "ttyACM0"]
    assert report.retries == 1
    assert "bootloader did not appear within 5 s" in report.failures[0]
    assert "1 retry, since at first the board's bootloader" in str(report)


def test_a_second_failure_tells_of_the_first(machine, other):
    Device(machine, LEFT, "ttyACM0", other, bootloader_names=(None, None))
    with pytest.raises(FlashFailed, match="bootloader did not appear") as caught:
        with opened_on(machine, plugged=by_serial(deadlines=Deadlines(bootloader_s=3))):
            raise AssertionError("opened")
    assert "within 3 s" in caught.value.what
    assert "Tried 2 times; at first: the board's bootloader" in caught.value.hint
    assert machine.now == pytest.approx(2 * 3.4, abs=1)


def test_a_board_found_in_its_bootloader_is_flashed_without_a_touch(machine, current):
    """As a killed upload leaves it."""
    Device(machine, LEFT, "ttyACM0", None, flashed=current, in_bootloader=True)
    with opened_on(machine, plugged=by_serial()) as opened:
        assert [phase.name for phase in opened.flash.phases] == ["upload", "port"]
    assert machine.touched == []


def test_an_upload_killed_by_kill_9_is_made_good_by_the_next_run(machine, current, other):
    Device(machine, LEFT, "ttyACM0", other, flashed=current)

    def killed(*_):
        raise SystemExit

    with pytest.raises(SystemExit), opened_on(machine, plugged=by_serial(), upload=killed):
        raise AssertionError("opened")
    assert [Path(port.path).name for port in machine.listing()] == ["ttyBoot"]
    with opened_on(machine, plugged=by_serial()) as opened:
        assert opened.comparison().mismatches == 0
    assert machine.touched == ["ttyACM0"]


def test_other_firmware_after_the_upload_is_stale(machine, other):
    Device(machine, LEFT, "ttyACM0", other, flashed=other)
    with pytest.raises(StaleFirmware, match="model SHA-256") as caught:
        with opened_on(machine, plugged=by_serial()):
            raise AssertionError("opened")
    assert "uploaded just now" in caught.value.hint and "ttyBack" in str(caught.value)


def test_never_refuses_other_firmware_and_touches_nothing(machine, other):
    Device(machine, LEFT, "ttyACM0", other)
    with pytest.raises(StaleFirmware, match="hil flash --board nano"):
        with opened_on(machine, plugged=by_serial(), flash="never"):
            raise AssertionError("opened")
    assert machine.touched == [] and machine.now == 0


def test_never_leaves_a_bootloader_alone(machine):
    Device(machine, LEFT, "ttyACM0", None, in_bootloader=True)
    with pytest.raises(StaleFirmware, match="in its bootloader"):
        with opened_on(machine, plugged=by_serial(), flash="never"):
            raise AssertionError("opened")


def test_always_uploads_the_very_build_too(machine, current):
    board = Device(machine, LEFT, "ttyACM0", current, flashed=current)
    with opened_on(machine, plugged=by_serial(), flash="always") as opened:
        assert opened.flash is not None
    assert board.firmware is not None


def test_a_silent_board_is_flashed(machine, current, silent):
    """Fresh from the factory it runs something that never heard of HELLO."""
    Device(machine, LEFT, "ttyACM0", silent, flashed=current)
    with opened_on(machine, plugged=by_serial()) as opened:
        assert opened.flash is not None and opened.escalations == ()


def test_a_setup_that_failed_in_another_build_is_cured_by_an_upload(machine, current):
    with setup_failed("00" * 16) as failed:
        Device(machine, LEFT, "ttyACM0", failed, flashed=current)
        with opened_on(machine, plugged=by_serial()) as opened:
            assert opened.flash is not None


def test_a_setup_that_failed_in_the_very_build_is_not_uploaded_again(machine):
    with setup_failed(virtual_build_id(SINE.sha256)) as failed:
        Device(machine, LEFT, "ttyACM0", failed)
        with pytest.raises(ModelRefused, match="answered setup with arena_too_small"):
            with opened_on(machine, plugged=by_serial()):
                raise AssertionError("opened")
    assert machine.touched == []


def test_a_board_without_rig_file_is_found_by_its_usb_id(machine, current):
    Device(machine, LEFT, "ttyACM0", current)
    with opened_on(machine) as opened:
        assert Path(opened.port).name == "ttyACM0"


def test_a_neighbours_port_is_not_this_boards(machine, current, other):
    Device(machine, LEFT, "ttyACM0", current)
    Device(machine, RIGHT, "ttyACM1", other)
    claimed = Plugged(id="right", kind="nano", serial_number=RIGHT)
    with opened_on(machine, neighbours=(claimed,)) as opened:
        assert Path(opened.port).name == "ttyACM0"


def test_several_boards_that_fit_are_listed_with_lines_to_paste(machine, current, other):
    Device(machine, LEFT, "ttyACM0", current)
    Device(machine, RIGHT, "ttyACM1", other)
    with pytest.raises(BoardNotFound, match="2 ports have the USB id 2341:805a") as caught:
        with opened_on(machine):
            raise AssertionError("opened")
    text = str(caught.value)
    assert "ttyACM0" in text and "ttyACM1" in text and RIGHT in text
    assert f'[boards.nano]\nserial_number = "{LEFT}"' in text and "--hil-port nano=" in text


def test_a_port_option_goes_before_the_rig_file(machine, current, other):
    Device(machine, LEFT, "ttyACM0", other)
    Device(machine, RIGHT, "ttyACM1", current)
    port = str(machine.folder / "ttyACM1")
    numbered = by_serial(LEFT, power=HubPort(uhubctl="serial_number"))  # Not of this port.
    with opened_on(machine, plugged=numbered, port=port) as opened:
        assert opened.port == port


def test_what_a_serial_number_or_a_place_finds_is_left_out_where_a_port_is_given():
    numbered = by_serial(LEFT, power=HubPort(uhubctl="serial_number"))
    assert numbered.at_port("/dev/ttyACM1").power is None
    of_hub = by_serial(LEFT, power=HubPort(uhubctl="1-1", port=2))
    assert of_hub.at_port("/dev/ttyACM1").power == of_hub.power
    shared = Plugged(
        id="nano", kind="nano", place="left", upload=FarUpload(command=("flash", "{elf}"))
    )
    assert shared.at_port("rfc2217://lab:1").upload == shared.upload
    assert shared.at_port("/dev/ttyACM1").upload is None


def test_a_link_of_dev_serial_is_resolved_before_anything_uploads(machine, current, other):
    device = Device(machine, LEFT, "ttyACM0", other, flashed=current)
    link = "/dev/serial/by-id/usb-Arduino_Nano_33_BLE-if00"
    machine.plug(replace(device.port, links=(link,)), None)
    uploaded = []

    def upload(board, firmware, port, timeout_s):
        uploaded.append(Path(port.path).name)
        machine.upload(board, firmware, port, timeout_s)

    with opened_on(machine, port=link, upload=upload) as opened:
        assert opened.comparison().mismatches == 0
    assert uploaded == ["ttyBoot"]


PICO = replace(NANO, usb=("2341:805a",), bootloader_port=False)


def test_a_bootloader_without_a_port_is_uploaded_to_once_the_port_is_gone(machine, current, other):
    """The RP2040's is a disk."""
    Device(machine, LEFT, "ttyACM0", other, flashed=current, bootloader_names=("",))
    with opened_on(machine, board=PICO, plugged=by_serial()) as opened:
        assert [phase.name for phase in opened.flash.phases] == [
            *("touch", "bootloader", "upload", "port")
        ]
        assert opened.comparison().mismatches == 0


def test_a_touch_without_effect_is_told_where_the_bootloader_has_no_port(machine, other):
    Device(machine, LEFT, "ttyACM0", other, bootloader_names=(None, None))
    with pytest.raises(FlashFailed, match="did not leave its port within 5 s of the touch"):
        with opened_on(machine, board=PICO, plugged=by_serial()):
            raise AssertionError("opened")


UART = replace(NANO, touch_baud=None, bootloader_usb=(), usb=("10c4:ea60",))
SOCKET = "/dev/serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0"


def uart_port(machine, name):
    path = str(machine.folder / name)
    return SerialPort(path=path, usb="10c4:ea60", serial_number="0001", links=(SOCKET,))


def test_a_board_without_serial_number_is_found_by_its_socket(machine, current):
    """CP2102 bridges are sold with one serial number for all."""
    machine.plug(uart_port(machine, "ttyUSB3"), current)
    twin = replace(uart_port(machine, "ttyUSB4"), links=())
    machine.plug(twin, None)
    by_path = Plugged(id="nano", kind="nano", port=SOCKET)
    with opened_on(machine, board=UART, plugged=by_path) as opened:
        assert Path(opened.port).name == "ttyUSB3"
    with pytest.raises(BoardNotFound, match="2 ports have serial number 0001") as caught:
        with opened_on(machine, board=UART, plugged=by_serial("0001")):
            raise AssertionError("opened")
    assert f'port = "{SOCKET}"' in caught.value.hint


def test_a_board_without_touch_is_uploaded_to_where_it_is(machine, current, other):
    machine.plug(uart_port(machine, "ttyUSB3"), other)

    def upload(board, firmware, port, timeout_s):
        Path(port.path).unlink()
        Path(port.path).symlink_to(current)

    by_path = Plugged(id="nano", kind="nano", port=SOCKET)
    with opened_on(machine, board=UART, plugged=by_path, upload=upload) as opened:
        assert [phase.name for phase in opened.flash.phases] == ["upload", "port"]
    assert machine.touched == []


def test_a_lost_port_is_found_again_under_another_name_in_mid_run(machine, current):
    Device(machine, LEFT, "ttyACM0", current)
    with opened_on(machine, plugged=by_serial()) as opened:
        moved = replace(machine.listing()[0], path=str(machine.folder / "ttyACM5"))
        machine.unplug(opened.port)
        machine.after(4.0, lambda: machine.plug(moved, current))
        opened.dut.link._stream.close()
        assert opened.comparison().mismatches == 0
        assert opened.dut.link.stats.reconnects == 1
        assert Path(opened.port).name == "ttyACM5"


def test_a_board_that_is_pulled_out_for_good_is_waited_for_once(machine, current):
    Device(machine, LEFT, "ttyACM0", current)
    with opened_on(machine, plugged=by_serial()) as opened:
        machine.unplug(opened.port)
        opened.dut.link._stream.close()
        before, port_s = machine.now, Deadlines().port_s
        with pytest.raises(PortLost) as lost:
            opened.comparison()
        with pytest.raises(BoardSilent, match="open the port again: failed: the bo"):
            opened.recover_in_run(lost.value)
        assert port_s <= machine.now - before < 1.5 * port_s


def power(machine, command, **deadlines):
    return by_serial(power_cycle=command, deadlines=Deadlines(**deadlines))


def test_a_silent_board_is_power_cycled_and_every_step_is_told(machine, current, silent, tmp_path):
    device = Device(machine, LEFT, "ttyACM0", silent)
    path = shlex.quote(device.port.path)
    command = f"ln -sfn {current} {path}"
    with opened_on(machine, plugged=power(machine, command), flash="never") as opened:
        assert opened.comparison().mismatches == 0
        steps = [str(step) for step in opened.escalations]
    assert [step.partition(":")[0] for step in steps] == [
        "resync and HELLO",
        "open the port again",
        "RESET request",
        f"power cycle ({command})",
    ]
    assert "no reply to HELLO" in steps[1] and steps[-1].endswith("it answers")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", "power cycle (true): its port never went away: did `true` do it?; no reply to"),
        ("echo no hub >&2; false", "failed: power-cycle command ended with status 1"),
        ("sleep 60", "failed: power-cycle command took longer than 0.3 s"),
    ],
)
def test_a_board_that_nothing_brings_back_is_one_error_with_all_steps(
    machine, silent, command, said
):
    Device(machine, LEFT, "ttyACM0", silent)
    with pytest.raises(BoardSilent) as caught:
        with opened_on(machine, plugged=power(machine, command, power_s=0.3), flash="never"):
            raise AssertionError("opened")
    assert said in str(caught.value) and "board nano" in str(caught.value)
    assert isinstance(caught.value.__cause__, LinkTimeout)


def test_lines_that_a_port_lacks_are_a_step_that_failed(machine, silent):
    machine.plug(uart_port(machine, "ttyUSB3"), silent)
    by_path = Plugged(id="nano", kind="nano", port=SOCKET)
    with pytest.raises(BoardSilent, match="reset by DTR and RTS: failed: cannot switch DTR"):
        with opened_on(machine, board=UART, plugged=by_path, flash="never"):
            raise AssertionError("opened")


def test_a_board_that_breaks_in_mid_run_is_brought_back_by_the_same_steps(machine, current, silent):
    device = Device(machine, LEFT, "ttyACM0", current)
    path = shlex.quote(device.port.path)
    plugged = power(machine, f"ln -sfn {current} {path}")
    with opened_on(machine, plugged=plugged, flash="never") as opened:
        Path(device.port.path).unlink()
        Path(device.port.path).symlink_to(silent)
        opened.dut.link.reopen()
        with pytest.raises(LinkTimeout) as broken:
            opened.dut.greet(LinkOptions(timeout_s=0.1, silent_attempts=1))
        steps = opened.recover(broken.value)
        assert steps[-1].action.startswith("power cycle") and opened.escalations == steps
        assert opened.comparison().mismatches == 0


def test_an_emulated_board_is_reset_as_a_whole(monkeypatch):
    monkeypatch.setattr("harness.rig.open.Builder", Builder)
    with open_board(load_registry()["qemu-m4"], SINE, PROJECT, RigOptions()) as opened:
        where = opened.dut.link.where
        error = LinkTimeout(where=where, in_flight="INFER", timeout_s=1, attempts=1, received=b"")
        steps = opened.recover(error)
        assert [step.action for step in steps] == ["resync and HELLO", "system_reset of QEMU"]
        assert opened.comparison().mismatches == 0


def test_a_board_that_dropped_off_the_bus_is_power_cycled_once(machine, current, tmp_path):
    marker = tmp_path / "cycled"
    machine.after(2.0, lambda: Device(machine, LEFT, "ttyACM0", current))
    plugged = power(machine, f"echo cycled >> {marker}")
    with opened_on(machine, plugged=plugged, flash="never") as opened:
        assert opened.comparison().mismatches == 0
        assert str(opened.escalations[-1]).endswith("it appeared")
    assert marker.read_text() == "cycled\n"


def test_power_is_cycled_between_two_tries_of_a_flash(machine, current, other, tmp_path):
    marker = tmp_path / "cycled"
    Device(machine, LEFT, "ttyACM0", other, flashed=current, bootloader_names=(None, "ttyBoot"))
    with opened_on(machine, plugged=power(machine, f"echo cycled >> {marker}")) as opened:
        assert opened.flash.retries == 1
    assert marker.read_text() == "cycled\n"


def test_a_board_that_is_not_there_is_named_with_what_is(machine, other):
    Device(machine, RIGHT, "ttyACM1", other)
    with pytest.raises(BoardNotFound, match=f"no port has serial number {LEFT}") as caught:
        with opened_on(machine, plugged=by_serial()):
            raise AssertionError("opened")
    assert RIGHT in str(caught.value) and not caught.value.several


def test_another_upload_on_this_machine_is_waited_for(machine, other):
    Device(machine, LEFT, "ttyACM0", other)
    with hold_uploads("right", timeout_s=0):
        with pytest.raises(BoardBusy, match="an upload is under way by"):
            with opened_on(machine, plugged=by_serial(), lock_timeout_s=0.1):
                raise AssertionError("opened")
    assert machine.touched == []


def test_a_far_board_is_never_flashed_from_here(machine):
    plugged = Plugged(id="nano", kind="nano", port="socket://127.0.0.1:9")
    with pytest.raises(FlashFailed, match="nothing says how to upload through a URL"):
        with opened_on(machine, plugged=plugged, flash="always"):
            raise AssertionError("opened")
    with pytest.raises(StartFailed, match="cannot open the port"):
        with opened_on(machine, plugged=plugged):
            raise AssertionError("opened")


@pytest.fixture
def hil(machine, monkeypatch):
    """`hil` in this process, on the scripted machine."""
    scripted = partial(open_board, bench=machine.bench, upload=machine.upload)
    monkeypatch.setattr("harness.cli.work.open_board", scripted)
    monkeypatch.setattr("harness.cli.work.load_registry", lambda: Registry((NANO,)))
    return lambda *arguments: main(list(arguments))


def test_hil_flash_uploads_and_prints_the_phases(hil, machine, current, capsys):
    Device(machine, LEFT, "ttyACM0", current, flashed=current, bootloader_names=(None, "ttyBoot"))
    assert hil("flash", "--board", "nano") == 0
    said = capsys.readouterr()
    assert "touch 0.4, bootloader 5.0, touch 0.4" in said.err and "1 retry" in said.err
    assert f"ttyBack runs build {virtual_build_id(SINE.sha256)}" in said.out


def test_hil_infer_never_flashes_if_told_so(hil, machine, other, capsys):
    Device(machine, LEFT, "ttyACM0", other)
    assert hil("infer", "1.5", "--board", "nano", "--flash", "never") == Outcome.STALE.exit_status
    assert "hil flash --board nano" in capsys.readouterr().err
    assert machine.touched == []


@pytest.fixture
def taking(tmp_path):
    """A pty whose board runs firmware for two models, and those models."""
    models = [SINE, resolve_model("linear", PROJECT.artifacts)]
    plan = plan_swap(models)
    with VirtualProcess(plan.own, Faults(), where=Where(board="nano"), swap=plan) as process:
        process.stream.close()
        yield process.port


@needs_wheel
def test_firmware_for_several_models_is_flashed_once_and_used_by_what_comes_later(
    hil, machine, other, taking, capsys, monkeypatch, tmp_path
):
    monkeypatch.setattr("harness.rig.flashed._path", lambda state, board: tmp_path / board)
    Device(machine, LEFT, "ttyACM0", other, flashed=taking)
    assert hil("flash", "--board", "nano", "--model", "sine,linear") == 0
    assert "which takes sine_int8, linear_int8" in capsys.readouterr().out
    machine.touched.clear()
    infer = ("infer", "1.5", "--board", "nano", "--model")
    for model, answer in (("linear", "2.06"), ("sine", "0.97")):
        for flash in ("auto", "never"):
            assert hil(*infer, model, "--flash", flash) == 0
            assert capsys.readouterr().out.startswith(answer)
    assert machine.touched == []
    # The model's own firmware is asked for.
    words = ("sine", "--flash", "never", "--swap", "never")
    assert hil(*infer, *words) == Outcome.STALE.exit_status


def test_a_board_has_one_firmware(hil, machine, capsys):
    words = ("flash", "--board", "nano", "--model", "sine", "linear")
    assert hil(*words, "--swap", "never") == 2
    assert "a board has one firmware, and that of 2 models takes them" in capsys.readouterr().err
