"""How far estimates of cycles were off published figures, as `benchmarks/latency/cycles.py` found.

The figures are in the file beside this one, which that benchmark wrote.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FOUND = Path(__file__).with_suffix(".json")
TOO_FAR = 0.3
"""An error beyond this is said in so many words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A published figure beside the estimate for the same network, built and counted here.

    `alike`: the published code has the same kernels, of whatever version and compiler. Otherwise
    the difference is that of the code, too.
    """

    core: str
    network: str
    board: str
    code: str
    source: str
    alike: bool
    published_cycles: float
    runtime: str
    built: str
    instructions: int
    estimate_cycles: float

    @property
    def error(self) -> float:
        """Of the estimate, as a share of the published figure."""
        return self.estimate_cycles / self.published_cycles - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one run of the benchmark found, on `date`, with these versions."""

    date: str
    versions: str
    rows: tuple[Compared, ...]


def load_found(path: Path = FOUND) -> Found:
    """What was found and written."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    rows = tuple(Compared(**row) for row in raw["rows"])
    return Found(date=raw["date"], versions=raw["versions"], rows=rows)


def found_text(found: Found) -> str:
    """The same as text, to be written."""
    return json.dumps(asdict(found), indent=1) + "\n"


def error_lines(found: Found, core: str) -> list[str]:
    """What is known of the error on a core, to stand beside every estimate for it."""
    rows = [row for row in found.rows if row.core == core]
    if not rows:
        return [f"no published figure for a {core} was at hand: how far off it is, nobody knows"]
    lines = [
        f"{len(chosen)} published figures of {what}: the estimate was off by {_range(chosen)}"
        for what, chosen in (
            ("code with the same kernels", [row for row in rows if row.alike]),
            ("other code for the same networks", [row for row in rows if not row.alike]),
        )
        if chosen
    ]
    if any(abs(row.error) > TOO_FAR for row in rows):
        lines.append(f"MORE THAN {100 * TOO_FAR:.0f} % OFF at worst: not fit to plan by")
    return lines


def _range(rows: Sequence[Compared]) -> str:
    errors = sorted(row.error for row in rows)
    low, high = f"{100 * errors[0]:+.0f} %", f"{100 * errors[-1]:+.0f} %"
    return low if low == high else f"{low} to {high}"
