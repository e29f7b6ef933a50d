"""TIMER and RTC: counters with compare registers."""

from __future__ import annotations

from harness.sim.nrf52840.nordic import Cpu, NordicPeripheral
from harness.sim.registers import Register, array
from harness.sim.schedule import Counter, Due

COMPARE = 0x540
_RTC_CYCLES = (15625, 8)
"""Of a period of 32 768 Hz, at 64 MHz."""


class _Comparing(NordicPeripheral):
    """A counter that compares itself with registers CC[n] and raises COMPARE[n]."""

    def __init__(
        self,
        name: str,
        base: int,
        irq: int,
        cpu: Cpu,
        *,
        tasks: dict[int, str],
        events: dict[int, str],
        table: tuple[Register, ...],
        shorts: dict[int, tuple[str, str]] | None,
        channels: int,
    ) -> None:
        compares = {0x140 + 4 * n: f"COMPARE[{n}]" for n in range(channels)}
        super().__init__(
            name,
            base,
            irq,
            cpu,
            tasks={0x00: "START", 0x04: "STOP", **tasks},
            events={**events, **compares},
            table=(*table, *array(COMPARE, "CC", channels)),
            shorts=shorts,
        )
        self.counter = Counter(cpu.now)
        self._channels = range(channels)
        self._due: list[Due | None] = [None] * channels
        self.task("START", self._start)
        self.task("STOP", self._stop)
        for channel in self._channels:
            self.after_write(f"CC[{channel}]", lambda n=channel: self._arm(n))  # type: ignore[misc]

    @property
    def period(self) -> int:
        """Counts after which it begins at 0 again."""
        raise NotImplementedError

    @property
    def now(self) -> int:
        """What it stands at."""
        return self.counter.count % self.period

    def set(self, count: int) -> None:
        """Count on from here."""
        self.counter.set(count)
        self.arm_all()

    def arm_all(self) -> None:
        """Compute anew when each compare register is reached."""
        for channel in self._channels:
            self._arm(channel)

    def _start(self) -> None:
        self.counter.start()
        self.arm_all()

    def _stop(self) -> None:
        self.counter.stop()
        self.arm_all()

    def _arm(self, channel: int) -> None:
        due = self._due[channel]
        if due is not None:
            due.cancel()
            self._due[channel] = None
        if not self.counter.running:
            return
        count = self.counter.count
        ahead = (self.value[f"CC[{channel}]"] - count) % self.period or self.period
        at = self.counter.due(count + ahead)
        self._due[channel] = self.cpu.at(at, lambda: self._reached(channel))

    def _reached(self, channel: int) -> None:
        self._due[channel] = None
        self.event(f"COMPARE[{channel}]")
        self._arm(channel)


class Timer(_Comparing):
    """A TIMER in timer mode: 16 MHz, divided by a power of two."""

    def __init__(self, index: int, base: int, irq: int, cpu: Cpu) -> None:
        channels = 4 if index < 3 else 6
        compares = [f"COMPARE[{n}]" for n in range(channels)]
        super().__init__(
            f"TIMER{index}",
            base,
            irq,
            cpu,
            tasks={
                **{0x08: "COUNT", 0x0C: "CLEAR", 0x10: "SHUTDOWN"},
                **{0x40 + 4 * n: f"CAPTURE[{n}]" for n in range(channels)},
            },
            events={},
            table=(
                Register(offset=0x504, name="MODE", writable=3),
                Register(offset=0x508, name="BITMODE", writable=3),
                Register(offset=0x510, name="PRESCALER", reset=4, writable=0xF),
            ),
            shorts={
                **{n: (event, "CLEAR") for n, event in enumerate(compares)},
                **{8 + n: (event, "STOP") for n, event in enumerate(compares)},
            },
            channels=channels,
        )
        self._scale()
        self.task("CLEAR", lambda: self.set(0))
        self.task("SHUTDOWN", self._stop)
        self.task("COUNT", self._count)
        for n in range(channels):
            self.task(f"CAPTURE[{n}]", lambda n=n: self._capture(n))  # type: ignore[misc]
        for name in ("PRESCALER", "BITMODE", "MODE"):
            self.after_write(name, self._scale)

    @property
    def period(self) -> int:
        return 1 << (16, 8, 24, 32)[self.value["BITMODE"]]

    def _scale(self) -> None:
        self.counter.set(self.counter.count)
        self.counter.cycles = (4 << self.value["PRESCALER"], 1)
        self.arm_all()

    def _start(self) -> None:
        if self.value["MODE"] == 0:  # A counter counts tasks, not time.
            super()._start()

    def _count(self) -> None:
        if self.value["MODE"]:
            self.counter.set(self.counter.count + 1)
            for n in self._channels:
                if self.now == self.value[f"CC[{n}]"]:
                    self.event(f"COMPARE[{n}]")

    def _capture(self, channel: int) -> None:
        self.value[f"CC[{channel}]"] = self.now
        self._arm(channel)


class Rtc(_Comparing):
    """A real-time counter of 24 bits at 32 768 Hz, divided by PRESCALER + 1."""

    def __init__(self, index: int, base: int, irq: int, cpu: Cpu) -> None:
        super().__init__(
            f"RTC{index}",
            base,
            irq,
            cpu,
            tasks={0x08: "CLEAR", 0x0C: "TRIGOVRFLW"},
            events={0x100: "TICK", 0x104: "OVRFLW"},
            table=(
                Register(offset=0x340, name="EVTEN"),
                Register(offset=0x344, name="EVTENSET"),
                Register(offset=0x348, name="EVTENCLR"),
                Register(offset=0x504, name="COUNTER", writable=0),
                Register(offset=0x508, name="PRESCALER", writable=0xFFF),
            ),
            shorts=None,
            channels=3 if index == 0 else 4,
        )
        self.counter.cycles = _RTC_CYCLES
        self._wrap: Due | None = None
        self.on_read("COUNTER", lambda: self.now)
        self.after_write("PRESCALER", self._scale)
        self.task("CLEAR", lambda: self.set(0))
        self.task("TRIGOVRFLW", lambda: self.set(0xFFFFF0))
        for name, write in (("EVTENSET", self._route), ("EVTENCLR", self._unroute)):
            self.on_read(name, lambda: self.value["EVTEN"])
            self.on_write(name, write)

    @property
    def period(self) -> int:
        return 1 << 24

    def arm_all(self) -> None:
        super().arm_all()
        if self._wrap is not None:
            self._wrap.cancel()
            self._wrap = None
        if self.counter.running:
            at = self.counter.due((self.counter.count // self.period + 1) * self.period)
            self._wrap = self.cpu.at(at, self._wrapped)

    def _wrapped(self) -> None:
        self._wrap = None
        self.event("OVRFLW")
        self.arm_all()

    def _scale(self) -> None:
        above, below = _RTC_CYCLES
        self.counter.cycles = (above * (self.value["PRESCALER"] + 1), below)

    def _route(self, value: int) -> None:
        self.value["EVTEN"] |= value

    def _unroute(self, value: int) -> None:
        self.value["EVTEN"] &= ~value
