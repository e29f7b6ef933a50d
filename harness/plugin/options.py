"""The plugin's options: declared from the table of settings, and parsed once into a record."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from harness import settings
from harness.errors import RigError, WrongUse
from harness.settings import Setting, Sources

if TYPE_CHECKING:
    from harness.detector import Detector
    from harness.tolerance import Stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The plugin's options, parsed once. `asked` says that boards were named by the user.

    `runtimes` is empty where each board's own is meant. `left_out` says of boards of `all-emulated`
    why they are not among `boards`, a line each.
    """

    boards: tuple[str, ...]
    left_out: tuple[str, ...]
    asked: bool
    models: tuple[str, ...]
    runtimes: tuple[str, ...]
    tolerance: Stated
    samples: int | None
    sessions: int
    csv: Path
    missing: str
    attribute: int
    ports: dict[str, str]
    rig_file: Path | None
    lock_timeout_s: float
    flash: str
    swap: str
    tflm: Path | None
    arena_bytes: int | None
    unchecked: bool
    most_baud: int | None
    labgrid: Path | None
    coordinator: str | None
    pool_timeout_s: float
    baseline: Path | None
    track: bool
    report: Path | None
    profile: bool
    functions: bool
    energy: bool
    energy_net: bool
    energy_share: float
    data: Path | None
    stride: int | None
    detector: Detector | None


_LINES: Literal["linelist"] = "linelist"
_TEXT: Literal["string"] = "string"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hil", "hardware in the loop")
    for setting in settings.SETTINGS:
        group.addoption(
            *setting.pytest_flags,
            dest=_dest(setting),
            help=setting.help_of(hil=False),
            **_how(setting),
        )
        kind = _LINES if setting.kind is settings.LIST else _TEXT
        parser.addini(setting.ini, type=kind, help=f"as {setting.pytest_flags[0]}")


def _dest(setting: Setting[Any]) -> str:
    return setting.name if setting is settings.BOARD else f"hil_{setting.name}"


def _how(setting: Setting[Any]) -> dict[str, Any]:
    if setting.kind is settings.TRUTH:
        return {"action": "store_const", "const": "true"}
    action = "append" if setting.kind is settings.LIST else "store"
    return {"action": action, "metavar": setting.metavar}


def parse_options(config: pytest.Config) -> Options:
    """Options from the command line, ini file, environment and defaults, in this order.

    Raises:
        pytest.UsageError: one of them cannot be.
    """
    sources = Sources(
        given={setting.name: config.getoption(_dest(setting)) for setting in settings.SETTINGS},
        ini={setting.ini: config.getini(setting.ini) for setting in settings.SETTINGS},
        environment=os.environ,
        folder=config.invocation_params.dir,
        ini_folder=config.rootpath,
        default_folder=config.rootpath,
    )
    try:
        return _options(sources)
    except (WrongUse, RigError) as error:
        raise pytest.UsageError(str(error)) from error


def _options(sources: Sources) -> Options:
    boards, left_out = _boards(sources)
    tflm = sources[settings.TFLM]
    asked = bool(sources.said(settings.BOARD).source)
    return Options(
        boards=boards,
        left_out=left_out,
        asked=asked,
        models=sources[settings.MODEL],
        runtimes=sources[settings.RUNTIME],
        tolerance=sources.stated_tolerance,
        samples=sources[settings.SAMPLES],
        sessions=sources[settings.SESSIONS],
        csv=sources[settings.CSV],
        missing=sources[settings.MISSING] or ("error" if asked or os.environ.get("CI") else "skip"),
        attribute=sources[settings.ATTRIBUTE],
        ports=sources.ports(boards),
        rig_file=sources[settings.RIG],
        lock_timeout_s=sources[settings.LOCK_TIMEOUT],
        flash=sources[settings.FLASH],
        swap=sources[settings.SWAP],
        tflm=tflm and tflm.resolve(),
        arena_bytes=sources[settings.ARENA],
        unchecked=sources[settings.UNCHECKED],
        most_baud=sources[settings.MOST_BAUD],
        labgrid=sources[settings.LABGRID],
        coordinator=sources[settings.COORDINATOR],
        pool_timeout_s=sources[settings.POOL_TIMEOUT],
        baseline=sources[settings.BASELINE],
        track=sources[settings.TRACK],
        report=sources[settings.REPORT],
        profile=sources[settings.PROFILE],
        functions=sources[settings.FUNCTIONS],
        energy=sources[settings.ENERGY],
        energy_net=sources[settings.ENERGY_NET],
        energy_share=sources[settings.ENERGY_SHARE],
        data=sources[settings.DATA],
        stride=sources[settings.STRIDE],
        detector=sources[settings.DETECT],
    )


def _boards(sources: Sources) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The boards to run on, and why emulated ones are left out."""
    asked = sources[settings.BOARD]
    if settings.ALL_EMULATED not in asked:
        return asked, ()
    from harness.rig.emulated import expand_here  # every pytest loads this file

    runtimes = sources[settings.RUNTIME]
    found = expand_here(asked, runtimes)
    return found.boards, found.left_out
