"""How firmware is uploaded to a board that is plugged into another machine."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.board.own import check_words
from harness.errors import RigError

FAR = ("elf", "port", "place")
SSH = (
    *("ssh", "-x", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=15"),
)
"""As labgrid runs it: keys, names and jumps are in ~/.ssh/config."""

_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63}@)?[A-Za-z0-9][A-Za-z0-9._:-]{0,252}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FarUpload:
    """The command that uploads an ELF file, run by ssh on the machine the board is plugged into.

    `{elf}` is the file there, `{port}` the board's serial port there, and `{place}` its place in
    the pool; both of a pool only. `host` is that machine, as ssh knows it, where it is not the
    exporter's, or that of the URL.
    """

    command: tuple[str, ...]
    host: str | None = None

    def __post_init__(self) -> None:
        check_words("command", self.command, FAR)
        if self.host is not None and not is_host(self.host):
            raise RigError("host must be HOST or USER@HOST")


def is_host(text: str) -> bool:
    """Whether a text names a machine to ssh: no option, nothing to be quoted."""
    return _HOST.fullmatch(text) is not None
