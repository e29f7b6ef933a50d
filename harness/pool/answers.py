"""What labgrid's client prints, as records: places, the resources of one, reservations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from harness.board.place import PlaceSpec
from harness.errors import PoolError
from harness.names import is_name, is_port
from harness.text import printable

SERIAL = "NetworkSerialPort"
_ALSO_POWER = ("NetworkSysfsGPIO", "PDUDaemonPort")
"""Classes of resources that the client switches power with, beside those named for it."""

_MOST_RESOURCE = 65536
_PLACE = re.compile(r"Place '(.*)':")
_RESOURCE = re.compile(r"(?:Acquired|Matching) resource '(.*)' \((.*)\):")
_ORPHANED = re.compile(r"Orphaned resource '(.*)' \((.*)\)")
_TOKEN = re.compile(r"^ *token: ([A-Za-z0-9]{4,40})$", re.MULTILINE)
_STATE = re.compile(r"^ *state: ([a-z]+)$", re.MULTILINE)
_ALLOCATED = re.compile(r"^ *allocations:\n +main: (.*)$", re.MULTILINE)
_TAGGED = re.compile(r"([a-z][a-z0-9_]*)=([^,]*)(?:, |$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place of the coordinator; `holder` is HOST/USER, `since` when that last changed."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    holder: str = ""
    reserved: bool = False
    since: datetime | None = None

    def fits(self, wanted: PlaceSpec) -> bool:
        """Whether it is the place, or one of the places, that is wanted."""
        if wanted.name:
            return self.name == wanted.name
        return all(self.tags.get(tag) == value for tag, value in wanted.tags)

    def told(self, now: datetime) -> str:
        """Who holds it and for how long, in words."""
        name = printable(self.name, 100)
        if not self.holder:
            return f"{name} is {'reserved' if self.reserved else 'free'}"
        return f"{name} is held by {printable(self.holder, 100)}{held_for(self.since, now)}"


def held_for(since: datetime | None, now: datetime) -> str:
    """` for 3 min`, from labgrid's local time; empty where it is not known."""
    seconds = (now - since).total_seconds() if since else -1.0
    if seconds < 0:
        return ""
    for unit, most, per in (("s", 120, 1), ("min", 7200, 60), ("h", 172800, 3600)):
        if seconds < most:
            return f" for {seconds / per:.0f} {unit}"
    return f" for {seconds / 86400:.0f} days"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Something of a place: its class, the exporter that has it, and what to reach it by.

    `there` is the path of a serial port on the exporter's machine. `unfit` is what it is to be
    reached by where that is no machine's name, as text for people.
    """

    kind: str
    exporter: str
    available: bool = False
    host: str = ""
    port: int | None = None
    protocol: str = "rfc2217"
    there: str = ""
    proxy: str = ""
    unfit: str = ""
    orphaned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A place with its resources."""

    place: Place
    resources: tuple[Resource, ...] = ()

    @property
    def serial(self) -> Resource:
        """The place's only serial port.

        Raises:
            PoolError: it has none, or several.
        """
        found = [item for item in self.resources if item.kind == SERIAL]
        if len(found) == 1:
            return found[0]
        raise PoolError(
            f"place {self.place.name} has {len(found) or 'no'} serial port{'s' * (len(found) > 1)}",
            place=self.place.name,
            hint="A board is a place with one serial port. See: labgrid-client -p "
            f"{self.place.name} show\nMatch it by: labgrid-client -p {self.place.name} add-match "
            "EXPORTER/GROUP/NetworkSerialPort",
        )

    @property
    def power(self) -> bool:
        """Whether the place has anything that labgrid's client switches power with."""
        return any(
            "Power" in item.kind or item.kind == "NetworkSysfsGPIO" for item in self.resources
        )


def parse_places(text: str) -> tuple[Place, ...]:
    """Of `labgrid-client -v places`."""
    return tuple(_place(name, lines) for name, lines in _blocks(text))


