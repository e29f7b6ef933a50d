"""The table of settings: what pytest and `hil` can be told, and where it may be said.

A setting is looked for on the command line, in the project's pytest ini file, in the environment,
and has its default where none of them says it. An empty text counts as not said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from harness.errors import WrongUse

if TYPE_CHECKING:
    from harness.detector import Detector
    from harness.tolerance import Allowed, Stated

T = TypeVar("T")

DEFAULT_BASELINES = Path("baselines.csv")
"""The file of `hil baseline`, where no baseline is set."""
ALL_EMULATED = "all-emulated"
"""Stands for every board that QEMU runs and whose tools are installed."""

_ADDRESS = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9.:\[\]_-]{0,254}")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """What a setting may be: `parse` raises ValueError for a text that is not `wanted`.

    A relative path (`is_path`) is relative to where it was said.
    """

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


def _natural(text: str) -> int:
    if (number := int(text)) < 0:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    if not 0 <= (number := float(text)) < float("inf"):
        raise ValueError
    return number


def _share(text: str) -> float:
    if not 0 < (number := float(text)) < 1:
        raise ValueError
    return number


def _truth(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError
    return text.lower() in _TRUE


def _tolerances(text: str) -> tuple[Allowed, ...]:
    if not text:
        return ()
    from harness.tolerance import parse_tolerance  # pytest reads this table in every run

    return parse_tolerance(text)


def _detector(text: str) -> Detector | None:
    if not text:
        return None
    from harness.detector import parse_detector

    return parse_detector(text)


def _choice(*choices: str) -> Kind[str]:
    return Kind(
        parse=lambda text: text and choices[choices.index(text)],
        wanted=f"one of {', '.join(choices)}",
    )


def _address(text: str) -> str | None:
    if text and not _ADDRESS.fullmatch(text):
        raise ValueError
    return text or None


FLASH_CHOICES = ("auto", "always", "never")
SWAP_CHOICES = ("auto", "always", "never")

LIST = Kind(parse=_items, wanted="a name, or several with commas")
POSITIVE = Kind(parse=_positive, wanted="a positive number")
COUNT = Kind(parse=lambda text: _positive(text) if text else None, wanted="a positive number")
NATURAL = Kind(parse=_natural, wanted="a number, 0 or more")
SECONDS = Kind(parse=_seconds, wanted="seconds, 0 or more")
SHARE = Kind(parse=_share, wanted="a share between 0 and 1, as 0.05")
TRUTH = Kind(parse=_truth, wanted="true or false")
TOLERANCES = Kind(parse=_tolerances, wanted="1lsb, 4ulp, 1e-6 or exact, or OUTPUT=1lsb")
DETECTOR = Kind(
    parse=_detector,
    wanted="CLASS,threshold=T,rate=HZ, and maybe average=S, minimum=N, suppression=S, late=S",
)
ADDRESS = Kind(parse=_address, wanted="HOST or HOST:PORT")
PATH = Kind(parse=Path, is_path=True)
PATH_OR_NONE = Kind(parse=lambda text: Path(text) if text else None, is_path=True)


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One setting. `commands` are those of `hil` that take it; none if only pytest does.

    `default` is a text like those that users give; `hil_default` is that of `hil`, where it is
    another one. `absent` says in words what holds where the default is empty. `own_flags` are the
    options of pytest, where they are not `--hil-` and the name.
    """

    name: str
    kind: Kind[T]
    help: str
    _: KW_ONLY
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


_BUILD = ("build", "flash", "infer", "bench", "evaluate", "profile")
_RUN = ("flash", "infer", "bench", "evaluate", "profile")
_FLASHING = ("infer", "bench", "evaluate", "profile")
_BENCH = ("bench",)

