"""How far a board's outputs may be from the golden's: the rule, and how users write another one.

Integers are held bit for bit. Cores differ by a few ulp in float32 arithmetic, most where the
output is small beside what it was summed up from: hence the second part of the rule for floats.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_OPERATOR = re.compile(r"\w{1,100}", re.ASCII)
_COUNTED = re.compile(r"(\d{1,9}) ?(lsb|ulp)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far an element may be from the golden's and still count as equal.

    Integers by `lsb`. Floats by `ulp`, steps of float32, or else by `relative` times the largest
    finite magnitude that the golden has in this output over all samples compared. NaN equals NaN;
    an infinity equals itself only.
    """

    lsb: int = 0
    ulp: int = 0
    relative: float = 0.0

    def __post_init__(self) -> None:
        # A share of 1 would accept nearly all, and is what somebody writes who means 1lsb.
        if min(self.lsb, self.ulp) < 0 or not 0 <= self.relative < 1:
            raise ValueError(f"a tolerance is 0 or above, and as a share below 1: {self}")

    def __str__(self) -> str:
        parts = [
            f"{count} {unit}" for count, unit in ((self.lsb, "LSB"), (self.ulp, "ulp")) if count
        ]
        if self.relative:
            parts.append(f"{self.relative:g} of the largest")
        return " or ".join(parts) or "bit for bit"


EXACT = Tolerance()
FLOATS = Tolerance(ulp=4, relative=1e-5)
"""The rule for float32 where nobody states another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """One item of a stated tolerance; `output` is a name or position, None for all that it fits.

    `operator` is the kind of the only operator whose difference it is for, None for any.
    """

    output: str | None
    tolerance: Tolerance
    operator: str | None = None

    def fits(self, dtype: str) -> bool:
        """Whether its unit is one of outputs of this dtype; none at all is of both."""
        if self.tolerance == EXACT:
            return True
        return (self.tolerance.lsb > 0) == (dtype != "float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A tolerance that somebody asked for, and where; nothing was asked for without items."""

    items: tuple[Allowed, ...] = ()
    by: str = ""

    @property
    def operators(self) -> frozenset[str]:
        """The kinds of operators whose differences alone it is for; empty for any."""
        return frozenset(item.operator for item in self.items if item.operator)


def parse_tolerance(text: str) -> tuple[Allowed, ...]:
    """Read `1lsb`, `4ulp`, `1e-6`, `exact`, each for all outputs or as `OUTPUT=1lsb`.

    `1lsb@FULLY_CONNECTED` is for differences that come from such an operator. Several are separated
    by commas; of `4ulp,1e-6` one has to hold.

    Raises:
        ValueError: it is nothing of these.
    """
    return tuple(_item(item.strip()) for item in text.split(",") if item.strip())


def _item(text: str) -> Allowed:
    output, _, rule = text.rpartition("=")
    amount, at, operator = rule.partition("@")
    if at and not _OPERATOR.fullmatch(operator.strip()):
        raise ValueError(text)
    return Allowed(
        output=output or None,
        tolerance=_tolerance(amount.strip()),
        operator=operator.strip() or None,
    )


def _tolerance(text: str) -> Tolerance:
    if text == "exact":
        return EXACT
    counted = _COUNTED.fullmatch(text)
    if counted:
        return Tolerance(**{counted[2].lower(): int(counted[1])})
    relative = float(text)
    if not math.isfinite(relative):
        raise ValueError(text)
    return Tolerance(relative=relative)
