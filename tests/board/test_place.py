"""Places of a pool, as rig files and options name them."""

import pytest

from harness.board.place import PlaceSpec, parse_place
from harness.board.registry import load_registry
from harness.board.rigfile import parse_rig
from harness.errors import RigError

REGISTRY = load_registry()


def test_a_place_is_a_name_or_tags():
    assert parse_place("nano-1") == PlaceSpec(name="nano-1")
    assert parse_place("nano-1").filters == ("name=nano-1",)
    both = parse_place("board=nano33ble+site=lab.2")
    assert both.tags == (("board", "nano33ble"), ("site", "lab.2"))
    assert both.filters == ("board=nano33ble", "site=lab.2")
    assert parse_place(str(both)) == both


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a;rm -rf",
        "-p",
        "+TOKEN",
        "a b",
        "board=",
        "=x",
        "board=a;b",
        "Board=x",
        "a=b=c",
        "$(x)",
    ],
)
def test_what_could_mean_more_to_another_program_is_no_place(text):
    with pytest.raises(RigError, match="must be a place's name"):
        parse_place(text)


def test_a_rig_file_names_the_place_of_a_board():
    rig = parse_rig('[boards.n]\nkind = "nano33ble"\nplace = "board=nano33ble"', REGISTRY)
    assert rig.boards[0].pooled == PlaceSpec(tags=(("board", "nano33ble"),))
    with pytest.raises(RigError, match=r"boards\.pico.* the pool says where it is"):
        parse_rig('[boards.pico]\nplace = "pico-1"\nport = "/dev/ttyACM0"', REGISTRY)
    with pytest.raises(RigError, match=r"boards\.pico.*must be a place's name"):
        parse_rig('[boards.pico]\nplace = "a;b"', REGISTRY)
