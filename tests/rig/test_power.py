"""Power, switched and seen to be: a program in uhubctl's place, ports that come and go with it."""

import json
import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.bench import NANO, Device, Machine

from harness.board.ports import SerialPort
from harness.board.power import HubPort, hub_port
from harness.board.registry import load_registry
from harness.board.rigfile import Deadlines, Plugged, parse_rig
from harness.cli import EXIT_USAGE, main
from harness.errors import PowerFailed, RigError, ToolMissing, Where
from harness.link.faults import Faults
from harness.model.resolve import resolve_model
from harness.progress import no_progress
from harness.project import find_project
from harness.rig.power_switches import find_socket, remember_socket
from harness.rig.powercheck import check_power
from harness.rig.real import RealBoard
from harness.rig.virtual import VirtualProcess

SINE = resolve_model("sine", find_project().artifacts)

NUMBER, OTHER = "0A1B2C3D4E5F6071", "0A1B2C3D4E5F6072"

UHUBCTL = """#!/bin/sh
# As uhubctl 2.5.0 prints it; what the hub does is in the file {state}.
while [ "$#" -gt 1 ]; do case "$1" in
    --location) hub=$2 ;; --ports) port=$2 ;; --action) action=$2 ;;
esac; shift 2; done
echo "$hub $port $action" >> {state}.asked
[ "$hub" = {hub} ] || {{ echo "No compatible devices detected at location $hub!"; exit 1; }}
echo "Current status for hub $hub [2109:2813 VIA Labs USB2.0 Hub, USB 2.10, 4 ports, ppps]"
echo "  Port $port: 0103 power enable connect [2341:805a Arduino {number}]"
echo "Sent power $action request"
echo "New status for hub $hub [2109:2813 VIA Labs USB2.0 Hub, USB 2.10, 4 ports, ppps]"
if [ "$action" = off ] && [ {says} = off ]
then echo "  Port $port: 0000 off"; else echo "  Port $port: 0100 power"; fi
echo "$action" > {state}
"""


class Powered(Machine):
    """A machine whose devices are there while the hub gives them power.

    `lies`: the hub leaves the power on. `itself_s`: it turns it on again by itself. `ganged`:
    devices that lose their power too. `dies`: the board does not survive it.
    """

    def __init__(self, folder):
        super().__init__(folder)
        self.state = folder / "hub"
        self.lies = self.dies = self.dead = False
        self.itself_s = None
        self.ganged = ()
        self._since = None

    def hub(self, monkeypatch, *, says="off", hub="1-1"):
        program = self.folder / "bin" / "uhubctl"
        program.parent.mkdir()
        program.write_text(UHUBCTL.format(state=self.state, hub=hub, says=says, number=NUMBER))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    def asked(self):
        return self.state.with_name("hub.asked").read_text().split("\n")[:-1]

    def listing(self):
        listing = super().listing()
        off = self.state.exists() and self.state.read_text() == "off\n"
        if off and self._since is None:
            self._since = self.now
        again = off and self.itself_s is not None and self.now >= self._since + self.itself_s
        self.dead |= self.dies and off
        cut = not self.lies and (self.dead or (off and not again))
        dark = {NUMBER, *self.ganged} if cut else set()
        return tuple(port for port in listing if port.serial_number not in dark)


@pytest.fixture
def machine(tmp_path):
    return Powered(tmp_path)


def board_on(machine, tmp_path, *, power, socket="1-1.2", **plugged):
    """A board that is there, in a socket."""
    device = Device(machine, NUMBER, "ttyACM0", None)
    machine.unplug(device.port.path)
    device.port = replace(device.port, socket=socket)
    machine.plug(device.port, None)
    return real(machine, tmp_path, power=power, **plugged)


def real(machine, tmp_path, *, power, **plugged):
    return RealBoard(
        NANO,
        port=None,
        plugged=Plugged(id="nano", kind="nano", serial_number=NUMBER, power=power, **plugged),
        neighbours=(),
        where=Where(board="nano"),
        bench=machine.bench,
        upload=machine.upload,
        lock_timeout_s=1.0,
        progress=no_progress,
        sockets=tmp_path / "sockets",
    )


TWO = HubPort(uhubctl="1-1", port=2)


