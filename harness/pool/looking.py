"""What labgrid says of a place, and what of it is an error."""

from __future__ import annotations

from harness.errors import ExporterGone, PlaceLost, PoolError
from harness.pool.answers import Resource, Shown, parse_shown
from harness.pool.labgrid import Identity, Labgrid
from harness.text import printable


def shown_of(labgrid: Labgrid, place: str) -> Shown:
    """A place with its resources, as they are now.

    Raises:
        PoolError: as `Labgrid.call`; or the answer is none about this place.
    """
    shown = parse_shown(labgrid.call("show", place=place))
    if shown.place.name != place:
        other = printable(shown.place.name, 60)
        raise PoolError(
            f"labgrid was asked about place {place}, and answered about {other!r}", place=place
        )
    return shown


def refuse_lost(shown: Shown, identity: Identity) -> None:
    """Refuse a place that is not this run's any more, or whose board is not there.

    Raises:
        PlaceLost, ExporterGone: it is so.
    """
    place, holder = shown.place.name, shown.place.holder
    own = str(identity)
    if holder != own:
        now = printable(holder, 100) or "nobody"
        raise PlaceLost(
            f"place {place} was taken from this run ({own}): {now} holds it now",
            place=place,
            holder=holder,
            hint="Somebody released it by hand, or the coordinator was started anew. What "
            "was measured since may have met another user's work. Run it again.",
        )
    gone = [item.exporter for item in shown.resources if item.orphaned]
    if gone:
        raise ExporterGone(
            f"exporter {printable(gone[0], 60)} of place {place} is gone from the pool",
            place=place,
            holder=holder,
            hint="Look at labgrid-exporter on that machine, its network and its power.",
        )
    if not shown.serial.available:
        raise unplugged(place, shown.serial.exporter)


def unplugged(place: str, exporter: str) -> ExporterGone:
    """The error for a place whose exporter does not have the board."""
    return ExporterGone(
        f"the board of place {place} is not there: exporter {printable(exporter, 60)} has no port "
        "of it",
        place=place,
        hint="Is it plugged in at that machine, and is its power on? labgrid-client -v resources",
    )


def unnamed(place: str, serial: Resource) -> PoolError:
    """The error for an exporter whose machine cannot be named to another program."""
    exporter = printable(serial.exporter, 60)
    return PoolError(
        f"exporter {exporter} of place {place} gives {serial.unfit!r} as its machine, which is no "
        "machine's name",
        place=place,
        hint="Start labgrid-exporter there with --hostname and the name that others reach it by.",
    )
