from __future__ import annotations

import string

import pytest

from harness.names import is_commit, is_name, is_port, is_serial_number

SHELL = " \t\n\r;&|<>$`\"'\\(){}[]*!~#^"


@pytest.mark.parametrize(
    "port",
    [
        *("/dev/ttyACM0", "/dev/cu.usbmodem14101", "COM3", "/dev/pts/3"),
        "/dev/serial/by-id/usb-Arduino_Nano_33_BLE_0A1B2C3D-if00",
        "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1.2:1.0",
        *("rfc2217://rig-7.example:4000", "socket://10.0.0.2:5000"),
    ],
)
def test_ports_of_real_machines_may_be_given_to_other_programs(port: str) -> None:
    assert is_port(port)


@pytest.mark.parametrize("allowed", [is_name, is_serial_number, is_port, is_commit])
def test_what_a_shell_or_a_path_would_read_is_refused_wherever_it_stands(allowed) -> None:
    assert allowed("a0.B_c-1")
    for char in (*SHELL, *map(chr, range(32)), "\x7f", "\u202e", "\ud800", "é"):
        assert not allowed(char) and not allowed(f"a{char}") and not allowed(f"a{char}b")
    assert not any(allowed(text) for text in ("", "-x", ".x", "..", "../x", "x" * 5000))


def test_names_and_serial_numbers_are_no_paths() -> None:
    for char in set(string.punctuation) - set("._-"):
        assert not is_name(f"a{char}b")
        assert is_serial_number(f"a{char}b") is (char == ":")


@pytest.mark.parametrize("commit", ["f00dfeed1234", "v1.2", "v1.2-3-gf00dfeed1234", "rig/v1_0+2"])
def test_what_git_describe_says_is_a_commit(commit: str) -> None:
    assert is_commit(commit)


@pytest.mark.parametrize("text", ["--output=x", "a..b", "a...b", "HEAD~1", "a:b", "/a", "a/", "@"])
def test_no_option_range_or_path_is_a_commit(text: str) -> None:
    assert not is_commit(text)
