"""A board that is plugged into another machine: what its pool says of errors, and its upload."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.board.far import FAR, SSH, FarUpload, is_host
from harness.board.own import filled, placeholders
from harness.board.registry import Board
from harness.board.rigfile import Plugged
from harness.errors import (
    BoardError,
    BoardStatus,
    FlashFailed,
    HilError,
    PoolError,
    RigError,
    StaleFirmware,
    ToolMissing,
    Where,
)
from harness.firmware.failure import first_errors
from harness.pool.hold import Held
from harness.process import run
from harness.text import printable

_UNREACHABLE = 255
_NOT_FOUND = 127
_SHOWN = 1000
_ELF = '"$d/firmware.elf"'
_ELF_MARK = re.compile(r"\{elf\}")


@contextmanager
def explained(held: Held | None) -> Iterator[None]:
    """Raise what happened to the board's place in the stead of an error that this explains.

    A place that was taken away, or whose machine is gone, looks like a board that fell silent.
    """
    try:
        yield
    except (RigError, BoardError) as error:
        if held is None or not _may_be_the_pool(error):
            raise
        try:
            held.check()
        except PoolError as reason:
            reason.link_log = error.link_log
            raise reason from error
        raise


def _may_be_the_pool(error: HilError) -> bool:
    """Whether a place that is gone could have caused it: not an error of the pool, or an answer."""
    if isinstance(error, BoardStatus):
        return not error.of_request
    return not isinstance(error, PoolError | StaleFirmware)


@dataclass(frozen=True, slots=True, kw_only=True)
class FarUploader:
    """Uploads to a board by a command on the machine that it is plugged into.

    The ELF file goes there over ssh, into a folder of its own, which is removed afterwards.
    """

    host: str
    command: tuple[str, ...]
    where: Where

    def __call__(self, elf: Path, *, timeout_s: float) -> None:
        """Raises FlashFailed; ToolMissing without ssh."""
        line = f"exec sh -c {shlex.quote(script(self.command, elf.stat().st_size))}"
        with tempfile.TemporaryDirectory(prefix="hil-far-") as folder:
            log = Path(folder, "log")
            try:
                status = run([*SSH, self.host, line], log, timeout_s=timeout_s, given=elf)
            except subprocess.TimeoutExpired:
                raise self._failed(f"took longer than {timeout_s:g} s", log) from None
            if status == _UNREACHABLE:
                raise self._failed("could not begin: ssh failed", log)
            if status == _NOT_FOUND and b"cannot run ssh" in log.read_bytes():
                raise ToolMissing(
                    "ssh",
                    needed_for=f"an upload at {self.host}",
                    install="sudo apt-get install -y openssh-client",
                )
            if status:
                raise self._failed(f"ended with status {status}", log)

    def _failed(self, what: str, log: Path) -> FlashFailed:
        text = log.read_text(errors="replace")
        said = "\n".join(f"  {line}" for line in first_errors(text)) or text[-_SHOWN:].strip()
        heard = f"It said:\n{said}" if said else "It said nothing."
        by_hand = f"ssh {self.host} {shlex.join(self.command)}"
        return FlashFailed(
            f"upload at {self.host} {what}",
            phase="upload",
            where=self.where,
            hint=f"{heard}\nThe same by hand: {printable(by_hand, 300)}",
        )


def script(command: Sequence[str], size: int) -> str:
    """What runs there: takes the file from standard input, uploads it, and removes it.

    A file that did not arrive whole is not uploaded.
    """
    words = " ".join(_quoted(word) for word in command)
    return "\n".join(
        (
            "umask 077",
            "d=$(mktemp -d) || exit 1",
            """trap 'rm -rf "$d"' EXIT""",
            "trap 'exit 1' HUP INT TERM",
            f"cat >{_ELF} || exit 1",
            f'[ "$(wc -c <{_ELF})" -eq {size} ] || '
            "{ echo 'error: the firmware did not arrive whole' >&2; exit 1; }",
            f"{words} </dev/null",
        )
    )


def _quoted(word: str) -> str:
    """A word for the shell there: quoted, but for the file's name."""
    parts = [shlex.quote(part) if part else "" for part in _ELF_MARK.split(word)]
    return _ELF.join(parts) or "''"


def far_uploader(
    board: Board, plugged: Plugged, url: str, held: Held | None, where: Where
) -> FarUploader | None:
    """What uploads to a board behind a URL; None where nothing says how.

    That is the rig file's `upload`, or the board's own `flash` command if it names the port.

    Raises:
        RigError: the command needs what is not known, or the machine's name is none.
    """
    said = plugged.upload or _by_board(board, held)
    if said is None:
        return None
    values = {"place": held.place, "port": held.serial.there} if held else {}
    _refuse_unknown(said, values, where)
    host = said.host or _host(url, held)
    if not is_host(host):
        raise RigError(
            f"{printable(host, 60)!r} is no machine for ssh",
            where=where,
            hint='Name it in the rig file: upload = { host = "bench-2", command = [...] }',
        )
    return FarUploader(host=host, command=tuple(filled(said.command, values)), where=where)


def _by_board(board: Board, held: Held | None) -> FarUpload | None:
    """The board's own command, where it says which board by its port."""
    if board.flash is None or held is None or not held.serial.there:
        return None
    if placeholders(board.flash.command) != {"elf", "port"}:
        return None
    return FarUpload(command=board.flash.command)


def _refuse_unknown(said: FarUpload, values: Mapping[str, str], where: Where) -> None:
    known = {name for name, value in values.items() if value} | {"elf"}
    for name in FAR:
        if name in placeholders(said.command) and name not in known:
            raise RigError(
                f"the upload command names {{{name}}}, which is not known of this board",
                where=where,
                hint="It is known of a place whose exporter has the serial port itself. Write it "
                "out in the command.",
            )


def _host(url: str, held: Held | None) -> str:
    if held is not None:
        return held.serial.proxy or held.serial.host
    return urlsplit(url).hostname or ""
