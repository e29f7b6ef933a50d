"""What pyjoulescope-driver's Driver does with a Joulescope that draws a load's current.

Scripted after its binding: the topics of each model and what they take, and blocks of samples as
dictionaries with NumPy arrays. The USB protocol below it is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fakes.supply import Errors, Load, currents

FULL_HZ = 2_000_000
BLOCK = 1000

_AMPERES = ("10 A", "2 A", "180 mA", "18 mA", "1.8 mA", "180 µA", "18 µA")
TAKES: dict[str, dict[str, tuple[Any, ...]]] = {
    "js110": {
        "s/i/range/select": ("auto", *_AMPERES, "off"),
        "s/v/range/select": ("15 V", "5 V"),
        "s/i/range/mode": ("off", "mean", "interp", "interpolate", "nan"),
    },
    "js220": {
        "s/i/range/select": _AMPERES,
        "s/i/range/mode": ("off", "manual", "auto"),
        "s/v/range/select": ("15 V", "2 V"),
        "s/v/range/mode": ("manual", "auto"),
    },
}
"""What topics of ranges take. A JS110's are in the driver, the others' in the instrument."""

CHANNELS = {"js110": 2, "js220": 4}


class ScriptedDriver:
    """Brings all samples of a load as soon as a stream is switched on."""

    def __init__(
        self,
        load: Load,
        errors: Errors,
        paths: tuple[str, ...] = ("u/js220/000415",),
        holes: tuple[int, ...] = (),
    ) -> None:
        self._load, self._errors, self._paths, self._holes = load, errors, paths, holes
        self._heard: dict[str, Callable[[str, Any], None]] = {}
        self.published: list[tuple[str, Any]] = []
        self.opened: list[str] = []
        self.finalized = False
        self.busy = False

    def device_paths(self) -> list[str]:
        return list(self._paths)

    def open(self, path: str, mode: str) -> None:
        if self.busy:
            raise RuntimeError("jsdrv_open failed 21")
        self.opened.append(path)

    def close(self, path: str) -> None:
        self.opened.remove(path)

    def finalize(self) -> None:
        self.finalized = True

    def query(self, topic: str) -> Any:
        if topic.endswith("/c/fw/version"):
            return 1 << 24 | 2 << 16 | 3
        raise RuntimeError(f"jsdrv_query failed 16 | {topic}")

    def subscribe(self, topic: str, flags: str, fn: Callable[[str, Any], None]) -> None:
        assert flags == "pub"
        self._heard[topic] = fn

    def unsubscribe(self, topic: str, fn: Callable[[str, Any], None]) -> None:
        assert self._heard.pop(topic) is fn

    def publish(self, topic: str, value: Any) -> None:
        self._refuse_unknown(topic, value)
        self.published.append((topic, value))
        prefix, _, last = topic.rpartition("/")
        if last == "ctrl" and value == 1:
            self._send(f"{prefix}/!data", prefix.split("/", 3)[3])

    def _refuse_unknown(self, topic: str, value: Any) -> None:
        _, model, _, name = topic.split("/", 3)
        takes = TAKES[model].get(name)
        if takes is not None and value not in takes:
            raise RuntimeError(f"jsdrv_publish failed 5 | {topic}")
        channel = name.split("/")[2] if name.startswith("s/gpi/") else "0"
        if int(channel) >= CHANNELS[model]:
            raise RuntimeError(f"jsdrv_publish failed 16 | {topic}")

    def _send(self, topic: str, signal: str) -> None:
        seconds, amps = currents(self._load, self._errors)
        values: Any = {
            "s/i": amps.astype(np.float32),
            "s/v": np.full(len(amps), self._load.volts, np.float32),
        }.get(signal)
        if values is None:
            values = self._load.high(seconds)
        factor = round(FULL_HZ / self._errors.rate_hz)
        for number, first in enumerate(range(0, len(values), BLOCK)):
            if number in self._holes:
                continue
            part = values[first : first + BLOCK]
            if part.dtype == bool:
                part = np.packbits(part, bitorder="little")
            self._heard[topic](
                topic,
                {
                    "sample_id": (first + 7_000) * factor,
                    "sample_rate": FULL_HZ,
                    "decimate_factor": factor,
                    "data": part,
                },
            )
