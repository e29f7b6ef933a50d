"""`hil power`: whether a board's power control does what it says."""

from __future__ import annotations

import argparse
from dataclasses import replace

from harness import settings
from harness.cli.command import Command
from harness.cli.settings import add_settings, refuse_several, sources_of
from harness.cli.work import rig_file, rig_options
from harness.errors import Where, WrongUse
from harness.outcome import Outcome
from harness.project import find_project
from harness.rig.plugged_in import real_board
from harness.rig.powercheck import check_power


def power(options: argparse.Namespace) -> int:
    """Cycle a board's power, and see that its port goes and comes back, and that it starts anew."""
    sources = sources_of(options)
    refuse_several(sources, settings.BOARD)
    file, registry = rig_file(sources)
    (board_id,) = sources[settings.BOARD]
    board = registry[board_id]
    if board.emulated:
        raise WrongUse(f"{board_id} has no power to switch: it is emulated, or virtual")
    rig = replace(
        rig_options(sources, options.progress),
        port=sources.ports((board_id,)).get(board_id),
        plugged=file.plugged(board_id),
        neighbours=file.neighbours(board_id),
    )
    with rig.hold(board) as held:
        real = real_board(board, rig, find_project(), where=Where(board=board_id), held=held)
        found = check_power(real)
    print(f"{board_id}, {real.power_name}: {found.cycled}")
    print(f"{board_id}: {found.board}")
    return (Outcome.PASSED if found.ok else Outcome.SICK).exit_status


def register(command: Command) -> None:
    """Hook the command in."""
    add_settings(command(power), "power")
