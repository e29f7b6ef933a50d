"""The table of settings: what pytest and `hil` can be told, and where it may be said.

A setting is looked for on the command line, in the project's pytest ini file, in the environment,
and has its default where none of them says it. An empty text counts as not said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.errors import WrongUse

T = TypeVar("T")

DEFAULT_BASELINES = Path("baselines.csv")
"""The file of `hil baseline`, where no baseline is set."""
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """What a setting may be: `parse` raises ValueError for a text that is not `wanted`.

    A relative path (`is_path`) is relative to where it was said.
    """

    name: str
    parse: Callable[[str], T]
    wanted: str = ""
    is_path: bool = False


def _items(text: str) -> tuple[str, ...]:
    items = tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
    if text and not items:
        raise ValueError
    return items


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    if not 0 <= (number := float(text)) < float("inf"):
        raise ValueError
    return number


def _truth(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError
    return text.lower() in _TRUE


def _choice(*choices: str) -> Kind[str]:
    def parse(text: str) -> str:
        if text and text not in choices:
            raise ValueError
        return text

    return Kind(name="choice", parse=parse, wanted=f"one of {', '.join(choices)}")


FLASH_CHOICES = ("auto", "always", "never")
MISSING_CHOICES = ("error", "skip")

LIST = Kind(name="list", parse=_items, wanted="a name, or several with commas")
POSITIVE = Kind(name="positive number", parse=_positive, wanted="a positive number")
BYTES = Kind(
    name="positive number or none",
    parse=lambda text: _positive(text) if text else None,
    wanted="a positive number",
)
SECONDS = Kind(name="seconds", parse=_seconds, wanted="seconds, 0 or more")
TRUTH = Kind(name="truth", parse=_truth, wanted="true or false")
PATH = Kind(name="path", parse=Path, is_path=True)
PATH_OR_NONE = Kind(
    name="path or none", parse=lambda text: Path(text) if text else None, is_path=True
)

_BUILDING = ("build", "flash", "infer", "bench", "profile")
_RUNNING = ("flash", "infer", "bench", "profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[T]):
    """One setting. `commands` are those of `hil` that take it; none if only pytest does.

    `default` is a text like those that users give; `hil_default` is that of `hil`, where it is
    another one. `absent` says in words what holds where the default is empty. `own_flags` are the
    options of pytest, where they are not `--hil-` and the name.
    """

    name: str
    kind: Kind[T]
    help: str
    metavar: str = ""
    default: str = ""
    hil_default: str | None = None
    absent: str = "none"
    commands: tuple[str, ...] = ()
    own_flags: tuple[str, ...] = ()

    def default_of(self, *, hil: bool) -> str:
        """The default of `hil`, or of pytest."""
        return self.default if self.hil_default is None or not hil else self.hil_default

    def meaning(self, *, several: bool = True) -> str:
        """The help; of a list also how several are given, where several can be."""
        return f"{self.help}; several with commas" if several and self.kind is LIST else self.help

    def help_of(self, *, hil: bool, several: bool = True) -> str:
        """The help of the option, with its default."""
        default = self.default_of(hil=hil) or self.absent
        return f"{self.meaning(several=several)} [{default}]".replace("`", "")

    @property
    def pytest_flags(self) -> tuple[str, ...]:
        """The options of pytest, first the one that texts name."""
        return self.own_flags or (f"--hil-{self.name.replace('_', '-')}",)

    @property
    def hil_flag(self) -> str:
        """The option of `hil`, in the commands that take it."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def ini(self) -> str:
        """Key in the pytest ini file."""
        return f"hil_{self.name}"

    @property
    def variable(self) -> str:
        """Environment variable."""
        return f"HIL_{self.name.upper()}"


