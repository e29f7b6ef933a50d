"""What a name may hold that becomes a file, a lock or a word for another program."""

from __future__ import annotations

import re

NAME_RULE = "letters, digits, '.', '_' and '-', at most 100, the first a letter or digit"
SERIAL_RULE = "letters, digits, '.', '_', ':' and '-', at most 126, the first a letter or digit"
PORT_RULE = "letters, digits and ./:@_+=,-, the first a letter, digit or /"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# USB strings have at most 126 characters. Real serial numbers are hex digits (ST-Link, Nano 33 BLE,
# Pico), `0001` (CP210x), letters and digits (FTDI) or a MAC address with colons (ESP32-S3).
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,125}")
_PORT = re.compile(r"[A-Za-z0-9/][A-Za-z0-9./:@_+=,-]{0,4095}")
# What `git describe --always` writes: a hash, or a tag with a count and a hash.
_COMMIT = re.compile(r"[A-Za-z0-9_](?:[./]?[A-Za-z0-9_+-]){0,99}")


def is_name(text: str) -> bool:
    """Whether a text can name a board, model or run: no path, no option, nothing to be quoted."""
    return _NAME.fullmatch(text) is not None


def is_serial_number(text: str) -> bool:
    """Whether a text is a USB serial number that may reach another program, such as an uploader."""
    return _SERIAL.fullmatch(text) is not None


def is_port(text: str) -> bool:
    """Whether a text is a port's path or URL that may reach another program."""
    return _PORT.fullmatch(text) is not None


def is_commit(text: str) -> bool:
    """Whether a text may stand for a commit in a command for git: no option, range or quote."""
    return _COMMIT.fullmatch(text) is not None
