"""The guest's disk: Debian packages, the harness's own requirements and labgrid, made once.

It is kept under a hash of all that it was made from. Nothing of the project is in it but names of
its requirements: the checkout itself is mounted read-only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RigError, ToolMissing
from harness.locks import held
from harness.pool.labgrid import VERSION as LABGRID
from harness.process import run

SUITE = "bookworm"
PACKAGES = (
    *("linux-image-amd64", "initramfs-tools", "udev", "kmod", "iproute2", "mount"),
    *("procps", "psmisc", "util-linux", "ca-certificates", "openssh-server", "openssh-client"),
    *("usbutils", "uhubctl", "ser2net", "python3", "python3-venv", "git", "make"),
    *("modemmanager", "dbus", "brltty"),  # None of them is started but by a scenario.
    *("gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "libstdc++-arm-none-eabi-newlib"),
)
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-arm": "qemu-system-arm",
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "ssh-keygen": "openssh-client",
}
"""Programs that the rig needs on this machine, each with Debian's package of it."""

DISK_BYTES = 12 << 30
MAKES_S = 3600.0
_SETUP = Path(__file__).with_name("setup.sh")
_INIT = Path(__file__).with_name("init.sh")
_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A folder with the guest's disk, its kernel, and the key that opens it."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"

    @property
    def key(self) -> Path:
        return self.folder / "key"


def missing_tools() -> str:
    """The command that installs what this machine lacks; empty where it lacks nothing."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = {package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)}
    return f"sudo apt-get install -y {' '.join(sorted(lacking))}" if lacking else ""


def requirements(root: Path) -> str:
    """The harness's own requirements, as a file for pip."""
    from harness import toml

    project = toml.load(root / "pyproject.toml", "pyproject.toml")["project"]
    return "".join(f"{line}\n" for line in project["dependencies"])


def image_id(root: Path) -> str:
    """Hash of all that an image is made from."""
    parts = (
        SUITE,
        *PACKAGES,
        requirements(root),
        LABGRID,
        _SETUP.read_text(),
        _INIT.read_text(),
        str(DISK_BYTES),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def bootstrap_command(folder: Path, mirror: str | None) -> list[str]:
    """Makes the guest's root in `folder / "root"`; what the guest needs of us lies in `folder`.

    Packages come from `mirror`, or from where mmdebstrap has Debian's.
    """
    given = " ".join(f"'{folder / name}'" for name in _GIVEN)
    setup = " ".join(f"{name}=/opt/ca.crt" for name in _CA_VARIABLES)
    return [
        *("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
        f"--customize-hook=copy-in {given} /opt",
        f'--customize-hook=env {setup} chroot "$1" /bin/sh /opt/setup.sh',
        *(SUITE, str(folder / "root"), *([mirror] if mirror else [])),
    ]


_GIVEN = ("setup.sh", "init.sh", "requirements.txt", "labgrid.txt", "key.pub", "ca.crt")


def pack_script(folder: Path) -> str:
    """Makes a disk of the guest's root, and takes kernel and initrd out of it."""
    return "\n".join(
        (
            "set -eu",
            f"cd '{folder}'",
            "PATH=$PATH:/usr/sbin:/sbin",
            "cp -L root/vmlinuz vmlinuz",
            "cp -L root/initrd.img initrd.img",
            "rm -f disk.img",
            f"truncate -s {DISK_BYTES} disk.img",
            "mkfs.ext4 -q -E lazy_itable_init=1 -O ^has_journal -d root disk.img",
            "rm -rf root",
            "chmod a+r vmlinuz initrd.img disk.img",
        )
    )


def find_image(cache: Path, root: Path, mirror: str | None = None) -> Image:
    """The image made before, or made now, which takes ten minutes and a network.

    Raises:
        ToolMissing, RigError: it cannot be made.
    """
    folder = cache / f"usb-rig-{image_id(root)}"
    cache.mkdir(parents=True, exist_ok=True)
    with held(cache / "usb-rig.lock", "the guest's disk is being made", timeout_s=MAKES_S):
        if not folder.is_dir():
            _make(folder, root, mirror)
    return Image(folder=folder)


def _make(folder: Path, root: Path, mirror: str | None) -> None:
    if not shutil.which("mmdebstrap"):
        raise ToolMissing(
            "mmdebstrap", needed_for="the guest's disk", install="sudo apt-get install mmdebstrap"
        )
    made = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    print(f"making the guest's disk, some ten minutes; said is {made}/log", flush=True)
    _give(made, root)
    _run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "usb-rig", "-f", f"{made}/key"], made
    )
    _run(bootstrap_command(made, mirror), made)
    pack = ["/bin/sh", "-c", pack_script(made)]
    _run(pack if os.geteuid() == 0 else ["mmdebstrap", "--unshare-helper", *pack], made)
    made.rename(folder)


def _give(folder: Path, root: Path) -> None:
    """What is copied into the guest beside Debian's packages."""
    (folder / "requirements.txt").write_text(requirements(root))
    (folder / "labgrid.txt").write_text(f"labgrid=={LABGRID}\n")
    for script in (_SETUP, _INIT):
        shutil.copy(script, folder / script.name)
    trusted = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    shutil.copy(os.environ.get("PIP_CERT", trusted), folder / "ca.crt")


def _run(command: list[str], folder: Path) -> None:
    log = folder / "log"
    if run(command, log, timeout_s=MAKES_S):
        said = log.read_text(errors="replace")[-1500:]
        raise RigError(f"{command[0]} failed; the guest's disk is not made:\n{said}")


if __name__ == "__main__":
    print(find_image(Path(sys.argv[1]), Path(__file__).resolve().parents[3]).folder)
