"""A board that a search holds from its first step to its last, as its steps are told of it.

Each step is a process of its own. It would wait for the lock, or the place of a pool, that the
search holds: so the search says in its environment what it holds and who it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

VARIABLE = "HIL_LENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A board that process `pid` holds; `place` is how, where it is one of a pool."""

    board: str
    pid: int
    place: Mapping[str, Any] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """What the environment of a step says of it."""
        return {VARIABLE: json.dumps(asdict(self))}


def loan_of(board: str, environment: Mapping[str, str] = os.environ) -> Loan | None:
    """What the process that started this one lends of a board; None if nothing."""
    try:
        loan = Loan(**json.loads(environment.get(VARIABLE, "")))
    except (ValueError, TypeError):
        return None
    usable = isinstance(loan.pid, int) and isinstance(loan.place, Mapping)
    return loan if usable and loan.board == board else None
