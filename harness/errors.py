"""The errors that the harness raises.

    HilError
    +-- RigError            the rig failed, so that nothing is known about the numbers
    |   +-- UnknownName     a board, model or runtime that is not declared
    |   +-- BoardNotFound   no port belongs to the board, or several could
    |   +-- LockBusy        another process holds a lock
    |   |   +-- BoardBusy   another process holds the board's lock
    |   +-- PoolError       a pool of shared boards did not give a board, or lost it
    |   |   +-- CoordinatorGone   its coordinator does not answer
    |   |   +-- PlaceNotFound     it has no such place
    |   |   +-- PlaceBusy         somebody else held the place for too long
    |   |   +-- PlaceLost         somebody else holds the place in the middle of a run
    |   |   +-- ExporterGone      the machine that the board is plugged into, or the board itself
    |   +-- ToolMissing     a program or package is not installed
    |   +-- BuildFailed     PlatformIO, the compiler or the linker failed
    |   +-- AlienCode       a firmware for a Cortex-M that holds A32 code
    |   +-- CoreLacks       a firmware with instructions that its board's core does not have
    |   +-- StartFailed     the emulator or virtual board did not start
    |   +-- FlashFailed     the upload failed, or the board did not come back after it
    |   +-- PowerFailed     the power was switched, and the board's port shows that it was not
    |   +-- PortLost        the port vanished while it was in use
    |   +-- MeterError      an instrument cannot be opened, stopped sampling, or lost too much
    +-- BoardError          the board answered wrongly or not at all
    |   +-- LinkTimeout     no valid reply in time
    |   +-- BoardSilent     no reply after every remedy was tried
    |   +-- ProtocolError   a frame or field that the protocol does not allow
    |   |   +-- BoardTalks  bytes that nobody asked for, without end or without any frame
    |   +-- BoardStatus     an ERROR frame from the firmware
    |   +-- BoardRebooted   the board rebooted within a session
    |   +-- ImpossibleTime  ticks that no invoke can have taken
    |   +-- StaleFirmware   the board runs different firmware than the one just built
    |   +-- SwapRefused     the board took no model over the link; it runs the one linked in
    +-- CannotTell          what an instrument sampled does not tell the energy
    +-- TooSlow             a measured latency is above its limit
    +-- TooMuchEnergy       a measured energy per inference is above its limit
    +-- MoreThanBaseline    a run takes more energy per inference than its baseline
    +-- SlowerThanBaseline  a run is slower than its baseline
    +-- SlowerOperators     operators of a run are slower than its baseline's
    +-- ModelError          a model file is corrupt, or this runtime cannot run it
    |   +-- TooLarge        the firmware with this model does not fit the board
    |   +-- MissingKernel   the TFLM library lacks operators of the model
    |   +-- ModelRefused    the interpreter on a board does not load or invoke the model
    +-- WrongUse            a setting that cannot be, or settings that exclude each other
    +-- ReportError         a CSV, baseline or report cannot be read or made
    |   +-- NotWritten      a report or a baseline cannot be written
    +-- NotKept             what was measured cannot be written; it is known all the same
    +-- TensorError         a tensor's shape, dtype, scale or values do not fit

An error carries its facts as attributes; the text is built from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.text import printable, printable_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The board, meter, port and model that an error is about; None where it is about none."""

    board: str | None = None
    meter: str | None = None
    port: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        pairs = (
            ("board", self.board),
            ("meter", self.meter),
            ("port", self.port),
            ("model", self.model),
        )
        return ", ".join(f"{name} {printable(value, _MOST_NAME)}" for name, value in pairs if value)


_MOST_NAME = 200
"""Characters of a port or a model's name in an error; a path may take some."""


NOWHERE = Where()


