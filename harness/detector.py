"""How a stream's scores become detections: the rule, and how users write it.

It is what the programs around streaming wake words do with a model's outputs, as RecognizeCommands
of TFLite Micro's micro_speech: an average over the newest outputs, a threshold, and a time for
which a detection suppresses others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

MOST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A detector of one class.

    Its score is averaged over the outputs of the last `average` seconds, of which there must be
    `minimum` at least; an average of `threshold` or above, in the output's unit, is a detection,
    and none follows it for `suppression` seconds. `rate` is in frames per second; frames are rows
    of the data. An event counts as hit until `late` seconds after its end.
    """

    of: str
    threshold: float
    rate: float
    average: float = 0.0
    minimum: int = 1
    suppression: float = 0.0
    late: float = 0.0

    def __post_init__(self) -> None:
        times = (self.average, self.suppression, self.late)
        if not (self.rate > 0 and math.isfinite(self.rate) and math.isfinite(self.threshold)):
            raise ValueError("the rate is above 0, and the threshold a number")
        if self.minimum < 1 or not all(0 <= time < math.inf for time in times):
            raise ValueError("times are 0 s or more, and the minimum 1 or more")

    def __str__(self) -> str:
        parts = [f"threshold={self.threshold:g}", f"rate={self.rate:g}"]
        for name, usual in (("average", 0), ("minimum", 1), ("suppression", 0), ("late", 0)):
            if (value := getattr(self, name)) != usual:
                parts.append(f"{name}={value:g}")
        return ",".join((self.of, *parts))


def parse_detector(text: str) -> Detector:
    """Read `yes,threshold=0.8,rate=50,average=1,minimum=3,suppression=1.5,late=0.5`.

    The first part is the class, by name or number; threshold and rate must be there.

    Raises:
        ValueError: it is not like that.
    """
    of, *parts = (part.strip() for part in text.split(","))
    pairs = [part.partition("=") for part in parts]
    given = {name.strip(): value.strip() for name, _, value in pairs}
    known = {item.name for item in fields(Detector)} - {"of"}
    if not of or "=" in of or len(text) > MOST_TEXT or len(given) < len(pairs):
        raise ValueError("begins with a class, and says each thing once")
    if not {"threshold", "rate"} <= set(given) <= known:
        raise ValueError("has a threshold and a rate, and no others than those that there are")
    minimum = int(given.pop("minimum", "1"))
    return Detector(of=of, minimum=minimum, **{name: float(given[name]) for name in given})
