"""The rules, read by a strict grammar and, where it is installed, by udevadm itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board.registry import Registry, load_registry
from harness.board.udev import RULES_FILE, udev_rules

# udev(7): keys of a match or an assignment, each followed by an operator and a quoted value.
_PAIR = re.compile(
    r"(?P<key>SUBSYSTEM|DRIVER|ATTRS?\{\w+\}|ENV\{\w+\}|MODE|GROUP|TAG|RUN)"
    r'(?P<operator>==|\+=|=)"(?P<value>[^"\\]*)"'
)
_MATCHES = {"SUBSYSTEM", "DRIVER", "ATTR", "ATTRS"}

Rule = list[tuple[str, str, str]]


def parse(text: str) -> list[Rule]:
    """Rules as (key, operator, value); anything that is none of them is an error."""
    rules = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            found = [_PAIR.fullmatch(pair) for pair in re.split(r", (?=[A-Z])", line)]
            assert all(found), line
            rules.append([(p["key"], p["operator"], p["value"]) for p in found if p])
    return rules


def matches(rule: Rule, vendor: str, product: str) -> bool:
    """Whether a tty of this USB device is meant."""
    wanted = {("ATTRS{idVendor}", "==", vendor), ("ATTRS{idProduct}", "==", product)}
    return wanted <= set(rule) and ("SUBSYSTEM", "==", "usb|tty") in rule


@pytest.fixture
def registry() -> Registry:
    """The boards, and two with ids of their own that share a bridge."""
    known = load_registry()
    plain = known["virtual"]
    return Registry(
        (
            *known.boards,
            replace(plain, id="nano", usb=("1209:805a",), bootloader_usb=("1209:005a",)),
            replace(plain, id="left", usb=("1209:ea60",)),
            replace(plain, id="right", usb=("1209:ea60",)),
        )
    )


def test_every_id_of_the_registry_has_one_rule(registry: Registry) -> None:
    rules = parse(udev_rules(registry))
    ids = {usb_id for board in registry.boards for usb_id in (*board.usb, *board.bootloader_usb)}
    assert {"1209:805a", "1209:005a", "1209:ea60"} <= ids
    for usb_id in ids:
        (rule,) = (rule for rule in rules if matches(rule, *usb_id.split(":")))
        assert ("MODE", "=", "0660") in rule and ("GROUP", "=", "dialout") in rule
        assert ("TAG", "+=", "uaccess") in rule
        assert ("ENV{ID_MM_DEVICE_IGNORE}", "=", "1") in rule


def test_rules_name_the_boards_they_are_for(registry: Registry) -> None:
    text = udev_rules(registry)
    assert "# left, right\n" in text and "# nano (bootloader)\n" in text


def test_keys_are_used_as_udev_allows(registry: Registry) -> None:
    for rule in parse(udev_rules(registry)):
        for key, operator, _ in rule:
            name = key.partition("{")[0]
            if name in _MATCHES:
                assert operator == "=="
            elif name in ("TAG", "RUN"):
                assert operator == "+="
            else:
                assert operator == "=" or key == "ENV{DEVTYPE}"


def test_file_sorts_behind_the_serial_ids_and_before_the_seats() -> None:
    assert "60-serial.rules" < RULES_FILE.name < "73-seat-late.rules"


@pytest.mark.skipif(
    shutil.which("udevadm") is None
    or subprocess.run(["udevadm", "verify", "--help"], capture_output=True).returncode != 0,
    reason="udevadm verify comes with systemd 254 and later",
)
def test_udevadm_accepts_the_rules(registry: Registry, tmp_path: Path) -> None:
    rules = tmp_path / RULES_FILE.name
    rules.write_text(udev_rules(registry))
    done = subprocess.run(["udevadm", "verify", str(rules)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_board_that_the_rig_file_says_all_of_has_a_rule_too() -> None:
    own = replace(load_registry()["virtual"], id="bridged", usb=("0403:6001",))
    assert '"0403"' not in udev_rules(load_registry())
    assert "# bridged\n" in (text := udev_rules(load_registry(), (own,)))
    assert 'ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6001"' in text