class HilError(Exception):
    """Root of the tree: `what` happened, `where`, and in `hint` what to do about it.

    What they quote of boards, files and other programs may be printed: control characters are
    escaped. Text of several lines keeps its lines; what is quoted within a line is made `printable`
    where it is put in.

    `link_log` holds the frames on the link up to the error, if it came while a board was opened.
    """

    def __init__(self, what: str, *, where: Where = NOWHERE, hint: str = "") -> None:
        what = printable_lines(what)
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        self.link_log: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = str(self.where)
        text = f"{self.what} ({place})." if place else f"{self.what}."
        return f"{text}\n{printable_lines(self.hint)}" if self.hint else text


@contextmanager
def located(where: Where) -> Iterator[None]:
    """Set the place of errors that leave the block without one."""
    try:
        yield
    except HilError as error:
        if error.where == NOWHERE:
            error.where = where
        raise


class RigError(HilError):
    """The rig failed, so that nothing is known about the numbers."""


class UnknownName(RigError):
    """A board, model or runtime that is not declared."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(sorted(known)) or 'none'}")
        self.kind = kind
        self.name = name
        self.known = sorted(known)


class BoardNotFound(RigError):
    """No port belongs to the board, or `several` could; the hint lists the ports seen."""

    def __init__(self, what: str, *, where: Where, hint: str, several: bool = False) -> None:
        super().__init__(what, where=where, hint=hint)
        self.several = several


class LockBusy(RigError):
    """Another process holds a lock; `holder`: who, since when. `what` begins the message."""

    def __init__(
        self,
        what: str,
        *,
        holder: str,
        waited_s: float,
        where: Where = NOWHERE,
        hint: str = "Wait for it, or stop it.",
    ) -> None:
        super().__init__(f"{what} by {holder}; waited {waited_s:g} s", where=where, hint=hint)
        self.holder = holder
        self.waited_s = waited_s


class BoardBusy(LockBusy):
    """Another process holds the lock of the board or of `what`."""

    def __init__(
        self, *, where: Where, holder: str, waited_s: float, what: str = "board is in use"
    ) -> None:
        super().__init__(
            what,
            holder=holder,
            waited_s=waited_s,
            where=where,
            hint="Wait for it, stop it, or allow more time with --hil-lock-timeout.",
        )


class PoolError(RigError):
    """A pool of shared boards did not give a board, or lost it: nothing about its numbers.

    `place` is the coordinator's name of it, or what was asked for; `holder` who has it, in words.
    """

    def __init__(
        self,
        what: str,
        *,
        where: Where = NOWHERE,
        hint: str = "",
        place: str = "",
        holder: str = "",
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.place = place
        self.holder = holder


class CoordinatorGone(PoolError):
    """The pool's coordinator does not answer."""


class PlaceNotFound(PoolError):
    """The coordinator has no such place."""


class PlaceBusy(PoolError):
    """Others held the place until the time to wait for it was over."""


class PlaceLost(PoolError):
    """The place was released or taken by somebody else while a run held it."""


class ExporterGone(PoolError):
    """The machine that a place's board is plugged into is gone from the pool, or the board is."""


class ToolMissing(RigError):
    """A program or package is not installed; `install` is the command that installs it."""

    def __init__(self, tool: str, *, needed_for: str, install: str) -> None:
        super().__init__(f"{tool} not found; {needed_for} needs it", hint=f"Install it: {install}")
        self.tool = tool
        self.install = install


class BuildFailed(RigError):
    """A firmware build failed: the compiler's first errors, and the path of the full log."""

    def __init__(self, *, where: Where, first_errors: list[str], log: str) -> None:
        shown = "\n".join(f"  {line}" for line in first_errors)
        super().__init__("firmware build failed", where=where, hint=f"{shown}\nFull log: {log}")
        self.first_errors = first_errors
        self.log = log


