"""`--json`: what a command found as one JSON object on standard output, for programs."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from harness.errors import HilError

SCHEMA = 1
"""Of every object; docs/json.md says what they hold. A field that goes or changes raises it."""


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option of a command whose findings can be said to a program."""
    parser.add_argument("--json", action="store_true", help="as JSON, for programs; docs/json.md")


def print_json(command: str, content: Mapping[str, Any]) -> None:
    """Print the object of a command.

    Args:
        command: as in `hil COMMAND`, with the name of what it does where there are several.
        content: its fields; records, paths and enumerations become what JSON has for them, numbers
            that are none become null.
    """
    import json  # 0.01 s, which `hil inspect` counts

    document = {"schema": SCHEMA, "command": command, **plain(content)}
    print(json.dumps(document, indent=1, allow_nan=False))


def plain(value: Any) -> Any:
    """What JSON has for a value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def error_object(error: HilError) -> dict[str, Any]:
    """An error for programs: its class, what happened, where, and what to do."""
    return {
        "error": type(error).__name__,
        "what": error.what,
        "board": error.where.board,
        "port": error.where.port,
        "model": error.where.model,
        "hint": error.hint or None,
    }


@contextmanager
def errors_as_json(options: argparse.Namespace) -> Iterator[None]:
    """An error that ends a command with `--json` is its object; it is raised all the same."""
    try:
        yield
    except HilError as error:
        if getattr(options, "json", False):
            command = getattr(options, "named", options.run.__name__)
            print_json(command, {"errors": [error_object(error)]})
        raise
