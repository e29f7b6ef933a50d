"""What a run was asked for of a board: where it is, how it is held, built for and flashed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from harness.board.lock import hold
from harness.board.pins import Marking
from harness.board.place import SCHEME, PlaceSpec, parse_place
from harness.board.ports import THIS_MACHINE, Bench, Listing, SerialPort, find_port
from harness.board.registry import Board
from harness.board.rigfile import Plugged
from harness.errors import BoardNotFound
from harness.firmware.swap import SwapPlan
from harness.link.link import LinkOptions
from harness.link.speed import Line, SlowLines
from harness.model.artifact import Artifact
from harness.pool.hold import Held, Pool, hold_place
from harness.progress import Progress, no_progress
from harness.rig.allowance import Allowance
from harness.rig.keeper import Keeper
from harness.rig.supply import Supplies
from harness.rig.swapping import Swaps
from harness.settings import FLASH, LOCK_TIMEOUT
from harness.tolerance import Stated

VIRTUAL_SCHEME = "virtual:"


@dataclass(frozen=True, slots=True, kw_only=True)
class RigOptions:
    """What a run was asked for, from the command line, ini file and environment.

    `port` overrides where a board is, else `plugged` says; `neighbours` are the rig file's other
    boards, whose ports are not this one's. `runtime` None is each board's default. `flash` is one
    of FLASH_CHOICES: `auto` skips an upload when HELLO shows the very build, `never` raises
    StaleFirmware where it does not. `tflm` is a folder with a TFLM library to build with, instead
    of the one that the board's environment pins, and `arena_bytes` the capacity of its arena
    instead of the one planned from the model. Without `check_support` a model that the runtime is
    known to compute wrongly is built and run all the same. `profile` is for firmware that tells the
    time of each operator: not the one whose latency counts. Without `timed` only outputs count, and
    an emulator runs faster. With `functions` the emulator of a board counts the instructions of
    each invoke (`OpenBoard.counter`), in firmware and time that are as ever. `progress` is told of
    what takes a while. No faster rate of a UART than `most_baud` is asked for, else than the rig
    file or the board's entry says; `slow` is told, and remembers, what a line does not carry.
    `supplies` are the meters that boards have their power from.
    `pool` is where boards are that `port` or the rig file says are places of one, and `keeper`
    keeps a board between two openings. `allowance` counts differences that are attributed to an
    operator.
    `swaps` says which models are brought over the link to one firmware, instead of built into their
    own.
    """

    lock_timeout_s: float = float(LOCK_TIMEOUT.default)
    runtime: str | None = None
    port: str | None = None
    link: LinkOptions = field(default_factory=LinkOptions)
    plugged: Plugged | None = None
    neighbours: tuple[Plugged, ...] = ()
    flash: str = FLASH.default
    tflm: Path | None = None
    arena_bytes: int | None = None
    check_support: bool = True
    tolerance: Stated = Stated()
    progress: Progress = no_progress
    profile: bool = False
    timed: bool = True
    functions: bool = False
    most_baud: int | None = None
    pool: Pool = Pool()
    keeper: Keeper = field(default_factory=Keeper, compare=False)
    allowance: Allowance = field(default_factory=Allowance, compare=False)
    slow: SlowLines = field(default_factory=SlowLines, compare=False)
    supplies: Supplies = field(default_factory=Supplies, compare=False)
    swaps: Swaps = field(default_factory=Swaps, compare=False)

    @property
    def place(self) -> str | None:
        """The port, URL or place of a pool that somebody named for the board."""
        if self.port or self.plugged is None:
            return self.port
        pooled = self.plugged.pooled
        return self.plugged.port if pooled is None else f"{SCHEME}{pooled}"

    def starts(self, board: Board) -> bool:
        """Whether the board is an emulator, or a virtual one, that is started anew for this run."""
        place = self.place or VIRTUAL_SCHEME
        return board.emulated and place.startswith(VIRTUAL_SCHEME)

    def swap_for(self, board: Board, artifact: Artifact) -> SwapPlan | None:
        """What the firmware takes to which the model is brought; None where it is built in.

        A firmware that is to be profiled is built for one model.

        Raises:
            WrongUse: models are always to be brought, and the board takes none.
        """
        if self.profile:
            return None
        may_upload = not board.emulated and self.flash != "never"
        ours = self.starts(board) or may_upload
        return self.swaps.plan_for(board, board.runtime(self.runtime), artifact, ours=ours)

    def counts_functions(self, board: Board) -> bool:
        """Whether a QEMU of this run's own is the board: it counts instructions by function."""
        return board.emulator is not None and self.starts(board)

    @property
    def pooled(self) -> PlaceSpec | None:
        """The place of the pool that somebody named for the board.

        Raises:
            RigError: what was named is none.
        """
        if self.port is not None:
            named = self.port.startswith(SCHEME)
            return parse_place(self.port.removeprefix(SCHEME)) if named else None
        return self.plugged.pooled if self.plugged else None

    def hold(
        self, board: Board, bench: Bench = THIS_MACHINE
    ) -> AbstractContextManager[Held | None]:
        """Holds a board that exists once, against other runs; may be entered again within.

        Any number of runs can each start an emulator of their own. A board of a pool is held there,
        by whichever of its machines; it is yielded. A board whose meter is its supply has power
        meanwhile, and its port has had the time to appear. Within `keeper` the board stays held
        until another one is, or the run ends.

        Raises:
            BoardBusy: another process still held it after `lock_timeout_s`.
            PoolError: the pool did not give it, or lost it.
            MeterError: its supply cannot be switched on.
        """
        if self.shared(board):
            return self.keeper.use(board.id, partial(self._hold, board, bench))
        return nullcontext()

    def shared(self, board: Board) -> bool:
        """Whether other runs may want this very board: one of a pool, or of this machine.

        Raises:
            RigError: what was named as a place is none.
        """
        return self.pooled is not None or not self.starts(board)

    @contextmanager
    def _hold(self, board: Board, bench: Bench) -> Iterator[Held | None]:
        if (place := self.pooled) is not None:
            with (
                hold_place(board.id, place, self.pool, progress=self.progress) as held,
                self.supplies.on(self.plugged, board.id),
            ):
                yield held
        else:
            timeout_s = self.lock_timeout_s
            with (
                hold(board.id, timeout_s=timeout_s, progress=self.progress, again=True),
                self.supplies.on(self.plugged, board.id) as fresh,
            ):
                if fresh and self.plugged is not None:
                    bench.wait_for(partial(self._found, board), self.plugged.deadlines.port_s)
                yield None

    def _found(self, board: Board, listing: Listing) -> SerialPort | None:
        assert self.plugged is not None, "its supply is of the rig file"
        plugged = self.plugged.at_port(self.port) if self.port else self.plugged
        with suppress(BoardNotFound):
            return find_port(board, plugged, listing, neighbours=self.neighbours)
        return None

    def tolerance_for(self, artifact: Artifact) -> Stated:
        """Who says most of how far outputs may be off: the run, the rig file, the manifest."""
        names = (artifact.name, artifact.model)
        by_rig = self.plugged.tolerance_of(*names) if self.plugged else Stated()
        said = (self.tolerance, by_rig, artifact.tolerance)
        return next((stated for stated in said if stated.items), Stated())

    def line_to(self, board: Board) -> Line:
        """What is known of the line to a board before it is asked."""
        by_rig = self.plugged.most_baud if self.plugged else None
        return Line(
            native_usb=board.native_usb,
            baud=board.baud,
            most_baud=self.most_baud or by_rig or board.most_baud,
            slow=self.slow,
        )

    @property
    def marking(self) -> Marking | None:
        """What firmware is to do with a pin, by the rig file."""
        return self.plugged.marking if self.plugged else None

    @property
    def patience(self) -> LinkOptions:
        """Time-outs and retries of the link, with the rig file's deadline for a reply."""
        if self.plugged is None:
            return self.link
        return replace(self.link, timeout_s=self.plugged.deadlines.reply_s)