class AlienCode(RigError):
    """A firmware for a Cortex-M holds A32 code; `functions` are where."""

    def __init__(self, *, where: Where, functions: list[str]) -> None:
        shown = ", ".join(printable(name, _MOST_NAME) for name in functions[:5])
        more = f" and {len(functions) - 5} more" if len(functions) > 5 else ""
        super().__init__(
            f"the firmware holds A32 code, which no Cortex-M executes: {shown}{more}",
            where=where,
            hint="A library for another CPU was linked, as GCC does where -mfloat-abi=soft comes "
            "after softfp or hard.\nPlatform nordicnrf52 appends it from 9.6.0 on: the board's env "
            "in platformio.ini needs build_unflags = -mfloat-abi=soft.",
        )
        self.functions = functions


class CoreLacks(RigError):
    """A firmware holds instructions that its board's core does not have.

    `found` has of each instruction its name, what has it, and the first function that uses it.
    """

    def __init__(self, *, where: Where, core: str, found: list[tuple[str, str, str]]) -> None:
        shown = ", ".join(
            f"{name} (of {has}) in {printable(function, _MOST_NAME)}"
            for name, has, function in found[:5]
        )
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        super().__init__(
            f"the firmware holds instructions that a {core} does not have: {shown}{more}",
            where=where,
            hint="Something was compiled for a larger core: a library's object files, or sources "
            f"with a -mcpu or -march of their own.\nIf the board has another core than {core}, say "
            "so by `core` in its entry.",
        )
        self.core = core
        self.found = found


class StartFailed(RigError):
    """An emulator or virtual board did not start."""


class FlashFailed(RigError):
    """The upload failed, or the board did not come back after it.

    `phase` is the step that failed: touch, bootloader, upload or port.
    """

    def __init__(self, what: str, *, phase: str, where: Where, hint: str) -> None:
        super().__init__(what, where=where, hint=hint)
        self.phase = phase


class PowerFailed(RigError):
    """A board's power was switched, and by its port it stayed on, or did not come back."""


class PortLost(RigError):
    """The port vanished while it was in use; `in_flight` names the request under way."""

    def __init__(self, what: str, *, where: Where, in_flight: str, hint: str = "") -> None:
        super().__init__(f"{what} during {in_flight}", where=where, hint=hint)
        self.in_flight = in_flight


class MeterError(RigError):
    """An instrument cannot be opened, stopped sampling, or lost more than can be told from.

    The board is not at fault, and what else was measured of it stands.
    """


class BoardError(HilError):
    """The board answered wrongly or not at all."""


BURST_BYTES = 256
"""A line that brings HELLO's reply brings bursts of about this size."""


def _cause_of_silence(greeted: bool, burst_bytes: int) -> str:
    if not greeted:
        return "Is the firmware current, and the board not reset or unplugged?"
    if burst_bytes <= BURST_BYTES:
        return "HELLO was answered before: was the board reset or unplugged since, or did it hang?"
    return (
        f"HELLO was answered before, so its firmware speaks; this took a burst of {burst_bytes} "
        "bytes. Do bursts get lost on the line? Lower HIL_MAX_PAYLOAD in the board's environment "
        "(platformio.ini), or check its cable, hub and baud rate."
    )


class LinkTimeout(BoardError):
    """No valid reply in time; `received` holds the bytes that came.

    `greeted`: HELLO was answered on this link before. `burst_bytes` is the most that was sent or
    received at once for this request. `fault` is what the board's fault handler said, if it did.
    """

    def __init__(
        self,
        *,
        where: Where,
        in_flight: str,
        timeout_s: float,
        attempts: int,
        received: bytes,
        greeted: bool = False,
        burst_bytes: int = 0,
    ) -> None:
        tries = f" in {attempts} attempts" if attempts > 1 else ""
        self.fault = fault_in(received)
        super().__init__(
            f"no reply to {in_flight} within {timeout_s:g} s{tries}",
            where=where,
            hint=_of_fault(self.fault)
            or f"Received {_received(received)}. {_cause_of_silence(greeted, burst_bytes)}",
        )
        self.in_flight = in_flight
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.received = received
        self.greeted = greeted
        self.burst_bytes = burst_bytes


_FAULT = re.compile(rb"(?:firmware fault: |Guru Meditation Error: |abort\(\) was called)[ -~]*")
"""How the words begin of our firmware's fault handlers, and of the ESP32's."""

