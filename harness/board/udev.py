"""udev rules for the boards of the registry: users may open them, ModemManager ignores them."""

from __future__ import annotations

from pathlib import Path

from harness.board.registry import Registry

# Before 73-seat-late.rules, which turns the tag `uaccess` into access: in a file behind it, such
# as the customary 99-, the tag does nothing.
RULES_FILE = Path("/etc/udev/rules.d/70-tinyml-hil.rules")
INSTALL_RULES = (
    f"hil udev | sudo tee {RULES_FILE} >/dev/null && "
    "sudo udevadm control --reload && sudo udevadm trigger"
)
SERIAL_GROUP = "dialout"

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


def udev_rules(registry: Registry) -> str:
    """The rules file: application and bootloader ids of every board, then the hubs.

    An id that several boards share, such as a USB bridge's, is named once, with all of them.
    """
    users: dict[str, list[str]] = {}
    for board in registry.boards:
        for usb_id in board.usb:
            users.setdefault(usb_id, []).append(board.id)
        for usb_id in board.bootloader_usb:
            users.setdefault(usb_id, []).append(f"{board.id} (bootloader)")
    rules = (f"# {', '.join(names)}\n{_rule(usb_id)}" for usb_id, names in users.items())
    return "\n".join([_HEAD, *rules, _HUBS])
