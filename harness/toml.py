"""Reading TOML files into records, with errors that name file, key, what was found and wanted.

These files may come from anyone: reading is bounded in time and memory, and errors are printable.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from functools import cache, partial
from itertools import islice
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from harness.errors import RigError
from harness.text import shortened

if TYPE_CHECKING:
    from cattrs import Converter

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Record = TypeVar("Record")
Key = tuple[str | int, ...]
"""Where a value stands: names of tables and keys; of an array's entry its index."""

MOST_BYTES = 200_000
"""Some hundreds of boards. What a text is nested in takes a hundred times its own memory."""
MOST_DOTS = 200
"""In one line, outside strings: the time for a dotted key grows with the square of its parts."""
MOST_SHOWN = 40
"""Characters of a name or value in an error, which as a whole has at most MOST_TEXT."""
MOST_TEXT = 1000
MOST_ENTRIES = 1000
MOST_FAULTS = 10
"""Of one table, in an error."""


def load(path: Path, name: str) -> dict[str, Any]:
    """Read the tables of a TOML file.

    Args:
        name: what errors call the file.

    Raises:
        RigError: it cannot be read, is too large, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise _error(f"cannot read {name}", f"larger than {MOST_BYTES} bytes")
        return parse(content.decode("utf-8-sig"), name)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path.
        raise _error(f"cannot read {name}", str(error)) from error


def parse(text: str, name: str) -> dict[str, Any]:
    """Read the tables of a TOML text.

    Raises:
        RigError: it is not TOML, or is nested too deeply.
    """
    for number, line in enumerate(_STRINGS.sub(_newlines, text).split("\n"), 1):
        if line.count(".") > MOST_DOTS:
            raise _error(f"cannot read {name}", f"line {number} has more than {MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except ValueError as error:  # Also where a number has more digits than Python converts.
        raise _error(f"cannot read {name}", f"not TOML: {shortened(str(error), 200)}") from error
    except RecursionError as error:
        raise _error(f"cannot read {name}", "arrays or tables are nested too deeply") from error


def record(kind: type[Record], table: Any, name: str, key: Key = (), /, **given: str) -> Record:
    """Make a record of a TOML table, every value checked against the type of its field.

    Args:
        kind: a dataclass whose `__post_init__` raises RigError for wrong values of right type.
        name: what errors call the file.
        key: where the table stands in the file.
        given: fields that the file has no key for.

    Raises:
        RigError: says for every wrong key what was found and what is wanted.
    """
    from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError  # 0.04 s

    try:
        if isinstance(table, dict):
            if taken := given.keys() & table.keys():
                raise ForbiddenExtraKeysError(None, kind, taken)
            table = {**table, **given}
        return _converter().structure(table, kind)
    except (BaseValidationError, ForbiddenExtraKeysError, _Unfit) as error:
        first, *others = islice(_faults(error, key, given), MOST_FAULTS)
        raise _error(name, first, "\n".join(others)) from error


@contextmanager
def naming(name: str, key: Key = ()) -> Iterator[None]:
    """Add the file and the key to RigErrors that leave the block."""
    try:
        yield
    except RigError as error:
        raise _error(name, _at(key, error.what), error.hint or "") from error


def check_above_0(**values: float | None) -> None:
    """Check that numbers are finite and above 0, or None.

    Raises:
        RigError: one is not; named as its argument.
    """
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise RigError(f"{name} must be above 0, not {value:g}")


# Where one is not closed it reaches to the end, so that no text is looked through twice.
_STRINGS = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"""|\Z)|"(?:[^"\\\n]|\\.)*"?'
    r"|'''.*?(?:'''|\Z)|'[^'\n]*'?|#[^\n]*",
    re.DOTALL,
)


def _newlines(string: re.Match[str]) -> str:
    return "\n" * string[0].count("\n")


class _Unfit(Exception):
    """A value, and what is wanted in its place."""


_SCALARS: Mapping[type, tuple[str, Callable[[Any], bool]]] = {
    str: ("a printable string", lambda value: type(value) is str and value.isprintable()),
    bool: ("true or false", lambda value: type(value) is bool),
    # As TOML has them: of 64 bits. NaN and infinity are not below the limit either.
    int: ("an integer", lambda value: type(value) is int and abs(value) < 2**63),
    float: ("a number", lambda value: type(value) in (int, float) and abs(value) < 2**63),
    date: ("a date", lambda value: type(value) is date),
}


