"""The cells of CSV files as values: of which type, and which of them can be."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache, partial
from typing import Any

import numpy as np

from harness.measure.csvfile import cell, text_of

Kind = Any
"""The class of a record. mypy does not know that it can be hashed."""

MOST_US = 1e15
"""Microseconds, over 31 years: nobody has waited for that."""

# Of float models: NaN equals NaN, and an infinity itself. `clock_ppm` has a sign.
_ANY_NUMBER = {
    *("board_raw", "golden_raw", "board_real", "golden_real", "float_real", "truth", "x"),
    *("max_abs_lsb", "mae_vs_float", "max_abs_vs_truth", "clock_ppm", "clock_ppm_error"),
    *("value", "low", "high", "rmse", "rmse_low", "rmse_high", "host_value", "float_value"),
}
# Differences of medians: on silicon one may be below 0. A current may flow the other way.
_DIFFERENCES = {
    *("mean_ua", "charge_uc", "gross_uj", "net_uj", "energy_uj", "idle_uw"),
    *("begin_us", "low_ua", "high_ua"),
    *("p50_ticks", "share", "macs_per_cycle", "macs_per_instruction"),
    *("between_us", "observing_us", "between_instructions", "observing_instructions"),
}
_SHAPE = re.compile(r"([0-9]{1,18}(x[0-9]{1,18})*)?")


def _plain(content: str) -> str:
    """Python also takes `1_000` and other alphabets' digits."""
    if "_" in content or not content.isascii():
        raise ValueError(f"{content!r} is no number")
    return content


def _whole(content: str, *, least: int) -> int:
    value = int(_plain(content))
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{content} has more than 64 bits")
    if value < least:
        raise ValueError(f"{content} is below {least}")
    return value


def _number(content: str, *, least: float, most: float) -> float:
    value = float(_plain(content))
    if not math.isfinite(value):
        raise ValueError(f"{content} is no finite number")
    if not least <= value <= most:
        raise ValueError(f"{content} is {'below' if value < least else 'above'} what can be")
    return value


def _any_number(content: str) -> float:
    return float(_plain(content))


def _truth(content: str) -> bool:
    if content not in ("true", "false"):
        raise ValueError(f"{content!r} is neither true nor false")
    return content == "true"


def _shape(content: str) -> str:
    if not _SHAPE.fullmatch(content):
        raise ValueError(f"{content!r} is no shape")
    return content


def _parser(name: str, kind: type[Any]) -> Callable[[str], Any]:
    if kind is int:
        return partial(_whole, least=-(2**63) if name in _DIFFERENCES else 0)
    if kind is float:
        if name in _ANY_NUMBER:
            return _any_number
        least = -MOST_US if name in _DIFFERENCES else 0.0
        return partial(_number, least=least, most=MOST_US)
    if kind is bool:
        return _truth
    return _shape if name == "shape" else text_of


# pandas' dtypes that know absent values.
_DTYPES = {str: "string", bool: "boolean", int: "Int64", float: "float64"}


_PLAIN: dict[str, type[Any]] = {"Int64": np.int64, "float64": np.float64}


@dataclass(frozen=True, slots=True)
class Column:
    """How to read a column; `default` is its cell in files without it, None if all have it."""

    parse: Callable[[str], Any]
    dtype: str
    optional: bool
    default: str | None

    @property
    def plain(self) -> type[Any] | None:
        """NumPy's type of a column of numbers, where no row may be without."""
        return None if self.optional else _PLAIN.get(self.dtype)

    def checked(self, numbers: Any) -> Any:
        """Numbers (n,) of the `plain` type as this column; ValueError if one cannot be."""
        import pandas as pd

        for extreme in (numbers.min(), numbers.max()) if len(numbers) else ():
            # What holds for the least and the most holds for all between.
            self.parse(str(extreme))
        return numbers if self.dtype == "float64" else pd.array(numbers, dtype=self.dtype)

    def value(self, content: str) -> Any:
        """The value of a cell; ValueError says what is wrong with it."""
        if content == "" and self.optional:
            return None
        if content == "" and self.dtype != "string":
            raise ValueError("is empty")
        return self.parse(content)

    def values(self, cells: Any) -> tuple[Any, dict[int, str]]:
        """Values of cells, and by their places what is wrong with some.

        Each different text is parsed once: columns are long and say few different things.
        """
        import pandas as pd

        codes, different = pd.factorize(cells)
        parsed: list[Any] = []
        wrong: dict[int, str] = {}
        for code, content in enumerate(different):
            try:
                parsed.append(self.value(content))
            except ValueError as error:
                parsed.append(None)
                wrong[code] = str(error)
        at = np.flatnonzero(np.isin(codes, list(wrong))) if wrong else ()
        faults = {int(place): wrong[codes[place]] for place in at}
        if self.dtype == "float64":
            return np.array(parsed, dtype=np.float64).take(codes), faults
        return pd.array(parsed, dtype=self.dtype).take(codes), faults


@cache
def layout_of(kind: Kind) -> dict[str, Column]:
    """The columns of a record, by name."""
    layout, hints = {}, typing.get_type_hints(kind)
    for item in fields(kind):
        types = typing.get_args(hints[item.name]) or (hints[item.name],)
        default = None if item.default is MISSING else cell(item.default)
        parse = _parser(item.name, types[0])
        layout[item.name] = Column(parse, _DTYPES[types[0]], len(types) > 1, default)
    return layout
