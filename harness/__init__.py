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
    from harness.firmware.compiled import write_model
    from harness.firmware.platformio import Job
    from harness.firmware.runtime import Look, Question, Runtime
    from harness.link.dut import Dut
    from harness.measure.compare import Comparison, Verdict
    from harness.measure.detection import (
        Detection,
        DetectionSummary,
        Interval,
        detect,
        judge_detections,
    )
    from harness.measure.frames import read_rows
    from harness.measure.tables import LatencyRow
    from harness.model.artifact import Artifact
    from harness.model.graph import Step
    from harness.model.resolve import resolve_model
    from harness.model.sequence import Windows, samples_of, sliding_windows
    from harness.rig.open import OpenBoard, RigOptions, open_board
    from harness.rig.sessions import Plan, measure_board

__all__ = [
    "Artifact",
    "Board",
    "BoardError",
    "Comparison",
    "Detection",
    "DetectionSummary",
    "Dut",
    "HilError",
    "Interval",
    "Job",
    "LatencyRow",
    "Look",
    "OpenBoard",
    "Plan",
    "Question",
    "RigError",
    "RigOptions",
    "Runtime",
    "Step",
    "Verdict",
    "Windows",
    "detect",
    "judge_detections",
    "load_registry",
    "measure_board",
    "open_board",
    "read_rows",
    "resolve_model",
    "samples_of",
    "sliding_windows",
    "write_model",
]

_HOMES = {
    "Artifact": "harness.model.artifact",
    "Board": "harness.board.registry",
    "BoardError": "harness.errors",
    "Comparison": "harness.measure.compare",
    "Detection": "harness.measure.detection",
    "DetectionSummary": "harness.measure.detection",
    "Dut": "harness.link.dut",
    "HilError": "harness.errors",
    "Interval": "harness.measure.detection",
    "Job": "harness.firmware.platformio",
    "LatencyRow": "harness.measure.tables",
    "Look": "harness.firmware.runtime",
    "OpenBoard": "harness.rig.open",
    "Plan": "harness.rig.sessions",
    "Question": "harness.firmware.runtime",
    "RigError": "harness.errors",
    "RigOptions": "harness.rig.open",
    "Runtime": "harness.firmware.runtime",
    "Step": "harness.model.graph",
    "Verdict": "harness.measure.compare",
    "Windows": "harness.model.sequence",
    "detect": "harness.measure.detection",
    "judge_detections": "harness.measure.detection",
    "load_registry": "harness.board.registry",
    "measure_board": "harness.rig.sessions",
    "open_board": "harness.rig.open",
    "read_rows": "harness.measure.frames",
    "resolve_model": "harness.model.resolve",
    "samples_of": "harness.model.sequence",
    "sliding_windows": "harness.model.sequence",
    "write_model": "harness.firmware.compiled",
}


def __getattr__(name: str) -> Any:
    """A public name, from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
