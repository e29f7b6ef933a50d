"""The guest's command line: QEMU with a USB controller, hubs, FTDI bridges, and a second UART."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.whole.usb_rig.image import Image

MEMORY_MB = 2048
KERNEL_WORDS = (
    "root=/dev/vda rw console=ttyS0 quiet panic=-1 edd=off mitigations=off init=/sbin/usb-rig-init"
)
SSH_WORDS = (
    *(
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ),
    *("-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=60"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """A hub at a port of the controller. Without `switches` it says that it can, and cannot."""

    name: str
    port: str
    switches: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """An FTDI bridge in a socket: hub's port and its own, such as `1.2`.

    `serial_number` None is QEMU's, which all its bridges have.
    """

    name: str
    socket: str
    serial_number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the guest's sockets and files of one run lie, and the TCP port of its ssh.

    `forwarded` are further TCP ports of the guest, each by one of this machine.
    """

    folder: Path
    ssh_port: int
    forwarded: Mapping[int, int]

    @property
    def qmp(self) -> Path:
        return self.folder / "qmp"

    @property
    def console(self) -> Path:
        return self.folder / "console"

    def uart(self, name: str) -> Path:
        """Socket of a bridge's UART."""
        return self.folder / f"{name}.uart"

    def traffic(self, name: str) -> Path:
        """What went over USB to a hub or bridge."""
        return self.folder / f"{name}.pcap"


def accelerator(modules: Path = Path("/sys/module")) -> list[str]:
    """KVM where it runs any kernel, as that of Intel's and AMD's processors does; else QEMU's own.

    A KVM without their modules, as some clouds have it, runs only kernels made for it.
    """
    whole = any((modules / name).is_dir() for name in ("kvm_intel", "kvm_amd"))
    usable = platform.machine() == "x86_64" and os.access("/dev/kvm", os.R_OK | os.W_OK)
    # Some hosts show the register of this feature to guests and refuse to set it.
    kvm = ["-accel", "kvm", "-cpu", "host,arch-capabilities=off"]
    return kvm if whole and usable else ["-accel", "tcg,thread=multi", "-cpu", "max"]


def machine_command(
    image: Image, checkout: Path, places: Places, hubs: tuple[Hub, ...]
) -> list[str]:
    """QEMU with everything but the bridges, which are plugged in through QMP.

    The disk stays as it is: what the guest writes is forgotten.
    """
    ports = {places.ssh_port: 22, **places.forwarded}
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in ports.items())
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35"),
        *accelerator(),
        *("-smp", "2", "-m", str(MEMORY_MB), "-display", "none", "-no-reboot"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", KERNEL_WORDS),
        *("-drive", f"file={image.disk},format=raw,if=virtio,snapshot=on"),
        *("-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net"),
        *("-device", "virtio-rng-pci"),
        *("-fsdev", f"local,id=src,path={checkout},security_model=none,readonly=on"),
        *("-device", "virtio-9p-pci,fsdev=src,mount_tag=src"),
        *("-serial", f"file:{places.console}"),
        *("-chardev", f"socket,id=ttys1,path={places.uart('ttyS1')},server=on,wait=off"),
        *("-serial", "chardev:ttys1"),
        *("-chardev", f"socket,id=qmp,path={places.qmp},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *("-device", "nec-usb-xhci,id=xhci"),
        *(word for hub in hubs for word in _hub_words(hub, places)),
    ]


def _hub_words(hub: Hub, places: Places) -> list[str]:
    power = "on" if hub.switches else "off"
    pcap = places.traffic(hub.name)
    at = f"bus=xhci.0,port={hub.port},port-power={power},pcap={pcap}"
    return ["-device", f"usb-hub,id={hub.name},{at}"]


def bridge_arguments(bridge: Bridge, socket: str, places: Places) -> dict[str, object]:
    """Of QMP's device_add. The bridge stays while nothing is at its UART."""
    number = {} if bridge.serial_number is None else {"serial": bridge.serial_number}
    return {
        "driver": "usb-serial",
        "id": bridge.name,
        "bus": "xhci.0",
        "port": socket,
        "chardev": f"{bridge.name}-uart",
        "always-plugged": True,
        "pcap": str(places.traffic(bridge.name)),
        **number,
    }


def uart_arguments(bridge: Bridge, places: Places) -> dict[str, object]:
    """Of QMP's chardev-add: the bridge's UART, a socket at which the board is."""
    address = {"type": "unix", "data": {"path": str(places.uart(bridge.name))}}
    data = {"addr": address, "server": True, "wait": False}
    return {"id": f"{bridge.name}-uart", "backend": {"type": "socket", "data": data}}


def ssh_command(image: Image, places: Places, user: str, *words: str) -> list[str]:
    """Runs a shell's command line in the guest as one of its users."""
    control = f"ControlPath={places.folder}/ssh-{user}"
    shared = ("-o", "ControlMaster=auto", "-o", control, "-o", "ControlPersist=600")
    at = ("-i", str(image.key), "-p", str(places.ssh_port), f"{user}@127.0.0.1")
    return ["ssh", *SSH_WORDS, *shared, *at, *words]
