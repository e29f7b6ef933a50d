"""What a simulated chip says when it hands back control."""

from __future__ import annotations

from enum import Enum, auto


class Pause(Enum):
    """Why a machine hands back control."""

    IDLE = auto()
    """Nothing will happen before something comes from outside."""
    BUSY = auto()
    """It has run for a while."""
