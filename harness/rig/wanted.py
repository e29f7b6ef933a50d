"""A board that is to be opened, and what is to run on it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.board.registry import Board
from harness.errors import Where
from harness.firmware.build import Firmware
from harness.firmware.swap import SwapPlan
from harness.link.loading import Errand
from harness.model.artifact import Artifact
from harness.pool.hold import Held
from harness.rig.options import RigOptions
from harness.rig.ready import Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A board that is to be opened, what is to run on it, and what HELLO must show.

    `swap` is what its firmware has for models that are brought, of which `errand` is one.
    """

    board: Board
    artifact: Artifact
    firmware: Firmware | None
    swap: SwapPlan | None
    errand: Errand | None
    expected: Expected
    where: Where
    options: RigOptions
    held: Held | None = None