def test_a_power_cycle_is_seen_by_the_port_and_timed(machine, tmp_path, monkeypatch):
    machine.hub(monkeypatch)
    board = board_on(machine, tmp_path, power=TWO)
    assert board.power_name == "uhubctl, hub 1-1 port 2"
    cycled = board.power_cycle()
    assert cycled.gone_s is not None and cycled.back_s is not None and not cycled.problem
    assert str(cycled).startswith("its port went after 0.0 s, and was back after 0.0")
    assert machine.asked() == ["1-1 2 off", "1-1 2 on"] and machine.now == TWO.off_s


def test_a_hub_that_says_off_and_leaves_the_power_on_is_found_out(machine, tmp_path, monkeypatch):
    machine.hub(monkeypatch)
    machine.lies = True
    board = board_on(machine, tmp_path, power=TWO)
    with pytest.raises(PowerFailed, match="still there after 5 s: the power stayed on") as caught:
        board.power_cycle()
    assert "ttyACM0" in caught.value.what and "port_stays" in caught.value.hint
    assert machine.asked()[-1] == "1-1 2 on"  # Never left off.


def test_a_hub_that_turns_it_on_again_by_itself_is_told(machine, tmp_path, monkeypatch):
    machine.hub(monkeypatch)
    machine.itself_s = 1.0
    cycled = board_on(machine, tmp_path, power=TWO).power_cycle()
    assert "came back while the power was to be off" in cycled.problem


def test_a_ganged_hub_is_told_with_the_boards_that_it_took_along(machine, tmp_path, monkeypatch):
    machine.hub(monkeypatch)
    Device(machine, OTHER, "ttyACM1", None)
    machine.ganged = (OTHER,)
    cycled = board_on(machine, tmp_path, power=TWO).power_cycle()
    assert cycled.also_gone == (OTHER,) and f"these went too: {OTHER}" in str(cycled)


def test_a_board_that_does_not_come_back_is_told(machine, tmp_path, monkeypatch):
    machine.hub(monkeypatch)
    machine.dies = True
    board = board_on(machine, tmp_path, power=TWO, deadlines=Deadlines(port_s=3))
    with pytest.raises(PowerFailed, match="did not come back within 3 s of the power"):
        board.power_cycle()


def test_a_port_with_a_supply_of_its_own_is_not_waited_for(machine, tmp_path, monkeypatch):
    machine.hub(monkeypatch)
    machine.lies = True
    cycled = board_on(machine, tmp_path, power=replace(TWO, port_stays=True)).power_cycle()
    assert "not seen: its port has a supply of its own" in cycled.problem


@pytest.mark.parametrize(
    ("hub", "says", "what"),
    [
        ("1-2", "off", "uhubctl ended with status 1 for port 2 of hub 1-1"),
        ("1-1", "power", "could not switch port 2 of hub 1-1 off: it is 'power'"),
    ],
)
def test_a_hub_that_cannot_switch_is_told(machine, tmp_path, monkeypatch, hub, says, what):
    machine.hub(monkeypatch, hub=hub, says=says)
    with pytest.raises(RigError, match=what):
        board_on(machine, tmp_path, power=TWO).power_cycle()
    assert [words.rpartition(" ")[2] for words in machine.asked()] == ["off", "on"]


def test_without_uhubctl_its_package_is_named(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="uhubctl not found"):
        board_on(machine, tmp_path, power=TWO).power_cycle()


def test_the_socket_is_found_by_the_serial_number_and_remembered(machine, tmp_path, monkeypatch):
    machine.hub(monkeypatch, hub="1-1.4")
    by_number = HubPort(uhubctl="serial_number")
    board = board_on(machine, tmp_path, power=by_number, socket="1-1.4.3")
    assert board.port.serial_number == NUMBER  # Looked for as each run does.
    machine.unplug(board.port.path)  # It hangs, and dropped off the bus.
    machine.after(3.0, lambda: Device(machine, NUMBER, "ttyACM0", None))
    again = real(machine, tmp_path, power=by_number)
    assert again.port.serial_number == NUMBER and again.steps[-1].result == "it appeared"
    assert machine.asked() == ["1-1.4 3 off", "1-1.4 3 on"]


