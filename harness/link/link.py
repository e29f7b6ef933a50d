"""An open framed connection to one board: numbered requests, retries, deadlines, resync."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from harness.errors import (
    BoardRebooted,
    BoardStatus,
    BoardTalks,
    HilError,
    LinkTimeout,
    ModelRefused,
    PortLost,
    ProtocolError,
    StartFailed,
    Where,
    fault_in,
    located,
)
from harness.link.protocol import (
    MAX_PAYLOAD,
    OF_THE_MODEL,
    REPLY,
    FrameSplitter,
    Message,
    Op,
    Status,
    decode_frame,
    encode_frame,
    frame_bytes,
    op_name,
    parse_error,
)
from harness.link.speed import Line, Speed
from harness.link.streams import CHUNK, ByteStream, Rated, StreamClosed, padded
from harness.text import printable

_NOT_UNDERSTOOD = (Status.BAD_FRAME, Status.FRAME_TOO_LONG)

_UNKNOWN_OP = 0
"""In an ERROR about a request that the board could not read."""

DRAIN_S = 2.0
"""A line that brings bytes for longer, though nothing was asked, has a board that talks. A boot log
or the rest of a long frame is over by then."""

UNASKED_BYTES = 1 << 14
"""What may come beside the replies to a request: a boot log, the rest of a line."""

MOST_REASON = 500
"""Characters of why a stream was closed; an emulator's last words are the last of them."""

FEW_LATE, MOST_LATE_S = 3, 60.0
"""A link is broken when a few requests or more needed time-outs that took this long together."""

MOST_SPOILT = 3
"""Attempts that bring damaged bytes at a faster rate; the next ones are made at the base rate."""

TOLD_S = 0.05
"""For a board to take a request whose reply nobody waits for."""

MOST_TEXT = 1 << 20
"""The longest answer in text: `db print` and `results` of a large model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How long and how often a link asks.

    timeout_s: for a reply, beyond the board's own computing. attempts: on a line that brings
    damaged bytes. silent_attempts: on one that brings none.
    """

    timeout_s: float = 2.0
    attempts: int = 8
    silent_attempts: int = 3


