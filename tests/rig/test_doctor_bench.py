"""What doctor says of a rig, from machines described here; and one look at the real one."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.board.ports import SerialPort
from harness.board.registry import Board, Registry, load_registry
from harness.board.rigfile import RigFile, parse_rig
from harness.board.udev import brltty_rules, brltty_takes, udev_rules
from harness.pool.answers import Place
from harness.pool.hold import Pool
from harness.project import Project, find_project
from harness.rig.doctor import Finding, examine
from harness.rig.doctor_bench import _install_rules, examine_rig, judge_machine
from harness.rig.doctor_machine import Fleet, Machine, answers, find_packages, find_tflm
from harness.rig.doctor_pool import PoolSeen, look_at_pool

GUIDE = Path(__file__).parents[2] / "docs" / "rig.md"
APPLICATION, BOOTLOADER, BRIDGE = "1209:805a", "1209:005a", "1209:ea60"
RIG = """
[boards.nano]
serial_number = "90D66F9F72EDDCB5"
power_cycle = "uhubctl -a cycle -l 1-1 -p 2"

[boards.esp]

[boards.far]
kind = "nano"
port = "rfc2217://bench:4000"
"""


def board(board_id: str, **changes: Any) -> Board:
    """A real board of the registry."""
    return replace(
        load_registry()["virtual"],
        id=board_id,
        kind=board_id,
        attachment="serial",
        env={"tflm": f"{board_id}-tflm"},
        **changes,
    )


NANO = board("nano", usb=(APPLICATION,), bootloader_usb=(BOOTLOADER,))
REGISTRY = Registry((*load_registry().boards, NANO, board("esp", usb=(BRIDGE,))))
FLEET = Fleet(file=parse_rig(RIG, REGISTRY, Path("rig.toml")), registry=REGISTRY)
NO_RIG = Fleet(file=parse_rig("", REGISTRY), registry=REGISTRY)
NANO_PORT = SerialPort(path="/dev/ttyACM0", usb=APPLICATION, serial_number="90D66F9F72EDDCB5")
ESP_PORT = SerialPort(path="/dev/ttyUSB0", usb=BRIDGE, serial_number="0001")
HEALTHY = Machine(
    user="ci",
    groups=frozenset({"ci", "dialout"}),
    ports=(NANO_PORT, ESP_PORT),
    shut=frozenset(),
    rules=udev_rules(REGISTRY),
    brltty={},
    processes=frozenset({"bash", "ModemManager", "Runner.Listener"}),
    programs=frozenset({"uhubctl"}),
    answering=frozenset({"rfc2217://bench:4000"}),
    absent_packages=(),
    online=False,
    tflm="/opt/tflm",
    pool=PoolSeen(program="/opt/labgrid-client", version="26.0.1", places=()),
)


def finding(point: str, fleet: Fleet = FLEET, **changes: Any) -> Finding:
    """What is said of one point, on the healthy machine with these changes."""
    (found,) = (f for f in judge_machine(fleet, replace(HEALTHY, **changes)) if f.point == point)
    return found


def test_a_healthy_rig_has_nothing_to_cure() -> None:
    findings = judge_machine(FLEET, HEALTHY)
    assert [item for item in findings if not item.ok] == []
    assert {"board nano", "board esp", "board far"} <= {item.point for item in findings}


@pytest.mark.parametrize(
    ("point", "changes", "said"),
    [
        (
            "serial permission",
            {"shut": frozenset({"/dev/ttyACM0"})},
            "ci may not open /dev/ttyACM0",
        ),
        ("serial permission", {"ports": (), "groups": frozenset({"ci"})}, "not root or in group"),
        ("udev rules", {"rules": None}, "not installed"),
        ("udev rules", {"rules": "# of last year"}, "another version"),
        ("ModemManager", {"rules": None}, "sends AT commands"),
        ("power switching", {"programs": frozenset()}, "uhubctl not found, for board nano"),
        ("board nano", {"ports": (ESP_PORT,)}, "no port has serial number 90D66F9F72EDDCB5"),
        ("board nano", {"ports": ()}, "no port has serial number 90D66F9F72EDDCB5"),
        (
            "board nano",
            {"ports": (replace(NANO_PORT, usb=BOOTLOADER),)},
            "in its bootloader on /dev/ttyACM0",
        ),
        (
            "board esp",
            {"ports": (ESP_PORT, replace(ESP_PORT, path="/dev/ttyUSB1"))},
            "2 ports have the USB id 1209:ea60",
        ),
        ("board far", {"answering": frozenset()}, "nothing at rfc2217://bench:4000"),
        (
            "PlatformIO packages",
            {"absent_packages": ("nano-tflm: toolchain",)},
            "no network to fetch: nano-tflm: toolchain",
        ),
        ("TFLM library", {"tflm": None}, "not found, and no network; for nano, esp, far"),
    ],
)
def test_what_a_rig_lacks_is_missing_with_its_cure(
    point: str, changes: dict[str, Any], said: str
) -> None:
    found = finding(point, **changes)
    assert not found.ok and found.needed and found.cure
    assert said in found.detail


def test_what_no_board_needs_is_absent_not_missing() -> None:
    bare = replace(
        HEALTHY,
        groups=frozenset(),
        ports=(),
        rules=None,
        programs=frozenset(),
        processes=frozenset({"ModemManager"}),
        tflm=None,
    )
    absent = [item for item in judge_machine(NO_RIG, bare) if not item.ok]
    assert {item.point for item in absent} >= {"serial permission", "udev rules", "ModemManager"}
    assert [item.point for item in absent if item.needed] == []


def test_modem_manager_that_does_not_run_harms_nobody() -> None:
    assert finding("ModemManager", rules=None, processes=frozenset()).ok


BRLTTY = Path("/lib/udev/rules.d/85-brltty.rules")


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        ('ENV{PRODUCT}=="1209/EA60/*", ENV{BRLTTY_BRAILLE_DRIVER}="sk"', ["1209:ea60"]),
        ('ENV{PRODUCT}=="1209/805a/*", GOTO="run"\nENV{PRODUCT}=="1209/ea60/*"', None),
        ('ENV{PRODUCT}=="403/6001/*"\nENV{PRODUCT}=="1209/ea601/*"', []),
        ('# ENV{PRODUCT}=="1209/ea60/*", GOTO="run"', []),
        ("", []),
    ],
)
def test_brltty_takes_the_ports_of_bridges_that_its_rules_name(
    rules: str, taken: list[str] | None
) -> None:
    found = finding("brltty", brltty={BRLTTY: rules})
    if taken == []:
        assert found.ok
        return
    assert not found.ok and found.needed and "85-brltty.rules" in (found.cure or "")
    assert ", ".join(taken or ["1209:805a", "1209:ea60"]) in found.detail


def test_brltty_rules_that_are_masked_take_nothing(tmp_path: Path) -> None:
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    for folder in (etc, lib):
        folder.mkdir()
    (lib / "85-brltty.rules").write_text("x")
    assert brltty_rules((etc, lib)) == {lib / "85-brltty.rules": "x"}
    (lib / "85-brltty.rules").write_text('ENV{PRODUCT}=="1a86/7523/*"')
    assert "takes 1a86:7523 for a braille" in brltty_takes(("0403:6001", "1a86:7523"), (etc, lib))
    (etc / "85-brltty.rules").symlink_to("/dev/null")
    assert brltty_rules((etc, lib)) == {etc / "85-brltty.rules": ""}
    assert brltty_takes(("1a86:7523",), (etc, lib)) == ""


def test_what_a_network_can_fetch_is_no_lack() -> None:
    absent = ("nano-tflm: toolchain",)
    assert finding("PlatformIO packages", absent_packages=absent, online=True).ok
    assert finding("TFLM library", tflm=None, online=True).ok


def test_bootloader_is_known_by_a_serial_number_with_zeros_before_it() -> None:
    padded = replace(NANO_PORT, usb=BOOTLOADER, serial_number="0000000090d66f9f72eddcb5")
    assert "in its bootloader" in finding("board nano", ports=(padded,)).detail


def test_a_rig_file_that_cannot_be_read_is_a_point_of_its_own(tmp_path: Path) -> None:
    wrong = tmp_path / "rig.toml"
    wrong.write_text("[boards.nano34]\n")
    findings = examine_rig(wrong, REGISTRY, find_project(), None)
    (said,) = (item for item in findings if item.point == "rig file")
    assert not said.ok and said.needed and "nano34" in said.detail


def test_a_port_answers_if_it_exists_or_a_server_listens(tmp_path: Path) -> None:
    assert answers(str(tmp_path)) and not answers(str(tmp_path / "none"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rfc2217://127.0.0.1:{server.getsockname()[1]}"
        assert answers(url)
    assert not answers(url) and not answers("socket://nohost")
    assert not answers("socket://[::1") and not answers("/" + "a" * 5000)


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("uhubctl -a cycle", "uhubctl"),
        ("HUB=1-1 ./cycle.sh", "./cycle.sh"),
        ("curl x # don't wait", "curl"),
        ("echo 'x", "echo"),
    ],
)
def test_the_program_of_a_power_cycle_is_looked_for(command: str, program: str) -> None:
    text = f"[boards.nano]\nserial_number = '1'\npower_cycle = {json.dumps(command)}\n"
    fleet = Fleet(file=parse_rig(text, REGISTRY), registry=REGISTRY)
    found = finding("power switching", fleet, programs=frozenset({program}))
    assert (found.ok, found.detail) == (True, program)
    assert f"{program} not found" in finding("power switching", fleet, programs=frozenset()).detail


def test_platformio_says_which_packages_are_absent(tmp_path: Path) -> None:
    (tmp_path / "platformio.ini").write_text("[env:x]\nplatform = nosuch@1.2.3\n")
    project = Project(root=tmp_path, state=tmp_path / "state")
    ((absent,), _) = find_packages(project, ["x"])
    assert absent.startswith("x: ") and "nosuch@1.2.3" in absent


def test_emulated_boards_need_no_packages_from_elsewhere(tmp_path: Path) -> None:
    project = replace(find_project(), state=tmp_path)
    assert find_packages(project, ["qemu-m4-aot"])[0] == ()


def test_tflm_is_found_in_the_folder_given_or_where_a_build_put_it(tmp_path: Path) -> None:
    project = Project(root=tmp_path, state=tmp_path / "state")
    fetched = tmp_path / "state" / "build" / "nano" / "pio" / "libdeps" / "nano" / "Library"
    assert find_tflm(None, project) is None and find_tflm(tmp_path, project) is None
    header = fetched / "src" / "tensorflow" / "lite" / "micro" / "micro_interpreter.h"
    header.parent.mkdir(parents=True)
    header.touch()
    assert find_tflm(None, project) == str(fetched)
    assert find_tflm(fetched / "src", project) == str(fetched / "src")
    assert find_tflm(tmp_path, project) is None


def test_every_point_that_the_guide_promises_is_checked_and_the_other_way_round() -> None:
    told = re.findall(r"Doctor: (.*?)\.(?:\n|$)", GUIDE.read_text(), re.DOTALL)
    promised = {name for names in told for name in re.findall(r"\*\*(.+?)\*\*", names)}
    checked = {item.point for item in [*examine(find_project()), *judge_machine(FLEET, HEALTHY)]}
    boards = {name for name in checked if name.startswith("board ")}
    # A rig trains nothing.
    assert promised == checked - boards - {"tensorflow"} | {"board ID"}


POOLED = Fleet(
    file=parse_rig('[boards.nano]\nplace = "board=nano"', REGISTRY, Path("rig.toml")),
    registry=REGISTRY,
)
LEFT = Place(name="left", tags={"board": "nano"}, holder="desk/bob")
SEEN = PoolSeen(program="/opt/labgrid-client", version="26.0.1", places=(LEFT,))


def test_a_pool_is_needed_where_a_board_is_a_place_of_one() -> None:
    said = finding("labgrid coordinator", POOLED, pool=SEEN)
    assert said.ok and said.needed and said.detail == "1 places, 0 free"
    assert finding("labgrid", POOLED, pool=SEEN).detail == "26.0.1, /opt/labgrid-client"
    assert "left is held by desk/bob" in finding("board nano", POOLED, pool=SEEN).detail
    assert not finding("labgrid coordinator").needed and not finding("labgrid").needed
    unused = finding("labgrid coordinator", pool=replace(SEEN, places=None))
    assert "not asked: no board of the rig is a place" in unused.detail


@pytest.mark.parametrize(
    ("point", "changes", "said"),
    [
        ("labgrid", {"program": None}, "labgrid-client not found"),
        ("labgrid coordinator", {"places": None, "problem": "gone"}, "gone"),
        ("pyserial", {"fork": True}, "pyserial-labgrid has taken its place"),
        ("board nano", {"places": ()}, "the pool has no place board=nano"),
        ("board nano", {"places": None}, "the pool was not asked"),
    ],
)
def test_a_lack_of_the_pool_is_told(point: str, changes: dict[str, Any], said: str) -> None:
    found = finding(point, POOLED, pool=replace(SEEN, **changes))
    assert not found.ok and found.needed and said in found.detail


def test_a_pool_is_looked_at_by_its_own_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    absent = look_at_pool(Pool(), used=True)
    assert absent.program is None and not absent.fork
    programs = {"labgrid-client": "echo Could not connect to coordinator >&2; exit 1"}
    for name, text in {**programs, "python": "echo 26.0.1"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    gone = look_at_pool(Pool(coordinator="127.0.0.1:1"), used=True)
    assert gone.version == "26.0.1" and gone.places is None
    assert "127.0.0.1:1 is not reachable" in gone.problem
    assert look_at_pool(Pool(), used=False).problem == ""


def test_rules_for_boards_that_the_rig_file_says_all_of_are_printed_with_it() -> None:
    own = RigFile(path=Path("/rigs/a b.toml"), own=(replace(REGISTRY["virtual"], id="mine"),))
    assert "hil udev --rig '/rigs/a b.toml' | sudo" in _install_rules(
        Fleet(file=own, registry=REGISTRY)
    )
    assert "hil udev | sudo" in _install_rules(NO_RIG)
