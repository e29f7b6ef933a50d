"""What the ends of `with` blocks of meters have in common."""

from __future__ import annotations

from typing import TypeVar

Closed = TypeVar("Closed", bound="ClosedAtEnd")


class ClosedAtEnd:
    """What is closed where its `with` block ends; for classes that have `close`."""

    def close(self) -> None:
        """As of `Meter`."""
        raise NotImplementedError

    def __enter__(self: Closed) -> Closed:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
