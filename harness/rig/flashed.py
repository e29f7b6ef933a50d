"""Which models the firmware takes that was last uploaded to a board, for later commands."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness.files import write_atomic
from harness.firmware.swap import SwapPlan

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Flashed:
    """Firmware to which models are brought over the link: the runtime, and the models' files."""

    runtime: str
    models: tuple[Path, ...]


def note_flashed(state: Path, board_id: str, runtime: str, swap: SwapPlan | None) -> None:
    """Remember what a board was given; nothing of firmware for one model.

    That it cannot be remembered costs an upload later, and is no error.
    """
    path = _path(state, board_id)
    with suppress(OSError):
        if swap is None:
            path.unlink(missing_ok=True)
            return
        models = [str(model.absolute()) for model in swap.paths]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps({"runtime": runtime, "models": models}).encode())


def flashed_on(state: Path, board_id: str) -> Flashed | None:
    """What `note_flashed` remembered; None if that is nothing, or cannot be read."""
    try:
        with _path(state, board_id).open("rb") as file:
            said = json.loads(file.read(_MOST_BYTES))
        return Flashed(runtime=str(said["runtime"]), models=tuple(map(Path, said["models"])))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _path(state: Path, board_id: str) -> Path:
    return state / "flashed" / f"{quote(board_id, safe='')[:200]}.json"
