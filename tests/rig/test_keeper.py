"""A board that a run keeps between its uses: when it is held, checked, and let go."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from harness.errors import ExporterGone, PlaceLost
from harness.rig.keeper import Keeper


class Place:
    """A place that somebody may take away; `lost` is known to who asks for trouble."""

    def __init__(self, events: list[str], name: str) -> None:
        self._events = events
        self._name = name
        self.lost: PlaceLost | None = None
        self.gone: ExporterGone | None = None

    def trouble(self) -> PlaceLost | None:
        return self.lost

    def check(self) -> str:
        self._events.append(f"{self._name} checked")
        if self.gone:
            raise self.gone
        return "url"

    @contextmanager
    def hold(self) -> Iterator["Place"]:
        self._events.append(f"{self._name} held")
        try:
            yield self
        finally:
            self._events.append(f"{self._name} let go")
        if self.lost:
            raise self.lost


@pytest.fixture
def events():
    return []


@pytest.fixture
def a(events):
    return Place(events, "a")


@pytest.fixture
def b(events):
    return Place(events, "b")


def use(keeper, place, name="a"):
    with keeper.use(name, place.hold) as held:
        assert held is place


def test_outside_of_its_block_each_use_holds_and_lets_go(events, a):
    keeper = Keeper()
    use(keeper, a)
    with keeper:
        pass
    use(keeper, a)
    assert events == ["a held", "a let go"] * 2


def test_a_board_is_held_once_from_the_first_use_to_the_end(events, a):
    with Keeper() as keeper:
        for _ in range(3):
            use(keeper, a)
        assert events == ["a held"]
    assert events == ["a held", "a let go"]


def test_no_board_is_waited_for_while_another_one_is_kept(events, a, b):
    """Two runs with the same boards in opposite orders would wait for each other."""
    with Keeper() as keeper:
        for place, name in ((a, "a"), (b, "b"), (a, "a")):
            use(keeper, place, name)
    assert events == ["a held", "a let go", "b held", "b let go", "a held", "a let go"]


def test_a_board_that_is_in_use_is_kept_while_another_one_is_used(events, a, b):
    with Keeper() as keeper:
        with keeper.use("a", a.hold):
            use(keeper, b, "b")
        use(keeper, a)
    assert events == ["a held", "b held", "b let go", "a let go"]


def test_a_place_that_was_taken_away_is_said_at_the_end_of_the_use_it_happened_in(events, a):
    with Keeper() as keeper:
        use(keeper, a)
        with pytest.raises(PlaceLost, match="taken"), keeper.use("a", a.hold):
            a.lost = PlaceLost("taken")
        a.lost = None
        use(keeper, a)
    assert events == ["a held", "a let go"] * 2


def test_an_error_of_a_use_is_not_replaced_and_its_board_is_looked_at_before_the_next(events, a):
    with Keeper() as keeper:
        with pytest.raises(KeyError), keeper.use("a", a.hold):
            a.lost = PlaceLost("taken")
            raise KeyError
        a.lost = None
        use(keeper, a)
        use(keeper, a)
        assert events == ["a held", "a checked"]
        with pytest.raises(KeyError), keeper.use("a", a.hold):
            raise KeyError
        a.gone = ExporterGone("gone")
        use(keeper, a)
    assert events[2:] == ["a checked", "a let go", "a held", "a let go"]


def test_what_ends_a_run_is_not_replaced_by_a_place_that_was_lost(events, a):
    keeper = Keeper()
    with pytest.raises(KeyboardInterrupt), keeper:
        use(keeper, a)
        a.lost = PlaceLost("taken")
        raise KeyboardInterrupt
    assert events == ["a held", "a let go"]


def test_a_board_that_is_not_to_be_had_is_asked_for_again(events, a):
    @contextmanager
    def busy(place):
        raise ExporterGone("unplugged")
        yield place

    with Keeper() as keeper:
        with pytest.raises(ExporterGone), keeper.use("a", partial(busy, a)):
            raise AssertionError("held")
        use(keeper, a)
    assert events == ["a held", "a let go"]
