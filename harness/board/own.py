"""Firmware that is not ours: the command that builds it, and the one that uploads it.

A word of a command may hold {placeholders}. They stand for paths, ids and port names that the
harness has checked, never for text of a model or of a board's answer, and no shell reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import RigError

BUILDING = ("project", "model", "firmware", "state", "board", "runtime", "python")
"""The project's folder, the generated model's, that of the protocol library, and one for what is
built; the ids of board and runtime; and the Python that runs the harness, for PlatformIO beside it.
"""
UPLOADING = ("project", "elf", "port", "serial_number", "probe_uid")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBuild:
    """How a project of the user's own is built into an ELF file.

    `project` is its folder and `elf` the file that `command` leaves: relative to the folder of the
    file that says so, and to the project. `inputs` are patterns of files in the project, such as
    `src/**/*.c`, which are all that the build depends on: firmware is then found by their content,
    and the command is not run. Without them it is always run.
    """

    project: str = "."
    command: tuple[str, ...]
    elf: str
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_words("command", self.command, BUILDING)
        check_words("elf", (self.elf,), BUILDING)
        if any(pattern.startswith("/") or ".." in pattern.split("/") for pattern in self.inputs):
            raise RigError("inputs must be patterns of files within the project")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFlash:
    """The command that uploads an ELF file to the board at a port."""

    command: tuple[str, ...]

    def __post_init__(self) -> None:
        check_words("command", self.command, UPLOADING)

    @property
    def needs_serial_number(self) -> bool:
        """Whether the command names the board by its USB serial number."""
        text = " ".join(self.command)
        return "{serial_number}" in text or "{probe_uid}" in text


def placeholders(words: Sequence[str]) -> set[str]:
    """Names of the placeholders in words."""
    return {name for word in words for name in _PLACEHOLDER.findall(word)}


def filled(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The words with their placeholders replaced; other braces stay as they are."""
    return [_PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), word) for word in words]


def check_words(what: str, words: Sequence[str], known: Sequence[str]) -> None:
    """Check a command's words: some, with known placeholders.

    Raises:
        RigError: they are not; `what` names them.
    """
    if not words or not words[0]:
        raise RigError(f"{what} must not be empty")
    for name in (name for word in words for name in _PLACEHOLDER.findall(word)):
        if name not in known:
            wanted = ", ".join(f"{{{item}}}" for item in known)
            raise RigError(f"{what}: {{{name}}} is none of {wanted}")
