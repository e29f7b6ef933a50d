"""The functions that differ between two builds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.measure.tables import FunctionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionChange:
    """A function in two builds: its own instructions of one invoke, None where it has none.

    `calls` likewise. `change` is b less a, where none counts as 0.
    """

    board: str
    runtime: str
    model: str
    dtype: str
    function: str
    a: int | None
    b: int | None
    calls_a: int | None
    calls_b: int | None

    @property
    def change(self) -> int:
        """Instructions that b takes more."""
        return (self.b or 0) - (self.a or 0)


_Key = tuple[str, str, str, str, str]


def compare_functions(
    a: Iterable[FunctionRow], b: Iterable[FunctionRow]
) -> tuple[FunctionChange, ...]:
    """Functions whose own instructions differ, of what both measured; the largest change first.

    A part that the compiler split off (`.constprop.0`, `.part.1`) counts with its function: whether
    it does so differs between builds. The changes of one board, runtime and model add up to that of
    the whole.

    Args:
        a: rows of one run of each board, runtime and model.
    """
    before, after = _by_function(a), _by_function(b)
    both = {key[:4] for key in before} & {key[:4] for key in after}
    changes = [
        FunctionChange(
            board=key[0],
            runtime=key[1],
            model=key[2],
            dtype=key[3],
            function=(after.get(key) or before[key]).name,
            a=before[key].instructions if key in before else None,
            b=after[key].instructions if key in after else None,
            calls_a=before[key].calls if key in before else None,
            calls_b=after[key].calls if key in after else None,
        )
        for key in {**before, **after}
        if key[:4] in both
    ]
    differing = [change for change in changes if change.change]
    return tuple(
        sorted(
            differing, key=lambda item: (item.board, item.runtime, item.model, -abs(item.change))
        )
    )


@dataclass(frozen=True, slots=True)
class _Sum:
    name: str
    instructions: int
    calls: int


def _by_function(rows: Iterable[FunctionRow]) -> dict[_Key, _Sum]:
    found: dict[_Key, _Sum] = {}
    for row in rows:
        symbol = row.symbol.partition(".")[0] or row.symbol
        key = (row.board, row.runtime, row.model, row.dtype, symbol)
        name = row.function.partition(".")[0] or row.function
        before = found.get(key, _Sum(name, 0, 0))
        found[key] = _Sum(name, before.instructions + row.instructions, before.calls + row.calls)
    return found
