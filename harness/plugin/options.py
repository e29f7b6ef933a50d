"""The plugin's options: declared from the table of settings, and parsed once into a record."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from harness.errors import WrongUse
from harness.settings import (
    ARENA,
    BASELINE,
    BOARD,
    CSV,
    FLASH,
    LIST,
    LOCK_TIMEOUT,
    MISSING,
    MODEL,
    PROFILE,
    REPORT,
    RIG,
    RUNTIME,
    SAMPLES,
    SESSIONS,
    SETTINGS,
    TFLM,
    TRACK,
    TRUTH,
    UNCHECKED,
    Setting,
    Sources,
)


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
    lock_timeout_s: float
    flash: str
    tflm: Path | None
    arena_bytes: int | None
    unchecked: bool
    baseline: Path | None
    track: bool
    report: Path | None
    profile: bool


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hil", "hardware in the loop")
    for setting in SETTINGS:
        group.addoption(
            *setting.pytest_flags,
            dest=_dest(setting),
            help=setting.help_of(hil=False),
            **_how(setting),
        )
        kind: Literal["linelist", "string"] = "linelist" if setting.kind is LIST else "string"
        parser.addini(setting.ini, type=kind, help=f"as {setting.pytest_flags[0]}")


def _dest(setting: Setting[Any]) -> str:
    return setting.name if setting is BOARD else f"hil_{setting.name}"


def _how(setting: Setting[Any]) -> dict[str, Any]:
    if setting.kind is TRUTH:
        return {"action": "store_const", "const": "true"}
    action = "append" if setting.kind is LIST else "store"
    return {"action": action, "metavar": setting.metavar}


def parse_options(config: pytest.Config) -> Options:
    """Options from the command line, ini file, environment and defaults, in this order.

    Raises:
        pytest.UsageError: one of them cannot be.
    """
    sources = Sources(
        given={setting.name: config.getoption(_dest(setting)) for setting in SETTINGS},
        ini={setting.ini: config.getini(setting.ini) for setting in SETTINGS},
        environment=os.environ,
        folder=config.invocation_params.dir,
        ini_folder=config.rootpath,
        default_folder=config.rootpath,
    )
    try:
        return _options(sources)
    except WrongUse as error:
        raise pytest.UsageError(str(error)) from error


def _options(sources: Sources) -> Options:
    boards, tflm = sources[BOARD], sources[TFLM]
    asked = bool(sources.said(BOARD).source)
    return Options(
        boards=boards,
        asked=asked,
        models=sources[MODEL],
        runtimes=sources[RUNTIME],
        samples=sources[SAMPLES],
        sessions=sources[SESSIONS],
        csv=sources[CSV],
        missing=sources[MISSING] or ("error" if asked or os.environ.get("CI") else "skip"),
        ports=sources.ports(boards),
        rig_file=sources[RIG],
        lock_timeout_s=sources[LOCK_TIMEOUT],
        flash=sources[FLASH],
        tflm=tflm and tflm.resolve(),
        arena_bytes=sources[ARENA],
        unchecked=sources[UNCHECKED],
        baseline=sources[BASELINE],
        track=sources[TRACK],
        report=sources[REPORT],
        profile=sources[PROFILE],
    )
