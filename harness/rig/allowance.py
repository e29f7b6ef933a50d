"""How many failed comparisons of a run are attributed to an operator: each takes two builds."""

from __future__ import annotations


class Allowance:
    """So many attributions for a run; any number if None."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._left = most

    def take(self) -> bool:
        """Whether one more may be made; it counts as made then."""
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0

    @property
    def refusal(self) -> str:
        """What is said in the place of one that may not be made."""
        how = "hil profile --first-difference does it"
        if not self._most:
            return f"not attributed to an operator, as asked for: {how}"
        return (
            f"not attributed to an operator, which takes two builds: --hil-attribute={self._most} "
            f"allows so many in a run; {how}"
        )