# Each setting as a paragraph: a line for every argument would hide the table.
# fmt: off
BOARD = Setting(
    "board", LIST, f"a board from `hil boards`, or `{ALL_EMULATED}`",
    metavar="ID", default="qemu-m4,virtual", hil_default="qemu-m4", commands=(*_BUILD, "power"),
    own_flags=("--board",),
)
MODEL = Setting(
    "model", LIST, "a name from `hil models`, an artifact folder, or a .tflite file",
    metavar="NAME", default="sine", commands=(*_BUILD, "virtual"),
)
RUNTIME = Setting(
    "runtime", LIST, "what executes the model on the board: aot, tflm, or one of `hil boards`",
    metavar="ID", absent="the board's first", commands=_BUILD,
    own_flags=("--hil-runtime", "--runtime"),
)
PORT = Setting(
    "port", LIST,
    "a serial port, URL or labgrid:PLACE; virtual:?flip=0.01 for a faulty virtual board",
    metavar="[BOARD=]PORT", absent="the board's own", commands=(*_RUN, "power"),
)
TOLERANCE = Setting(
    "tolerance", TOLERANCES,
    "how far outputs may be off the golden: 1lsb, 4ulp, 1e-6 of the largest, exact; OUTPUT=1lsb, "
    "1lsb@OPERATOR",
    metavar="RULE", absent="integers bit for bit; floats 4 ulp or 1e-5 of the largest",
    commands=("bench", "evaluate"),
)
SAMPLES = Setting(
    "samples", COUNT, "timed invokes in each session",
    metavar="N", absent="1000, or fewer that take 20 s", commands=_BENCH,
)
SESSIONS = Setting(
    "sessions", POSITIVE,
    "starts of the board per measurement: reset, cold invoke, warm-up, samples",
    metavar="N", default="1", commands=_BENCH,
)
BASELINE = Setting(
    "baseline", PATH_OR_NONE,
    "runs that latency must not be slower than: any latency CSV, or what `hil baseline save` keeps",
    metavar="FILE", absent=f"none; `{DEFAULT_BASELINES}` for `hil baseline`",
    commands=("bench", "baseline save", "baseline list", "baseline show"),
)
TRACK = Setting(
    "track", TRUTH, "hold a retrained model to the baseline of its name",
    absent="off", commands=_BENCH,
)
REPORT = Setting(
    "report", PATH_OR_NONE, "an HTML page of the run, complete in itself",
    metavar="FILE", commands=_BENCH,
)
PROFILE = Setting(
    "profile", TRUTH, "the cost of every operator, from another build, into layers.csv",
    absent="off", commands=_BENCH,
)
FUNCTIONS = Setting(
    "functions", TRUTH,
    "the instructions of every function on QEMU's boards, into functions.csv and calls.csv",
    absent="off", commands=_BENCH,
)
ENERGY = Setting(
    "energy", TRUTH,
    "the energy of an inference, by the meter of the rig file, into energy.csv",
    absent="off", commands=_BENCH,
)
ENERGY_NET = Setting(
    "energy_net", TRUTH, "energy is without idle power, which is measured apart; both are kept",
    absent="off", commands=_BENCH,
)
ENERGY_SHARE = Setting(
    "energy_share", SHARE,
    "the most uncertainty of an energy, by the energy, of which one is said; what a meter gets "
    "wrong alike in every run is none of it",
    metavar="SHARE", default="0.05", commands=_BENCH,
)
CSV = Setting(
    "csv", PATH, "latency CSV, appended to",
    metavar="FILE", default="reports/latency.csv", commands=("bench", "evaluate", "baseline save"),
)
DATA = Setting(
    "data", PATH_OR_NONE,
    "your own data: an .npz, .npy or .csv file, or a folder of images or sounds by class",
    metavar="PATH", commands=("evaluate",),
)
STRIDE = Setting(
    "stride", COUNT,
    "your data are streams of frames: a window as long as the model's input every N frames",
    metavar="N", absent="each row a sample", commands=("evaluate",),
)
DETECT = Setting(
    "detect", DETECTOR,
    "judge detections of a class: average of its score, threshold, suppression time",
    metavar="CLASS,threshold=T,rate=HZ,...", commands=("evaluate",),
)
MISSING = Setting(
    "missing", _choice("error", "skip"),
    "what to do with a board's tests when a tool that it needs is absent",
    metavar="error|skip", absent="`error` for boards asked for and in CI, else `skip`",
)
ATTRIBUTE = Setting(
    "attribute", NATURAL,
    "failed comparisons of a run whose operator is looked for, on emulated boards, by two more "
    "builds each; 0: none",
    metavar="N", default="3",
)
RIG = Setting(
    "rig", PATH_OR_NONE,
    "what is plugged in where: serial numbers, ports, power, deadlines, quarantine",
    metavar="FILE", commands=("doctor", "boards", "inspect", *_BUILD, "power", "udev"),
)
FLASH = Setting(
    "flash", _choice(*FLASH_CHOICES),
    "when to upload to a real board; auto: unless it runs the very build",
    metavar="|".join(FLASH_CHOICES), default="auto", commands=_FLASHING,
)
SWAP = Setting(
    "swap", _choice(*SWAP_CHOICES),
    "bring models over the link to one firmware, instead of building each; auto: several models, "
    "where they fit",
    metavar="|".join(SWAP_CHOICES), default="auto", commands=("flash", "infer", *_BENCH),
)
TFLM = Setting(
    "tflm", PATH_OR_NONE, "TFLite Micro from a folder, for rigs without a network",
    metavar="DIR", absent="the pin in `platformio.ini`", commands=("doctor", "inspect", *_BUILD),
)
ARENA = Setting(
    "arena", COUNT, "capacity of the tflm arena",
    metavar="BYTES", absent="planned from the model", commands=_BUILD,
)
UNCHECKED = Setting(
    "unchecked", TRUTH, "also run what the runtime is known to compute wrongly",
    absent="off", commands=_BUILD,
)
MOST_BAUD = Setting(
    "most_baud", COUNT,
    "the fastest rate that a board's UART is asked for; 115200: none but the one after reset",
    metavar="BAUD", absent="the rig file's, or the fastest that board and line have",
    commands=_FLASHING,
)
LOCK_TIMEOUT = Setting(
    "lock_timeout", SECONDS, "seconds to wait for a board that another process holds",
    metavar="S", default="120", commands=(*_RUN, "power"),
)
LABGRID = Setting(
    "labgrid", PATH_OR_NONE,
    "labgrid's client, or the virtual environment that has it, for boards of a pool",
    metavar="PATH", absent="`labgrid-client` on PATH, or `labgrid/` in the state folder",
    commands=("doctor", *_RUN, "power"),
)
COORDINATOR = Setting(
    "coordinator", ADDRESS, "the pool's coordinator",
    metavar="HOST[:PORT]", absent="`LG_COORDINATOR`, or 127.0.0.1:20408",
    commands=("doctor", *_RUN, "power"),
)
POOL_TIMEOUT = Setting(
    "pool_timeout", SECONDS, "seconds to wait for a place of the pool that others hold",
    metavar="S", default="1800", commands=(*_RUN, "power"),
)
# fmt: on

SETTINGS: tuple[Setting[Any], ...] = (
    *(
        BOARD,
        MODEL,
        RUNTIME,
        PORT,
        SAMPLES,
        SESSIONS,
        BASELINE,
        TRACK,
        REPORT,
        PROFILE,
        FUNCTIONS,
        ENERGY,
        ENERGY_NET,
        ENERGY_SHARE,
        CSV,
    ),
    *(DATA, STRIDE, DETECT, TOLERANCE, MISSING, ATTRIBUTE, RIG, FLASH, SWAP, TFLM, ARENA),
    *(UNCHECKED, MOST_BAUD, LOCK_TIMEOUT, LABGRID, COORDINATOR, POOL_TIMEOUT),
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

    @property
    def stated_tolerance(self) -> Stated:
        """The tolerance that is set, and where."""
        from harness.tolerance import Stated

        return Stated(items=self[TOLERANCE], by=self.said(TOLERANCE).source)

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