TRIAL = LinkOptions(timeout_s=0.2, attempts=2, silent_attempts=2)
"""For the first request at a faster rate: all of it is over before the board leaves that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStats:
    """Counts of requests, retries and their causes since the link was opened."""

    requests: int = 0
    retries: int = 0
    reconnects: int = 0
    refused_frames: int = 0
    timeouts: int = 0
    bad_frames: int = 0
    stale_replies: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    def __sub__(self, other: LinkStats) -> LinkStats:
        return LinkStats(
            **{name: getattr(self, name) - getattr(other, name) for name in self.__slots__}
        )


class LinkLog:
    """The last events on a link, as lines for the report of a failed test."""

    def __init__(self, capacity: int = 100, shown_bytes: int = 48) -> None:
        self._events: deque[tuple[float, str, bytes]] = deque(maxlen=capacity)
        self._shown = shown_bytes

    def add(self, at_s: float, event: str, data: bytes = b"") -> None:
        """Remember one event; of its bytes only the first few."""
        self._events.append((at_s, event, data[: self._shown + 1]))

    def clear(self) -> None:
        """Forget everything, as at the start of a test."""
        self._events.clear()

    def lines(self) -> list[str]:
        """One line per event, seconds since the first."""
        start = self._events[0][0] if self._events else 0.0
        return [
            f"{at - start:9.4f} {event} {data[: self._shown].hex()}"
            f"{'...' if len(data) > self._shown else ''}".rstrip()
            for at, event, data in self._events
        ]


@dataclass(slots=True)
class _Received:
    """What came since a request: the last bytes, how many, whether delimiters were around any."""

    start: float
    last: bytearray = field(default_factory=bytearray)
    count: int = 0
    framed: bool = False

    def add(self, data: bytes) -> None:
        self.count += len(data)
        self.last += data
        del self.last[:-CHUNK]


class Link:
    """Stop and wait over a byte stream: one request outstanding, numbered, repeated until answered.

    Args:
        stream: already open; the link closes it.
        where: put into every error.
        reopen: opens the stream anew after it was lost in a request, which is then repeated under
            its number: a board that did run it answers from its cache. Raises HilError where that
            is not possible.
        line: what is known of the line before anything is asked.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        where: Where,
        options: LinkOptions | None = None,
        reopen: Callable[[], ByteStream] | None = None,
        line: Line | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.where = where
        self._line = line or Line()
        self.speed = Speed(self, self._line, clock)
        self._reopen = reopen
        self.options = options or LinkOptions()
        self.log = LinkLog()
        self._stream = stream
        self._clock = clock
        self.stats = LinkStats()
        self._splitter = FrameSplitter()
        self._seq = 0
        self._greeted = False
        self._most_payload = MAX_PAYLOAD
        self._late, self._late_s = 0, 0.0

    def expect_payload(self, most: int) -> None:
        """The largest payload of replies from now on, but for HELLO's: what HELLO announced."""
        self._most_payload = most

    def close(self) -> None:
        """Close the stream. Idempotent."""
        self.speed.end()
        self._stream.close()

    def request(
        self,
        op: Op,
        body: bytes = b"",
        *,
        compute_s: float = 0.0,
        options: LinkOptions | None = None,
    ) -> bytes:
        """Send a request and return the reply's body, retrying under the same number.

        Args:
            compute_s: what the board may take on top of the link's own timeout.
            options: timeouts and attempts for this request, instead of the link's.

        Raises:
            BoardStatus: the board answered with ERROR.
            ModelRefused: the same, because of its model.
            BoardRebooted: the board has forgotten the session.
            LinkTimeout: no valid reply in any attempt.
            BoardTalks: more bytes came than replies can have, or none of them is a frame's.
            PortLost: the stream closed.
        """
        if op is not Op.HELLO:
            self.speed.before()
        self._seq = self._seq % 255 + 1
        self._count(requests=1)
        frame = encode_frame(Message(seq=self._seq, op=op, body=body))
        patience = options or self.options
        self._splitter.most = frame_bytes(MAX_PAYLOAD if op is Op.HELLO else self._most_payload)
        received = _Received(self._clock())
        end = received.start + _longest_wait(patience, compute_s)
        timeouts = self.stats.timeouts
        was_fast = self.speed.fast
        attempt = 0
        # A board that sends no frame at all sends no damaged replies either.
        while attempt < (patience.attempts if received.framed else patience.silent_attempts):
            if attempt:
                # That a line carries no faster rate is no fault of it at the one it has.
                self._count(retries=0 if op is Op.SPEED else 1)
                self.log.add(self._clock(), f"retry {attempt}")
            try:
                # The extra 00 closes a frame whose own end was lost; an idle board ignores it.
                self._write(b"\0" + frame if attempt else frame, op)
                deadline = min(end, self._clock() + patience.timeout_s + compute_s)
                most = UNASKED_BYTES + 2 * (attempt + 1) * self._splitter.most
                lost = self.stats.timeouts
                reply = self._await(op, deadline, received, most)
                if reply is None and (self.stats.timeouts > lost or attempt + 1 == MOST_SPOILT):
                    self.speed.missed()
            except PortLost as error:
                if attempt >= patience.silent_attempts:
                    raise
                self._reconnect(error)
                reply = None
            if reply is not None:
                self._greeted = self._greeted or op is Op.HELLO
                self.speed.heard()
                if reply.op == Op.RESET | REPLY:
                    self.speed.forget()
                # What a faster rate loses is put right by leaving it.
                late = self.stats.timeouts > timeouts and not was_fast
                self._refuse_late(late, self._clock() - received.start, patience.timeout_s / 2)
                with located(self.where):
                    return self._checked(op, reply, received)
            attempt += 1
            if self._clock() >= end:
                break
        greeted = self._greeted and op is not Op.HELLO
        spoke = (
            received.framed
            or self._splitter.unfinished
            or greeted
            or fault_in(bytes(received.last))
        )
        if received.count and not spoke:
            raise self._talks(op_name(op), received)
        raise LinkTimeout(
            where=self.where,
            in_flight=op_name(op),
            timeout_s=patience.timeout_s + compute_s,
            attempts=attempt,
            received=bytes(received.last),
            greeted=greeted,
            burst_bytes=max(len(frame), received.count // attempt),
        )

    def _refuse_late(self, late: bool, seconds: float, forgiven_s: float) -> None:
        """Raise an error if request after request needs a time-out: it would go on for hours.

        Args:
            forgiven_s: what one that needs none makes up for.
        """
        self._late_s = max(0.0, self._late_s + (seconds if late else -forgiven_s))
        self._late = self._late + late if self._late_s else 0
        if self._late < FEW_LATE or self._late_s <= MOST_LATE_S:
            return
        count, waited_s = self._late, self._late_s
        self._late, self._late_s = 0, 0.0
        raise ProtocolError(
            f"request after request is answered only after a time-out: {count} of late, "
            f"{waited_s:.0f} s of waiting",
            where=self.where,
            hint="Line or board are too slow, or lose most of what is sent. Check cable, hub and "
            "baud rate, or give it longer: deadlines.reply_s in the rig file.",
        )

    def _talks(self, in_flight: str, received: _Received) -> BoardTalks:
        return BoardTalks(
            where=self.where,
            in_flight=in_flight,
            count=received.count,
            seconds=self._clock() - received.start,
            received=bytes(received.last),
        )

    def resync(self, quiet_s: float = 0.02) -> bytes:
        """End an unfinished frame on either side; drop unread bytes and return the last of them.

        Raises:
            BoardTalks: bytes came for DRAIN_S, without a pause of `quiet_s`.
        """
        self._write(b"\0", None)
        dropped = _Received(self._clock())
        dropped.add(self._splitter.reset())
        while data := self._read(quiet_s, None):
            dropped.add(data)
            if self._clock() - dropped.start > DRAIN_S:
                raise self._talks("resync", dropped)
        return bytes(dropped.last)

    def ask_speed(self, body: bytes, *, trial: bool) -> bytes:
        """A SPEED request's reply; as a trial asked for but briefly."""
        return self.request(Op.SPEED, body, options=TRIAL if trial else None)

    def tell_speed(self, body: bytes) -> None:
        """Send a SPEED request whose reply nobody waits for."""
        self._seq = self._seq % 255 + 1
        self._write(encode_frame(Message(seq=self._seq, op=Op.SPEED, body=body)), Op.SPEED)
        self._read(TOLD_S, Op.SPEED)

    def set_baud(self, baud: int) -> bool:
        """Change this end's rate; False if it has none, or not that one."""
        self.log.add(self._clock(), f"{baud} baud")
        try:
            return isinstance(self._stream, Rated) and self._stream.set_baud(baud)
        except StreamClosed as error:
            raise self._lost(error, Op.SPEED) from error

    def settle(self, until_s: float) -> None:
        """Drop what comes until then, and begin anew: a board that is still fast sees a break."""
        while (left := until_s - self._clock()) > 0:
            self._read(left, None)
        self._splitter.reset()
        self._write(b"\0\0", None)

    def ask_text(self, line: str, *, timeout_s: float | None = None) -> str:
        """Send one line of the human dialect and return the answer without its LF.

        Raises:
            LinkTimeout: no whole line came back in time.
            BoardTalks: more came than an answer can have.
        """
        answer = self._ask(f"line {line!r}", line + "\n", b"\n", timeout_s)
        return _text(answer.partition(b"\n")[0])

    def ask_command(self, command: str, *, timeout_s: float | None = None) -> list[str]:
        """Send one command of the MLPerf dialect and return the lines before `m-ready`.

        Raises:
            LinkTimeout: `m-ready` did not come in time.
            BoardTalks: more came than an answer can have.
        """
        answer = self._ask(f"command {command!r}", command + "%", b"m-ready\n", timeout_s)
        return [_text(line) for line in answer.partition(b"m-ready")[0].strip(b"\0").splitlines()]

    def _ask(self, what: str, text: str, end: bytes, timeout_s: float | None) -> bytes:
        self.speed.before()
        self._write(text.encode(), None)
        patience = self.options.timeout_s if timeout_s is None else timeout_s
        start = self._clock()
        answer = bytearray()
        while (left := start + patience - self._clock()) > 0:
            data = self._read(left, None)
            answer += data
            if end in answer[-len(data) - len(end) :]:
                return bytes(answer)
            if len(answer) > MOST_TEXT:
                talk = _Received(start)
                talk.add(bytes(answer))
                raise self._talks(what, talk)
        raise LinkTimeout(
            where=self.where,
            in_flight=what,
            timeout_s=patience,
            attempts=1,
            received=bytes(answer),
        )

    def reopen(self) -> None:
        """Close the stream and open it anew.

        Raises:
            HilError: it cannot be opened; the link stays closed.
        """
        self._stream.close()
        if self._reopen is None:
            raise StartFailed("this link cannot be opened again", where=self.where)
        self._stream = self._reopen()
        self._splitter.reset()
        self._count(reconnects=1)
        self.log.add(self._clock(), "reconnected")
        self.speed.leave()

    def _reconnect(self, error: PortLost) -> None:
        """Open the stream again, or raise the error that lost it."""
        try:
            self.reopen()
        except HilError:
            # The first loss says why: what a dead emulator said last, for one.
            raise error from None

    def _count(self, **more: int) -> None:
        counted = {name: getattr(self.stats, name) + number for name, number in more.items()}
        self.stats = replace(self.stats, **counted)

    def _write(self, data: bytes, op: Op | None) -> None:
        if self._line.native_usb:
            data = padded(data)
        self.log.add(self._clock(), f"> {op_name(op) if op else ''}", data)
        self._count(sent_bytes=len(data))
        try:
            self._stream.write(data)
        except StreamClosed as error:
            raise self._lost(error, op) from error

    def _read(self, timeout_s: float, op: Op | None) -> bytes:
        try:
            data = self._stream.read(timeout_s)
        except StreamClosed as error:
            raise self._lost(error, op) from error
        if data:
            self._count(received_bytes=len(data))
            self.log.add(self._clock(), "<", data)
        return data

    def _lost(self, error: StreamClosed, op: Op | None) -> PortLost:
        reason = printable(" ".join(str(error).split())[-MOST_REASON:], MOST_REASON)
        return PortLost(
            f"link lost ({reason})",
            where=self.where,
            in_flight=op_name(op) if op else "text",
            hint="Was the board unplugged, reset or crashed, or its emulator killed?",
        )

    def _await(self, op: Op, deadline: float, received: _Received, most: int) -> Message | None:
        """The reply to the outstanding request, or None when it must be sent again.

        Args:
            most: bytes that the replies to all attempts can have, each twice, and some beside.
        """
        while (left := deadline - self._clock()) > 0:
            data = self._read(left, op)
            received.add(data)
            if received.count > most:
                raise self._talks(op_name(op), received)
            spoilt = False
            for piece in self._splitter.feed(data):
                received.framed = True
                try:
                    message = decode_frame(piece)
                except ProtocolError:
                    # Perhaps the rest of an older reply: the right one may be behind it.
                    self._count(bad_frames=1)
                    spoilt = True
                    continue
                if message.seq == self._seq:
                    return message
                if message.seq == 0 and message.op == Op.ERROR | REPLY:
                    with located(self.where):
                        self._refused(op, message)
                    return None
                self._count(stale_replies=1)
            if spoilt:
                return None
        self._count(timeouts=1)
        return None

    def _refused(self, op: Op, message: Message) -> None:
        error = parse_error(message.body)
        self._count(refused_frames=1)
        if error.status not in _NOT_UNDERSTOOD:
            raise self._status(op, message)

    def _checked(self, op: Op, reply: Message, received: _Received) -> bytes:
        if reply.op == Op.ERROR | REPLY:
            raise self._status(op, reply, bytes(received.last))
        if reply.op != op | REPLY:
            raise ProtocolError(
                f"{op_name(op)} was answered by {op_name(reply.op)}", where=self.where
            )
        return reply.body

    def _status(self, op: Op, reply: Message, came: bytes = b"") -> HilError:
        error = parse_error(reply.body)
        if error.op not in (_UNKNOWN_OP, op):
            return ProtocolError(
                f"{op_name(op)} was answered by ERROR about {op_name(error.op)}", where=self.where
            )
        if error.status is Status.NO_SESSION:
            return BoardRebooted(where=self.where, in_flight=op_name(op), fault=fault_in(came))
        if error.status in OF_THE_MODEL:
            status = error.status.name.lower()
            return ModelRefused(where=self.where, op=op_name(op), status=status)
        return BoardStatus(
            where=self.where,
            op=op_name(op),
            status=error.status.name.lower(),
            detail=error.detail,
            field=error.field,
        )


def _longest_wait(patience: LinkOptions, compute_s: float) -> float:
    """Seconds for all attempts: bytes that trickle in get no more computing time than silence."""
    more = max(0, patience.attempts - patience.silent_attempts)
    return patience.silent_attempts * (patience.timeout_s + compute_s) + more * patience.timeout_s


def _text(line: bytes) -> str:
    return printable(line.decode("utf-8", "backslashreplace").strip("\r\0"), MOST_TEXT)


@contextmanager
def attach_link_log(link: Link) -> Iterator[None]:
    """Attach the link log to any HilError that leaves the block."""
    try:
        yield
    except HilError as error:
        error.link_log = error.link_log or tuple(link.log.lines())
        raise