def test_another_device_in_the_remembered_socket_keeps_its_power(tmp_path):
    ours = SerialPort(path="/dev/a", usb="1:2", serial_number=NUMBER, socket="1-1.2")
    other = SerialPort(path="/dev/b", usb="1:2", serial_number=OTHER, socket="1-1.2")
    with pytest.raises(RigError, match="is not known"):
        find_socket(NUMBER, (other,), tmp_path, Where())
    remember_socket(tmp_path, ours)
    assert find_socket(NUMBER, (ours,), tmp_path, Where()) == ("1-1", 2)
    assert find_socket(NUMBER, (), tmp_path, Where()) == ("1-1", 2)
    with pytest.raises(RigError, match="another device is in the socket"):
        find_socket(NUMBER, (other,), tmp_path, Where())
    twin = replace(ours, path="/dev/c", socket="1-1.3")
    with pytest.raises(RigError, match=r"in the sockets 1-1\.2, 1-1\.3: which of them"):
        find_socket(NUMBER, (ours, twin), tmp_path, Where())


def test_a_socket_is_a_hub_and_a_port_of_it():
    assert hub_port("1-1.4.3") == ("1-1.4", 3) and hub_port("2-1") == ("2", 1)
    assert hub_port("") is None and hub_port("1-1;reboot") is None


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ('{ uhubctl = "1-1; reboot", port = 2 }', "must be a hub's location"),
        ('{ uhubctl = "1-1" }', "port must be the number of the hub's port"),
        ('{ uhubctl = "1-1", port = 0 }', "port must be the number of the hub's port"),
        ('{ uhubctl = "serial_number", port = 2 }', "leave it out"),
        ('{ uhubctl = "1-1", port = 2, off_s = 0 }', "off_s must be above 0"),
        ('{ uhubctl = "serial_number" }', "needs serial_number"),
        ('{ uhubctl = "1-1", port = 2 }\npower_cycle = "true"', "power or power_cycle, not both"),
    ],
)
def test_a_power_that_cannot_be_is_refused_by_the_rig_file(table, what):
    with pytest.raises(RigError, match=what):
        parse_rig(f"[boards.pico]\npower = {table}", load_registry())


def test_a_command_is_watched_while_it_runs(machine, tmp_path):
    state = json.dumps(str(machine.state))
    command = f"echo off > {state}; sleep 0.2; echo on > {state}"
    cycled = board_on(machine, tmp_path, power=None, power_cycle=command).power_cycle()
    assert cycled.gone_s is not None and cycled.back_s is not None and not cycled.problem
    nothing = real(machine, tmp_path, power=None, power_cycle="true").power_cycle()
    assert "its port never went away" in nothing.problem


@pytest.fixture(scope="module")
def ptys():
    """Ports of two virtual boards."""
    with ExitStack() as stack:
        served = []
        for _ in range(2):
            process = VirtualProcess(SINE, Faults(), where=Where(board="nano"))
            stack.enter_context(process)
            process.stream.close()
            served.append(process.port)
        yield served


def test_a_hub_that_cuts_the_data_lines_alone_is_found_out_by_the_session(
    machine, tmp_path, monkeypatch, ptys
):
    """Its port goes and comes back, as after a power cycle; the firmware never stopped."""
    machine.hub(monkeypatch)
    device = Device(machine, NUMBER, "ttyACM0", ptys[0])
    board = real(machine, tmp_path, power=TWO)
    found = check_power(board)
    assert not found.cycled.problem and not found.ok and "never lost its power" in found.board

    def start_anew():
        Path(device.port.path).unlink()
        Path(device.port.path).symlink_to(ptys[1])

    machine.after(1.0, start_anew)
    found = check_power(real(machine, tmp_path, power=TWO))
    assert found.ok and "forgotten the session" in found.board


def test_a_board_without_our_firmware_is_judged_by_its_port(machine, tmp_path, monkeypatch):
    machine.hub(monkeypatch)
    found = check_power(board_on(machine, tmp_path, power=TWO))
    assert found.ok and "was not asked" in found.board


def test_hil_power_says_what_cannot_be_switched(tmp_path, capsys):
    assert main(["power", "--board", "virtual"]) == EXIT_USAGE
    assert "has no power to switch" in capsys.readouterr().err
    rig = tmp_path / "rig.toml"
    rig.write_text(f'[boards.pico]\nport = "{tmp_path}/none"\n')
    assert main(["power", "--board", "pico", "--rig", str(rig)]) == 10
    assert 'power = { uhubctl = "1-1", port = 2 }' in capsys.readouterr().err