MOST_FAULT = 320


def fault_in(data: bytes) -> str:
    """What a fault handler says among the bytes of a board; nothing if none does."""
    said = _FAULT.search(data)
    return said[0][:MOST_FAULT].decode("ascii") if said else ""


def _of_fault(said: str) -> str:
    if not said:
        return ""
    return f'It faulted, and said: "{said}". Its addresses are those of the firmware\'s ELF file.'


def _received(data: bytes) -> str:
    """The first bytes that came, as text if that is what they are."""
    if not data:
        return "nothing"
    return f"{len(data)} bytes: {said_by(data) if _is_text(data) else data[:24].hex(' ')}"


def said_by(data: bytes) -> str:
    """The first of some bytes as text in quotes, on one line."""
    return f'"{printable(data[:MOST_SAID].decode("utf-8", "backslashreplace"), MOST_SAID)}"'


MOST_SAID = 100
"""Characters of what a board sent that an error shows."""


def _is_text(data: bytes) -> bool:
    head = data[:MOST_SAID]
    return 4 * sum(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in head) >= 3 * len(head)


class BoardSilent(BoardError):
    """The board does not answer after every remedy; `steps` says what was tried, and the result.

    `others` is what is known of other programs at its port, in a sentence.
    """

    def __init__(self, *, where: Where, steps: tuple[str, ...], others: str = "") -> None:
        super().__init__(
            "board does not answer after all remedies were tried",
            where=where,
            hint=f"{_tried(steps)}\n{others or 'Check its cable, hub and power supply.'}",
        )
        self.steps = steps


def _tried(steps: tuple[str, ...]) -> str:
    return "\n".join(["Tried, in this order:", *(f"  {step}" for step in steps)])


class ProtocolError(BoardError):
    """A frame or field that the protocol does not allow."""


class BoardTalks(ProtocolError):
    """The board sends what nobody asked for, without end or without any frame in it.

    `count` bytes came in `seconds`; `received` holds some of them. `steps` says what was tried to
    have it answer, if anything was.
    """

    def __init__(
        self, *, where: Where, in_flight: str, count: int, seconds: float, received: bytes
    ) -> None:
        board = f" --board {where.board}" if where.board else ""
        super().__init__(
            f"the board talks without being asked: {count} bytes in {seconds:.3g} s during "
            f"{in_flight}, and no answer",
            where=where,
            hint=f"It says {said_by(received)}.\nLikely it runs another sketch, prints a boot log "
            "(does it reset again and again?), or has another baud rate. Put this firmware on it: "
            f"hil flash{board}",
        )
        self.in_flight = in_flight
        self.count = count
        self.seconds = seconds
        self.received = received
        self.steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n{printable_lines(_tried(self.steps))}" if self.steps else text


class BoardStatus(BoardError):
    """The firmware refused a request with an ERROR frame; `note` is its own explanation.

    `of_request` says that the request was at fault, or asked for what this firmware cannot do: then
    board and link are well.
    """

    def __init__(
        self, *, where: Where, op: str, status: str, detail: int, field: str, note: str = ""
    ) -> None:
        about = f", field {field}" if field else ""
        number = f", detail {detail}" if detail else ""
        super().__init__(f"board refused {op}: {status}{about}{number}", where=where, hint=note)
        self.op = op
        self.status = status
        self.detail = detail
        self.field = field
        self.note = note
        self.of_request = op != "setup" and status in _OF_THE_REQUEST


_OF_THE_REQUEST = ("unknown_op", "bad_size", "bad_value", "unsupported", "bad_version")
"""Statuses, as harness.link.protocol names them, that are about what was asked for."""


class BoardRebooted(BoardError):
    """The board rebooted after HELLO, so that the session is lost; `fault` as of LinkTimeout."""

    def __init__(self, *, where: Where, in_flight: str, fault: str = "") -> None:
        super().__init__(
            f"board rebooted during {in_flight}",
            where=where,
            hint=_of_fault(fault)
            or "Check its power supply, its watchdog and the output of its fault handler.",
        )
        self.in_flight = in_flight
        self.fault = fault


