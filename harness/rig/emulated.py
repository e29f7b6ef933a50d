"""`all-emulated`: every board that QEMU runs, as far as what it needs is on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.board.registry import Board, Registry, load_registry
from harness.errors import HilError, ToolMissing, WrongUse
from harness.firmware.platformio import has_platform
from harness.firmware.runtimes import runtime_of
from harness.firmware.tflm_library import headers_from, option_of
from harness.firmware.toolchain import CPP_HEADERS, require
from harness.project import Project, find_project
from harness.rig.qemu import installed_qemu
from harness.settings import ALL_EMULATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """Boards to run on, and a line for each emulated one that is left out, with what cures it."""

    boards: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def expand(
    asked: Sequence[str],
    registry: Registry,
    runtimes: Sequence[str],
    check: Callable[[Board], None],
) -> Expanded:
    """Boards with ALL_EMULATED replaced by every emulated board that can run, in registry order.

    Args:
        runtimes: those asked for; a board that lacks one of them is left out.
        check: raises where a board's tools are missing, or a runtime does not run on it. Boards
            asked for by name are not checked: what they lack is said where they are opened.

    Raises:
        WrongUse: nothing is left of ALL_EMULATED.
    """
    if ALL_EMULATED not in asked:
        return Expanded(boards=tuple(asked))
    ready, left_out = [], []
    for board in registry.boards:
        if board.attachment != "emulator" or board.id in asked:
            continue
        try:
            for runtime in runtimes:
                board.runtime(runtime)
            check(board)
            ready.append(board.id)
        except HilError as error:
            left_out.append(f"{ALL_EMULATED} leaves out {board.id}: {_one_line(error)}")
    named = [name for name in asked if name != ALL_EMULATED]
    if not ready and not named:
        raise WrongUse("no emulated board can run here", hint="\n".join(left_out))
    boards = (board for name in asked for board in (ready if name == ALL_EMULATED else [name]))
    return Expanded(boards=tuple(boards), left_out=tuple(left_out))


def expand_here(asked: Sequence[str], runtimes: Sequence[str]) -> Expanded:
    """As `expand`, by what is installed on this machine.

    Raises:
        WrongUse: as `expand`; or there is no such runtime.
        RigError: a runtime that a distribution brings cannot be loaded.
    """
    if ALL_EMULATED not in asked:
        return Expanded(boards=tuple(asked))
    project = find_project()
    for runtime in runtimes:
        runtime_of(runtime)

    def check(board: Board) -> None:
        for runtime in runtimes:
            runtime_of(runtime, board)
        check_tools(board, project, runtimes)

    return expand(asked, load_registry(), runtimes, check)


def check_tools(board: Board, project: Project, runtimes: Sequence[str] = ()) -> None:
    """See whether the programs are here that build a QEMU board's firmware and run it.

    Args:
        runtimes: those that it is built with; the board's first where none is named.

    Raises:
        ToolMissing: one is not; says how it is installed.
    """
    if board.emulator is None:
        return
    installed_qemu(board.emulator)
    ini = (project.root / "platformio.ini").read_text(encoding="utf-8")
    platforms = _platforms(board, ini)
    if not platforms:
        require(board.toolchain)
        for runtime in runtimes or board.runtimes[:1]:
            if lender := headers_from(ini, board.env_of(runtime)):
                require(lender, CPP_HEADERS)
    for platform in platforms:
        if not has_platform(project, platform):
            raise ToolMissing(
                f"PlatformIO's platform {platform}",
                needed_for="its firmware",
                install=f"hil build --board {board.id}, once, with a network",
            )


def _platforms(board: Board, ini: str) -> list[str]:
    """PlatformIO's own platforms that build the board's firmware; none where ours does."""
    named = {option_of(ini, env, "platform") for env in board.env.values()}
    return sorted(name.partition("@")[0].strip() for name in named if name and "://" not in name)


def _one_line(error: HilError) -> str:
    return ". ".join(filter(None, [error.what, error.hint.replace("\n", " ")]))