def parse_shown(text: str) -> Shown:
    """Of `labgrid-client -p PLACE show`.

    Raises:
        PoolError: it is none.
    """
    blocks = list(_blocks(text))
    if len(blocks) != 1:
        raise PoolError(f"cannot read what labgrid says of a place: {printable(text, 200)}")
    ((name, lines),) = blocks
    resources: list[Resource] = []
    for title, body in _resource_blocks(text):
        exporter, _, rest = title[2].partition("/")
        parts = rest.split("/")
        kind = parts[1] if len(parts) > 1 else ""
        resources.append(
            Resource(kind=kind, exporter=exporter, orphaned=True)
            if title[0] == "orphaned"
            else _resource(kind, exporter, body)
        )
    return Shown(place=_place(name, lines), resources=tuple(resources))


def parse_token(text: str) -> str:
    """Token of a reservation just made.

    Raises:
        PoolError: there is none.
    """
    found = _TOKEN.search(text)
    if found is None:
        raise PoolError(f"cannot read labgrid's reservation: {printable(text, 200)}")
    return found[1]


def parse_reservation(text: str) -> tuple[str, str]:
    """The last state in what `reserve` or `wait` printed, and the place allocated, if any.

    Raises:
        PoolError: the place's name is none that may be given to another program.
    """
    states = _STATE.findall(text)
    allocated = _ALLOCATED.findall(text)
    if not states:
        return "", ""
    name = allocated[-1].strip() if allocated and states[-1] == "allocated" else ""
    if name and not is_name(name):
        raise PoolError(
            f"place {printable(name, 60)!r} of the coordinator cannot be used: its name has other "
            "characters than letters, digits, '.', '_' and '-'"
        )
    return states[-1], name


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Places, each with its indented lines."""
    name: str | None = None
    lines: list[str] = []
    for line in text.splitlines():
        if found := _PLACE.fullmatch(line):
            if name is not None:
                yield name, lines
            name, lines = found[1], []
        elif line.startswith("  "):
            lines.append(line[2:])
        elif name is not None:
            yield name, lines
            name, lines = None, []
    if name is not None:
        yield name, lines


def _place(name: str, lines: list[str]) -> Place:
    pairs = (line.partition(": ") for line in lines if not line.startswith(" "))
    said = {key.rstrip(":"): value for key, _, value in pairs}
    holder = said.get("acquired", "None")
    return Place(
        name=name,
        tags=dict(_TAGGED.findall(said.get("tags", ""))),
        holder="" if holder == "None" else holder,
        reserved="reservation" in said,
        since=_time(said.get("changed", "")),
    )


def _time(text: str) -> datetime | None:
    """In this machine's local time, as labgrid's client has it, which says no time zone."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone().replace(tzinfo=None) if found.tzinfo else found
    except (ValueError, OverflowError):
        return None


def _resource_blocks(text: str) -> Iterator[tuple[tuple[str, str, str], str]]:
    title, body = None, ""
    for line in text.splitlines():
        found, orphaned = _RESOURCE.fullmatch(line), _ORPHANED.fullmatch(line)
        if title is not None and (found or orphaned or not line.startswith("  ")):
            yield title, body
            title, body = None, ""
        if found:
            title = ("here", found[1], found[2])
        elif orphaned:
            yield ("orphaned", orphaned[1], orphaned[2]), ""
        elif title is not None:
            body += line + "\n"
    if title is not None:
        yield title, body


def _resource(kind: str, exporter: str, body: str) -> Resource:
    said = _literal(body)
    params = _table(said.get("params"))
    extra = _table(params.get("extra"))
    port = params.get("port")
    proxied = extra.get("proxy_required") is True
    machines = (params.get("host"), extra.get("proxy") if proxied else None)
    unfit = [said for said in machines if said is not None and not _word(said)]
    return Resource(
        kind=kind,
        exporter=exporter,
        available=said.get("avail") is True,
        host=_word(params.get("host")),
        port=port if isinstance(port, int) and 0 < port < 65536 else None,
        protocol=_word(params.get("protocol")) or "rfc2217",
        there=_word(extra.get("path")),
        proxy=_word(extra.get("proxy")) if proxied else "",
        unfit=printable(str(unfit[0]), 60) if unfit else "",
    )


def _literal(body: str) -> dict[str, Any]:
    """A Python dict as pprint writes it; empty where it is none."""
    if len(body) > _MOST_RESOURCE:
        return {}
    try:
        return _table(ast.literal_eval(body.strip()))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return {}


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _word(value: object) -> str:
    """A host, path or protocol that may be put into a URL or a command; else empty."""
    return value if isinstance(value, str) and is_port(value) else ""