class ImpossibleTime(BoardError):
    """A board's ticks cannot be those of invokes: its counter, or what it says of it, is wrong."""

    def __init__(self, why: str, *, where: Where) -> None:
        super().__init__(
            f"impossible latency: {why}",
            where=where,
            hint="See the firmware's Ticks() and TicksPerSecond(), and what else runs on the board "
            "while it measures. Nothing was recorded of this session.",
        )


class StaleFirmware(BoardError):
    """The board runs different firmware than the one just built."""

    def __init__(self, *, where: Where, field: str, expected: str, actual: str) -> None:
        super().__init__(
            f"board runs different firmware than the one just built: {field} is {actual}, "
            f"expected {expected}",
            where=where,
            hint="It holds other firmware or another model: build and upload this one again.",
        )
        self.field = field
        self.expected = expected
        self.actual = actual


class SwapRefused(BoardError):
    """A board did not take a model over the link. It answers, and runs the model linked in."""

    def __init__(self, what: str, *, where: Where) -> None:
        super().__init__(
            what,
            where=where,
            hint="Build firmware with this model in it: --hil-swap=never",
        )


class CannotTell(HilError):
    """What an instrument sampled does not tell the energy; `reason` says why.

    `found` is the harness.measure.energy.Energy that is too uncertain; None where windows or their
    edges are missing, so that there is none.
    """

    def __init__(
        self, reason: str, *, found: object | None = None, where: Where = NOWHERE, hint: str = ""
    ) -> None:
        super().__init__(f"cannot tell the energy: {reason}", where=where, hint=hint)
        self.reason = reason
        self.found = found


class TooSlow(HilError):
    """A median latency is above its limit; `rule` says where the limit comes from."""

    def __init__(
        self, *, where: Where, measured: float, limit: float, unit: str, rule: str
    ) -> None:
        super().__init__(
            f"median of {measured:g} {unit} is {measured / limit:.3g} times the limit of "
            f"{limit:g} {unit} ({rule})",
            where=where,
        )
        self.measured = measured
        self.limit = limit
        self.unit = unit
        self.rule = rule


class TooMuchEnergy(HilError):
    """An energy per inference is above its limit, with its whole uncertainty."""

    def __init__(
        self, *, where: Where, measured_uj: float, uncertainty_uj: float, limit_uj: float, rule: str
    ) -> None:
        super().__init__(
            f"energy of {measured_uj:.4g} uJ, give or take {uncertainty_uj:.2g}, is "
            f"{measured_uj / limit_uj:.3g} times the limit of {limit_uj:g} uJ ({rule})",
            where=where,
        )
        self.measured_uj = measured_uj
        self.uncertainty_uj = uncertainty_uj
        self.limit_uj = limit_uj
        self.rule = rule


class MoreThanBaseline(HilError):
    """A run takes more energy than its `baseline`; `rule` has the figures that show it."""

    def __init__(self, *, where: Where, ratio: float, rule: str, baseline: str) -> None:
        super().__init__(
            f"{ratio:.4g} times the energy of its baseline, {baseline}",
            where=where,
            hint=f"{rule[:1].upper()}{rule[1:]}.\nIf this is intended, make this run the "
            "baseline: hil baseline save --replace",
        )
        self.ratio = ratio
        self.rule = rule
        self.baseline = baseline


class SlowerThanBaseline(HilError):
    """A run is slower than its `baseline`; `rule` has the figures that show it."""

    def __init__(
        self,
        *,
        where: Where,
        ratio: float,
        low: float | None,
        high: float | None,
        rule: str,
        baseline: str,
    ) -> None:
        super().__init__(
            f"{ratio:.4g} times its baseline, {baseline}",
            where=where,
            hint=f"{rule[:1].upper()}{rule[1:]}.\nIf this is intended, make this run the "
            "baseline: hil baseline save --replace",
        )
        self.ratio = ratio
        self.low = low
        self.high = high
        self.rule = rule
        self.baseline = baseline


