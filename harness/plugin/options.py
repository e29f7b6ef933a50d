"""The plugin's options: declared, and parsed once into a record."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.rig.open import RigOptions

DEFAULT_MODEL = "sine"
DEFAULT_SAMPLES = 1000
DEFAULT_CSV = Path("reports/latency.csv")
DEFAULT_LOCK_TIMEOUT_S = 120.0
FLASH = ("auto", "always", "never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The plugin's options, parsed once. `asked` says that boards were named by the user.

    `runtimes` is empty where each board's own is meant.
    """

    boards: tuple[str, ...]
    asked: bool
    models: tuple[str, ...]
    runtimes: tuple[str, ...]
    samples: int
    sessions: int
    csv: Path
    missing: str
    ports: dict[str, str]
    rig_file: Path | None
    rig: RigOptions
    baseline: Path | None = None
    track: bool = False
    report: Path | None = None
    profile: bool = False


DEFAULT_BOARDS = "qemu-m4,virtual"


_DEFAULTS = {
    "board": DEFAULT_BOARDS,
    "model": DEFAULT_MODEL,
    "runtime": "",
    "port": "",
    "samples": str(DEFAULT_SAMPLES),
    "sessions": "1",
    "csv": str(DEFAULT_CSV),
    "missing": "",
    "lock_timeout": f"{DEFAULT_LOCK_TIMEOUT_S:g}",
    "rig": "",
    "flash": FLASH[0],
    "tflm": "",
    "baseline": "",
    "track": "",
    "report": "",
    "profile": "",
}


_TRUTHS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hil", "hardware in the loop")
    add = group.addoption
    add("--board", action="append", metavar="ID", help="board to test (repeat, or comma list)")
    add("--hil-model", action="append", metavar="NAME", help="model name, folder or .tflite file")
    add(
        "--hil-runtime",
        "--runtime",
        metavar="ID",
        help="tflm, aot or both; default: the board's own",
    )
    add("--hil-port", action="append", metavar="[BOARD=]PORT", help="where the board is")
    add("--hil-samples", metavar="N", help="timed invokes per measurement")
    add("--hil-sessions", metavar="N", help="starts of the board per measurement")
    add("--hil-csv", metavar="FILE", help="latency CSV to append to")
    add("--hil-missing", choices=("error", "skip"), help="when a board or its tools are absent")
    add("--hil-lock-timeout", metavar="S", help="seconds to wait for a board in use")
    add("--hil-rig", metavar="FILE", help="rig file (TOML): what is plugged in where")
    add("--hil-flash", choices=FLASH, help="upload if the board runs another build, always, never")
    add("--hil-tflm", metavar="DIR", help="TFLM library to build with, for rigs without a network")
    add("--hil-baseline", metavar="FILE", help="CSV of runs that latency must not be slower than")
    add(
        "--hil-track",
        action="store_true",
        help="a retrained model is held to the baseline of its name",
    )
    add("--hil-report", metavar="FILE", help="HTML page to write of this run")
    add(
        "--hil-profile",
        action="store_true",
        help="build each model again to be profiled: the time of every operator, in layers.csv",
    )
    add(
        "--hil-unchecked",
        action="store_true",
        help="run models also where the runtime is known to compute them wrongly",
    )
    for name, default in _DEFAULTS.items():
        parser.addini(f"hil_{name}", help=f"default of the option of that name [{default}]")


def _setting(config: pytest.Config, name: str) -> tuple[str, bool]:
    """Value of a setting and whether anybody gave it: command line, ini, environment, default."""
    given = config.getoption("board" if name == "board" else f"hil_{name}")
    if isinstance(given, list):
        given = ",".join(given)
    ini = config.getini(f"hil_{name}")
    for value in (given, ini, os.environ.get(f"HIL_{name.upper()}")):
        if value:
            return str(value), True
    return _DEFAULTS[name], False


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))


def _number(name: str, text: str, kind: type[int] | type[float]) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if value < 0 or (kind is int and value < 1):
        raise pytest.UsageError(f"--hil-{name} takes a positive number, not {text!r}")
    return value


def _truth(name: str, text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise pytest.UsageError(f"hil_{name} is true or false, not {text!r}")
    return _TRUTHS[text.lower()]


def _ports(text: str, boards: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for item in _listed(text):
        board, equals, port = item.partition("=")
        if equals and board in boards:
            found[board] = port
        elif len(boards) == 1:
            found[boards[0]] = item
        else:
            raise pytest.UsageError(f"--hil-port {item}: say which board, as in BOARD=PORT")
    return found


def parse_options(config: pytest.Config) -> Options:
    """Options from the command line, ini file, environment and defaults, in this order."""
    from harness.rig.open import RigOptions

    board_text, asked = _setting(config, "board")
    boards = _listed(board_text)
    missing, told = _setting(config, "missing")
    if not told:
        missing = "error" if asked or os.environ.get("CI") else "skip"
    samples = _number("samples", _setting(config, "samples")[0], int)
    timeout = _number("lock-timeout", _setting(config, "lock_timeout")[0], float)
    rig_file, _ = _setting(config, "rig")
    tflm, _ = _setting(config, "tflm")
    flash, _ = _setting(config, "flash")
    baseline, _ = _setting(config, "baseline")
    report, _ = _setting(config, "report")
    if flash not in FLASH:
        raise pytest.UsageError(f"--hil-flash is one of {', '.join(FLASH)}, not {flash!r}")
    return Options(
        boards=boards,
        asked=asked,
        models=_listed(_setting(config, "model")[0]),
        runtimes=_listed(_setting(config, "runtime")[0]),
        samples=samples,
        sessions=_number("sessions", _setting(config, "sessions")[0], int),
        csv=config.rootpath / _setting(config, "csv")[0],
        missing=missing,
        ports=_ports(_setting(config, "port")[0], boards),
        rig_file=config.rootpath / rig_file if rig_file else None,
        rig=RigOptions(
            lock_timeout_s=timeout,
            flash=flash,
            tflm=(config.rootpath / tflm).resolve() if tflm else None,
            check_support=not config.getoption("hil_unchecked"),
        ),
        baseline=config.rootpath / baseline if baseline else None,
        track=_truth("track", _setting(config, "track")[0]),
        report=config.rootpath / report if report else None,
        profile=_truth("profile", _setting(config, "profile")[0]),
    )