BOARD = Setting(
    name="board",
    kind=LIST,
    default="qemu-m4,virtual",
    hil_default="qemu-m4",
    metavar="ID",
    help="a board from `hil boards`",
    commands=_BUILDING,
    own_flags=("--board",),
)
MODEL = Setting(
    name="model",
    kind=LIST,
    default="sine",
    metavar="NAME",
    help="a name from `hil models`, an artifact folder, or a .tflite file",
    commands=(*_BUILDING, "virtual"),
)
RUNTIME = Setting(
    name="runtime",
    kind=LIST,
    absent="the board's first",
    metavar="ID",
    help="what executes the model on the board, aot or tflm",
    commands=_BUILDING,
    own_flags=("--hil-runtime", "--runtime"),
)
PORT = Setting(
    name="port",
    kind=LIST,
    absent="the board's own",
    metavar="[BOARD=]PORT",
    help="a serial port or URL; virtual:?flip=0.01 for a faulty virtual board",
    commands=_RUNNING,
)
SAMPLES = Setting(
    name="samples",
    kind=POSITIVE,
    default="1000",
    metavar="N",
    help="timed invokes in each session",
    commands=("bench",),
)
SESSIONS = Setting(
    name="sessions",
    kind=POSITIVE,
    default="1",
    metavar="N",
    help="starts of the board per measurement: reset, cold invoke, warm-up, samples",
    commands=("bench",),
)
BASELINE = Setting(
    name="baseline",
    kind=PATH_OR_NONE,
    absent=f"none; `{DEFAULT_BASELINES}` for `hil baseline`",
    metavar="FILE",
    help="runs that latency must not be slower than: any latency CSV, or what "
    "`hil baseline save` keeps",
    commands=("bench", "baseline save", "baseline list", "baseline show"),
)
TRACK = Setting(
    name="track",
    kind=TRUTH,
    absent="off",
    help="hold a retrained model to the baseline of its name",
    commands=("bench",),
)
REPORT = Setting(
    name="report",
    kind=PATH_OR_NONE,
    metavar="FILE",
    help="an HTML page of the run, complete in itself",
    commands=("bench",),
)
PROFILE = Setting(
    name="profile",
    kind=TRUTH,
    absent="off",
    help="the cost of every operator, from another build, into layers.csv",
    commands=("bench",),
)
CSV = Setting(
    name="csv",
    kind=PATH,
    default="reports/latency.csv",
    metavar="FILE",
    help="latency CSV, appended to",
    commands=("bench", "baseline save"),
)
MISSING = Setting(
    name="missing",
    kind=_choice(*MISSING_CHOICES),
    absent="`error` for boards asked for and in CI, else `skip`",
    metavar="error|skip",
    help="what to do with a board's tests when a tool that it needs is absent",
)
RIG = Setting(
    name="rig",
    kind=PATH_OR_NONE,
    metavar="FILE",
    help="what is plugged in where: serial numbers, ports, power, deadlines, quarantine",
    commands=("doctor", "boards", *_BUILDING),
)
FLASH = Setting(
    name="flash",
    kind=_choice(*FLASH_CHOICES),
    default="auto",
    metavar="auto|always|never",
    help="when to upload to a real board; auto: unless it runs the very build",
    commands=("infer", "bench", "profile"),
)
TFLM = Setting(
    name="tflm",
    kind=PATH_OR_NONE,
    absent="the pin in `platformio.ini`",
    metavar="DIR",
    help="TFLite Micro from a folder, for rigs without a network",
    commands=("doctor", *_BUILDING),
)
ARENA = Setting(
    name="arena",
    kind=BYTES,
    absent="planned from the model",
    metavar="BYTES",
    help="capacity of the tflm arena",
    commands=_BUILDING,
)
UNCHECKED = Setting(
    name="unchecked",
    kind=TRUTH,
    absent="off",
    help="also run what the runtime is known to compute wrongly",
    commands=_BUILDING,
)
LOCK_TIMEOUT = Setting(
    name="lock_timeout",
    kind=SECONDS,
    default="120",
    metavar="S",
    help="seconds to wait for a board that another process holds",
    commands=_RUNNING,
)

SETTINGS: tuple[Setting[Any], ...] = (
    *(BOARD, MODEL, RUNTIME, PORT, SAMPLES, SESSIONS, BASELINE, TRACK, REPORT, PROFILE, CSV),
    *(MISSING, RIG, FLASH, TFLM, ARENA, UNCHECKED, LOCK_TIMEOUT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The text of a setting, and the option, key or variable that said it; "" for the default."""

    text: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where one front end looks for settings.

    `given` is the command line, by setting; `ini` the ini file, by key. Relative paths belong to
    `folder` on the command line and in the environment, to `ini_folder` in the ini file, and to
    `default_folder` where they are defaults. A setting that is not among `known` has its default.
    """

    given: Mapping[str, object]
    ini: Mapping[str, object]
    environment: Mapping[str, str]
    folder: Path = Path()
    ini_folder: Path = Path()
    default_folder: Path = Path()
    hil: bool = False
    known: Collection[Setting[Any]] = SETTINGS

    def said(self, setting: Setting[Any]) -> Said:
        """What somebody said of a setting, or its default."""
        flag = setting.hil_flag if self.hil else setting.pytest_flags[0]
        places = (
            (self.given.get(setting.name), flag, self.folder),
            (self.ini.get(setting.ini), f"ini key {setting.ini}", self.ini_folder),
            (self.environment.get(setting.variable), f"${setting.variable}", self.folder),
        )
        for value, source, folder in places if setting in self.known else ():
            if text := _text(value):
                return Said(text=_located(setting, text, folder), source=source)
        text = _located(setting, setting.default_of(hil=self.hil), self.default_folder)
        return Said(text=text, source="")

    def __getitem__(self, setting: Setting[T]) -> T:
        """The value of a setting.

        Raises:
            WrongUse: what was said of it cannot be; names the option, key or variable.
        """
        said = self.said(setting)
        try:
            return setting.kind.parse(said.text)
        except ValueError:
            raise WrongUse(
                f"{said.source} takes {setting.kind.wanted}, not {said.text!r}"
            ) from None

    def ports(self, boards: Collection[str]) -> dict[str, str]:
        """Ports by board. One without `BOARD=` is that of the only board.

        The ini file and the environment may have ports of boards that do not run this time.

        Raises:
            WrongUse: which board is meant is not said, or it does not run.
        """
        source = self.said(PORT).source
        found = {}
        for item in self[PORT]:
            board, port = _board_and_port(item)
            if board is None and len(boards) != 1:
                raise WrongUse(f"{source} {item}: say which board, as in BOARD=PORT")
            if board is not None and board not in boards and source.startswith("--"):
                raise WrongUse(f"{source} {item}: {board} is not among {', '.join(boards)}")
            found[board or next(iter(boards))] = port
        return {board: port for board, port in found.items() if board in boards}


def _board_and_port(item: str) -> tuple[str | None, str]:
    """A port may have a `=` of its own, but then a `:` or a slash stands before it."""
    board, equals, port = item.partition("=")
    named = bool(equals) and not set(board) & set(":/\\?")
    return (board, port) if named else (None, item)


def _text(value: object) -> str:
    """A value as the command line or an ini file gives it: one text, several, or none."""
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return "" if value is None else str(value).strip()


def _located(setting: Setting[Any], text: str, folder: Path) -> str:
    return os.path.join(folder, text) if setting.kind.is_path and text else text
