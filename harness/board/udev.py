"""udev rules for the boards of the registry: users may open them, ModemManager ignores them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.board.registry import Board, Registry

# Before 73-seat-late.rules, which turns the tag `uaccess` into access: in a file behind it, such
# as the customary 99-, the tag does nothing.
RULES_FILE = Path("/etc/udev/rules.d/70-tinyml-hil.rules")
INSTALL_RULES = (
    f"hil udev | sudo tee {RULES_FILE} >/dev/null && "
    "sudo udevadm control --reload && sudo udevadm trigger"
)
SERIAL_GROUP = "dialout"
_BRLTTY = "*-brltty*.rules"
_RULES_FOLDERS = tuple(Path(root, "udev/rules.d") for root in ("/etc", "/run", "/usr/lib", "/lib"))
"""A file in an earlier folder replaces those of the same name in later ones."""

_HEAD = f"""\
# Written by `hil udev`. Install: {INSTALL_RULES}
# ModemManager would send AT commands to every new port and hold it meanwhile.
"""
# Linux 6.0 and later switch a port through its `disable` file, older ones through the hub itself.
_HUBS = f"""\
# Hubs: power switching without root (uhubctl).
SUBSYSTEM=="usb", ENV{{DEVTYPE}}=="usb_device", ATTR{{bDeviceClass}}=="09", \
MODE="0664", GROUP="{SERIAL_GROUP}"
SUBSYSTEM=="usb", DRIVER=="hub", \
RUN+="/bin/sh -c 'chgrp -f {SERIAL_GROUP} $sys$devpath/*-port*/disable; \
chmod -f 0664 $sys$devpath/*-port*/disable; true'"
"""


def _rule(usb_id: str) -> str:
    """One USB id's rule; for the USB device too, since some uploaders do not use the tty."""
    vendor, product = usb_id.split(":")
    return (
        f'SUBSYSTEM=="usb|tty", ATTRS{{idVendor}}=="{vendor}", ATTRS{{idProduct}}=="{product}", '
        f'MODE="0660", GROUP="{SERIAL_GROUP}", TAG+="uaccess", '
        'ENV{ID_MM_DEVICE_IGNORE}="1", ENV{ID_MM_PORT_IGNORE}="1"\n'
    )


def udev_rules(registry: Registry, own: Sequence[Board] = ()) -> str:
    """The rules file: application and bootloader ids of every board, then the hubs.

    Args:
        own: boards that a rig file says all of.

    An id that several boards share, such as a USB bridge's, is named once, with all of them.
    """
    users: dict[str, list[str]] = {}
    for board in (*registry.boards, *own):
        for usb_id in board.usb:
            users.setdefault(usb_id, []).append(board.id)
        for usb_id in board.bootloader_usb:
            users.setdefault(usb_id, []).append(f"{board.id} (bootloader)")
    rules = (f"# {', '.join(names)}\n{_rule(usb_id)}" for usb_id, names in users.items())
    return "\n".join([_HEAD, *rules, _HUBS])


def brltty_rules(folders: Sequence[Path] = _RULES_FOLDERS) -> dict[Path, str]:
    """brltty's installed udev rules by file, without those that /dev/null stands in for."""
    files = {path.name: path for folder in reversed(folders) for path in folder.glob(_BRLTTY)}
    texts = {}
    for path in files.values():
        with suppress(OSError):
            texts[path] = path.read_text(errors="replace")
    return texts


def names_usb(rules: str, usb_id: str) -> bool:
    """Whether udev rules name a USB id, as brltty's do: `1a86/7523/*`, zeros in front left out."""
    vendor, product = (f"{int(part, 16):x}" for part in usb_id.split(":"))
    named = rf'^[^#\n]*"0*{vendor}/0*{product}/'  # Not where somebody has made it a comment.
    return re.search(named, rules, re.IGNORECASE | re.MULTILINE) is not None


def brltty_takes(usb_ids: Sequence[str], folders: Sequence[Path] = _RULES_FOLDERS) -> str:
    """A sentence on brltty, where its rules name one of the USB ids; else empty."""
    for path, rules in brltty_rules(folders).items():
        taken = [usb_id for usb_id in usb_ids if names_usb(rules, usb_id)]
        if taken:
            return (
                f"brltty takes {', '.join(taken)} for a braille display, and its port vanishes: "
                f"{path}. hil doctor says how to keep it off."
            )
    return ""
