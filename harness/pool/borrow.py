"""A place that another process holds and lends to this one: a search lends it to its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.board.place import PlaceSpec
from harness.errors import PoolError, Where
from harness.lent import Loan
from harness.pool.answers import Resource
from harness.pool.asking import Told
from harness.pool.labgrid import Identity, Labgrid
from harness.pool.looking import refuse_lost, shown_of


class ByLender:
    """Asks the coordinator itself how a place is, under the name that the lender has there."""

    def __init__(self, labgrid: Labgrid, place: str) -> None:
        self._labgrid = labgrid
        self._place = place

    def check(self, where: Where) -> Told:
        """How the place is now.

        Raises:
            CoordinatorGone, PlaceLost, ExporterGone: it is not the lender's, or has no board.
        """
        try:
            shown = shown_of(self._labgrid, self._place)
            refuse_lost(shown, self._labgrid.identity)
        except PoolError as error:
            error.where = where
            raise
        return Told(place=self._place, serial=shown.serial, power=shown.power)

    def trouble(self, where: Where) -> PoolError | None:
        """None: whoever lends it is told of trouble, and looks after each step."""
        return None


def lent_place(wanted: PlaceSpec, identity: Identity, told: Told) -> dict[str, Any]:
    """What a step is told of a place."""
    return {
        "wanted": str(wanted),
        "identity": [identity.host, identity.user],
        "told": asdict(told),
    }


def borrowed(loan: Loan | None, wanted: PlaceSpec) -> tuple[Identity, Told] | None:
    """Whose a place is that is lent, and what is known of it; None where it is not lent."""
    place = loan.place if loan else {}
    if place.get("wanted") != str(wanted):
        return None
    host, user = place["identity"]
    told: Mapping[str, Any] = place["told"]
    known = Told(place=told["place"], serial=Resource(**told["serial"]), power=told["power"])
    return Identity(host=host, user=user), known