class SlowerOperators(HilError):
    """Operators of a run are slower than its `baseline`'s: the label of each, and its rule."""

    def __init__(
        self, *, where: Where, operators: tuple[tuple[str, str], ...], baseline: str
    ) -> None:
        named = ", ".join(printable(label) for label, _ in operators[:5])
        more = f" and {len(operators) - 5} more" if len(operators) > 5 else ""
        rules = "\n".join(f"{printable(label)}: {rule}" for label, rule in operators[:5])
        super().__init__(
            f"slower than in the profile of its baseline, {baseline}: {named}{more}",
            where=where,
            hint=f"{rules}\nIf this is intended, make this run the baseline: hil baseline save "
            "--replace",
        )
        self.operators = operators
        self.baseline = baseline


class ModelError(HilError):
    """A model or artifact file is corrupt, or this runtime cannot run it."""


class TooLarge(ModelError):
    """The firmware with this model does not fit in `memory`, flash or RAM; sizes in bytes.

    `needed` is None where the linker says that it does not fit, but not by how much.
    """

    def __init__(self, *, where: Where, memory: str, needed: int | None, available: int) -> None:
        if needed is None:
            said = f"the firmware does not fit into the board's {available} bytes of {memory}"
        else:
            said = (
                f"the firmware takes {needed} bytes of {memory}, the board has {available}: "
                f"{needed - available} too many"
            )
        super().__init__(
            said,
            where=where,
            hint="Use a smaller or quantized model, or a board with more memory.",
        )
        self.memory = memory
        self.needed = needed
        self.available = available


class MissingKernel(ModelError):
    """The TFLM library lacks kernels for some `operators` of the model."""

    def __init__(self, *, where: Where, operators: tuple[str, ...], library: str) -> None:
        super().__init__(
            f"{library} has no kernel for operator {', '.join(operators)}",
            where=where,
            hint="Use a newer TFLM library (--hil-tflm=DIR), or a model without this operator.",
        )
        self.operators = operators
        self.library = library


class ModelRefused(ModelError):
    """The interpreter on a board does not load or invoke the model; `note` is its own explanation.

    `op` is the request, or `setup` where the board said so in HELLO. The rig is well.
    """

    def __init__(self, *, where: Where, op: str, status: str, note: str = "") -> None:
        said = f": {note.strip()}" if note.strip() else ""
        super().__init__(
            f"this model cannot run on the board: its interpreter answered {op} with "
            f"{status}{said}",
            where=where,
            hint=REFUSED_HINTS.get(status, "See what it does with the model: hil inspect FILE"),
        )
        self.op = op
        self.status = status
        self.note = note


REFUSED_HINTS = {
    "arena_too_small": "Give it a larger arena, --hil-arena BYTES, or take a smaller model.",
    "model_not_loaded": "See what TFLM says of the model on this machine: hil inspect FILE",
    "invoke_failed": "See what TFLM says of the model on this machine: hil inspect FILE",
    "bad_schema": "Convert the model again, or take another TFLM library (--hil-tflm=DIR).",
}
"""What to do, by the status with which a board says that the model is at fault."""


class WrongUse(HilError):
    """A setting or argument that cannot be; nothing was started."""


class ReportError(HilError):
    """A CSV, a baseline or a report cannot be read or made."""


class NotWritten(ReportError):
    """A report or a baseline cannot be written, as on a full disk."""


class NotKept(HilError):
    """What was measured cannot be written, as on a full disk.

    `rows` are those of whole runs of latency.csv that are known all the same, to be shown.
    """

    def __init__(self, what: str, *, where: Where = NOWHERE, hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.rows: tuple[object, ...] = ()


class TensorError(HilError):
    """A tensor's shape, dtype, scale or values do not fit."""
