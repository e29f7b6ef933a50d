"""A hardware-in-the-loop test and benchmark harness for TinyML.

The names in `__all__` are the public API; each is loaded from its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from harness.version import __version__ as __version__

if TYPE_CHECKING:
    from harness.board.registry import Board, load_registry
    from harness.errors import BoardError, HilError, RigError
    from harness.link.dut import Dut
    from harness.measure.compare import Comparison, Verdict
    from harness.measure.frames import read_rows
    from harness.measure.tables import LatencyRow
    from harness.model.artifact import Artifact
    from harness.model.resolve import resolve_model
    from harness.rig.open import OpenBoard, RigOptions, open_board
    from harness.rig.sessions import Plan, measure_board

__all__ = [
    "Artifact",
    "Board",
    "BoardError",
    "Comparison",
    "Dut",
    "HilError",
    "LatencyRow",
    "OpenBoard",
    "Plan",
    "RigError",
    "RigOptions",
    "Verdict",
    "load_registry",
    "measure_board",
    "open_board",
    "read_rows",
    "resolve_model",
]

_HOMES = {
    "Artifact": "harness.model.artifact",
    "Board": "harness.board.registry",
    "BoardError": "harness.errors",
    "Comparison": "harness.measure.compare",
    "Dut": "harness.link.dut",
    "HilError": "harness.errors",
    "LatencyRow": "harness.measure.tables",
    "OpenBoard": "harness.rig.open",
    "Plan": "harness.rig.sessions",
    "RigError": "harness.errors",
    "RigOptions": "harness.rig.open",
    "Verdict": "harness.measure.compare",
    "load_registry": "harness.board.registry",
    "measure_board": "harness.rig.sessions",
    "open_board": "harness.rig.open",
    "read_rows": "harness.measure.frames",
    "resolve_model": "harness.model.resolve",
}


def __getattr__(name: str) -> Any:
    """A public name, from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