@cache
def _converter() -> Converter:
    """Cattrs, strict: by itself it makes a string of any value, and a tuple of a string."""
    from cattrs import Converter, cols
    from cattrs.gen import make_dict_structure_fn

    converter = Converter(forbid_extra_keys=True)
    for kind in _SCALARS:
        converter.register_structure_hook(kind, _scalar)
    for takes, toml_type, build in (
        (is_dataclass, dict, make_dict_structure_fn),
        (cols.is_mapping, dict, cols.mapping_structure_factory),
        (_is_tuple, list, cols.homogenous_tuple_structure_factory),
    ):
        converter.register_structure_hook_factory(takes, partial(_container, toml_type, build))
    return converter


def _scalar(value: Any, kind: Any) -> Any:
    wanted, fits = _SCALARS[kind]
    if not fits(value):
        raise _Unfit(value, wanted)
    return float(value) if kind is float else value


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _container(toml_type: Any, build: Any, kind: Any, converter: Any) -> Callable[..., Any]:
    structure = build(kind, converter)

    def checked(value: Any, _: Any) -> Any:
        if not isinstance(value, toml_type):
            raise _Unfit(value, _wanted(kind))
        if len(value) > MOST_ENTRIES:
            raise _Unfit(value, f"{_wanted(kind)} of at most {MOST_ENTRIES}")
        return structure(value, kind)

    return checked


def _wanted(kind: Any) -> str:
    """What a field of this type takes."""
    if isinstance(kind, UnionType):
        return _wanted(get_args(kind)[0])
    if kind in _SCALARS:
        return _SCALARS[kind][0]
    return "an array" if _is_tuple(kind) else "a table"


_FOUND = {
    dict: "a table",
    list: "an array",
    str: "the string",
    bool: "the boolean",
    int: "the integer",
    float: "the float",
    datetime: "the date-time",
    date: "the date",
    time: "the time",
}


def _found(value: object) -> str:
    """A value of a file with its type, shortened."""
    kind = type(value)
    if isinstance(value, dict | list):
        return f"{_FOUND[kind]} of {len(value)}"
    if isinstance(value, int) and abs(value) > 2**64:
        text = hex(value)  # Python converts no 5000 digits to decimal.
    else:
        text = json.dumps(value, ensure_ascii=False) if kind in (str, bool) else str(value)
    return f"{_FOUND[kind]} {shortened(text, MOST_SHOWN)}"


def _faults(error: Any, key: Key, given: Collection[str]) -> Iterator[str]:
    """What is wrong, a sentence for each key."""
    from cattrs.errors import ForbiddenExtraKeysError

    if hasattr(error, "group_exceptions"):  # Of a table or array: with a note for each key.
        named, others = error.group_exceptions()
        for inner, note in named:
            place = (*key, note.name if hasattr(note, "name") else note.index)
            if isinstance(inner, KeyError):
                yield f"{_dotted(place)} is missing: it must be {_wanted(note.type)}"
            else:
                yield from _faults(inner, place, ())
        for inner in others:
            yield from _faults(inner, key, given)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [item.name for item in fields(error.cl) if item.name not in given]
        for name in sorted(error.extra_fields):
            yield f"{_dotted((*key, name))} is not a known key ({_suggestion(name, known)})"
    elif isinstance(error, _Unfit):
        value, wanted = error.args
        yield f"{_dotted(key) or 'it'} must be {wanted}, not {_found(value)}"
    else:
        yield _at(key, error.what)


def _suggestion(name: str, known: list[str]) -> str:
    nearest = get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(known)}"


def _at(key: Key, what: str) -> str:
    return f"{_dotted(key)}: {what}" if key else what


def _dotted(key: Key) -> str:
    """A key as the file has it: `boards.left.port`, `quarantine entry 1: since`."""
    text = ""
    for step in key:
        if isinstance(step, int):
            text += f" entry {step + 1}: "
        else:
            bare = re.fullmatch("[A-Za-z0-9_-]+", step)
            shown = shortened(step, MOST_SHOWN)
            text += "" if not text or text.endswith(": ") else "."
            text += shown if bare else json.dumps(shown, ensure_ascii=False)
    return text.removesuffix(": ")


def _error(name: str, what: str, hint: str = "") -> RigError:
    return RigError(_printable(shortened(f"{name}: {what}", MOST_TEXT)), hint=_printable(hint))


def _printable(text: str) -> str:
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )
