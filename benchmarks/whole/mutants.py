"""Damaged and hostile models: mutants of ours, and what the harness makes of each.

python -m benchmarks.whole.mutants [--count N] [--seed N] [--workers N] [--keep FOLDER]

Five models are damaged at random: bits flipped, cut off, parts copied over others, numbers of the
structure overwritten by extreme ones, indices exchanged. Each mutant is looked at, planned and
generated for `aot` and `tflm`, and run by TFLM and LiteRT on the host, each as `hil` does it. Right
is that it works, or one error of the harness. Counted is what must not be: an exception that is not
ours, a stage over its time, memory over its bound, a process of ours that ends.
"""

from __future__ import annotations

import argparse
import os
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.whole.deadline import Hang, within
from harness import load_registry
from harness.errors import HilError
from harness.firmware import host
from harness.firmware.aot import generate_aot
from harness.firmware.aot_pass import prepare
from harness.firmware.probe import Question
from harness.firmware.tflm import generate_tflm
from harness.firmware.verdict import verdicts
from harness.model.artifact import Artifact
from harness.model.inspect import facts_of
from harness.model.resolve import described
from harness.model.samples import Layout

ROOT = Path(__file__).parents[2]
MODELS = (
    "models/artifacts/sine/sine_int8.tflite",
    "models/artifacts/fashion_cnn-8/fashion_cnn-8_int8.tflite",
    "tests/zoo/if-float32.tflite",
    "tests/zoo/concat-int8.tflite",
    "tests/zoo/variable-float32.tflite",
)
STAGES = ("inspect", "plan", "generate aot", "generate tflm", "tflm", "litert")
MOST_S = 5.0
"""For a stage: models are small."""

INTERPRET_S = 2.0
"""For an invoke on the host, after which the process is ended: that is right of a large mutant."""

MOST_MEMORY = 1 << 30
"""Bytes that a worker may have at once. Models' processes have bounds of their own."""

ALL_OF = {"generate aot": 8, "litert": 4}
"""A stage that takes long runs one of so many mutants that come so far."""

EXTREME = (
    *(0, 1, 2, 3, 4, 5, 7, 8, 16, 255, 256, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0x80000001),
    *(0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFF0, 0x40000000, 0x10000000, 0x00FFFFFF, 0x7F800000),
    *(0x7FC00000, 0x00800000, 0x7F7FFFFF, 0x3F800000, 0xBF800000),
)
"""32 bits: integers at the ends of ranges; and as floats infinity, NaN, the least and the most."""


def mutant(content: bytes, random: np.random.Generator) -> bytes:
    """A model with one to four damages."""
    made = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        change = _CHANGES[int(random.integers(len(_CHANGES)))]
        change(made, random)
    return bytes(made)


def _flip(made: bytearray, random: np.random.Generator) -> None:
    for at in random.integers(0, max(1, len(made)), int(random.integers(1, 9))):
        if at < len(made):
            made[at] ^= 1 << int(random.integers(8))


def _cut(made: bytearray, random: np.random.Generator) -> None:
    if random.integers(8) == 0:
        del made[int(random.integers(0, len(made) + 1)) :]


def _splice(made: bytearray, random: np.random.Generator) -> None:
    if len(made) < 8:
        return
    size = int(random.integers(1, min(128, len(made))))
    source, target = (int(at) & ~3 for at in random.integers(0, len(made) - size + 1, 2))
    made[target : target + size] = made[source : source + size]


def _extreme(made: bytearray, random: np.random.Generator) -> None:
    """A number of the structure, which is aligned."""
    at = _place(made, random)
    if at is not None:
        value = EXTREME[int(random.integers(len(EXTREME)))]
        made[at : at + 4] = struct.pack("<I", value)


def _near(made: bytearray, random: np.random.Generator) -> None:
    """A number becomes one near to it: an index, a size or an offset of a neighbour."""
    at = _place(made, random)
    if at is not None:
        value = struct.unpack_from("<I", made, at)[0] + int(random.integers(-4, 5))
        made[at : at + 4] = struct.pack("<I", value & 0xFFFFFFFF)


def _swap(made: bytearray, random: np.random.Generator) -> None:
    """Two numbers that are small, as indices and sizes are, change places."""
    places = [_place(made, random) for _ in range(16)]
    small = [at for at in places if at is not None and made[at + 1 : at + 4] == b"\0\0\0"]
    if len(small) > 1:
        one, other = small[:2]
        made[one : one + 4], made[other : other + 4] = (
            made[other : other + 4],
            made[one : one + 4],
        )


def _place(made: bytearray, random: np.random.Generator) -> int | None:
    """An aligned place; mostly one of the structure, which has more zeros than weights have."""
    if len(made) < 8:
        return None
    for _ in range(8):
        at = 4 * int(random.integers(0, len(made) // 4))
        if made[at : at + 4].count(0) >= 2:
            break
    return at


_CHANGES: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    *(_flip, _cut, _splice),
    *(_extreme, _extreme, _near, _near, _swap),
)


@dataclass(kw_only=True)
class Tally:
    """What became of mutants: counts by stage and outcome, and the first of each that is wrong."""

    count: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: dict[str, bytes] = field(default_factory=dict)
    wrong_count: int = 0
    most_memory: int = 0

    def add(self, other: Tally) -> None:
        """Count another's in."""
        self.count += other.count
        self.outcomes += other.outcomes
        self.wrong = {**other.wrong, **self.wrong}
        self.wrong_count += other.wrong_count
        self.most_memory = max(self.most_memory, other.most_memory)

    def blame(self, what: str, content: bytes) -> None:
        """Note what must not be."""
        self.wrong_count += 1
        self.wrong.setdefault(what, content)

    def lines(self) -> Iterator[str]:
        """For people."""
        for stage in STAGES:
            said = [f"{n} {what}" for (at, what), n in self.outcomes.most_common() if at == stage]
            yield f"{stage:14} {', '.join(said)}"
        yield f"{self.count} mutants, {self.wrong_count} wrong; memory {self.most_memory >> 20} MiB"
        yield from (f"WRONG {what}" for what in self.wrong)


@cache
def _board() -> object:
    return load_registry()["qemu-m4"]


def try_mutant(content: bytes, tally: Tally, *, stages: Sequence[str] = STAGES) -> None:
    """Take a mutant through the stages, and count how each ends. A refusal ends them."""
    tally.count += 1
    artifact: Artifact | None = None
    for stage in stages:
        if tally.count % ALL_OF.get(stage, 1):
            continue
        try:
            with within(MOST_S + (10 * INTERPRET_S if stage in ("tflm", "litert") else 0)):
                if artifact is None:
                    artifact = described(Path("mutant.tflite"), content)
                tally.outcomes[stage, _STAGES[stage](artifact)] += 1
        except HilError as error:
            tally.outcomes[stage, _kind(error)] += 1
            if artifact is None:
                return
        except Hang:
            tally.blame(f"{stage}: hang", content)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            tally.blame(f"{stage}: {type(error).__name__} at {where}: {error}"[:200], content)


def _kind(error: HilError) -> str:
    for word in ("crashed", "did not end", "ended"):
        if word in str(error):
            return f"refused: {word}"
    str(error)
    return f"refused ({type(error).__name__})"


def _inspect(artifact: Artifact) -> str:
    facts_of(artifact)
    verdicts(artifact, answer=None)
    return "fine"


def _plan(artifact: Artifact) -> str:
    prepare(artifact.content)
    return "fine"


def _generate_aot(artifact: Artifact) -> str:
    with tempfile.TemporaryDirectory() as folder:
        generate_aot(artifact, _board(), build_id="00" * 16, folder=Path(folder))
    return "fine"


def _generate_tflm(artifact: Artifact) -> str:
    with tempfile.TemporaryDirectory() as folder:
        generate_tflm(
            artifact, arena_bytes=4096, version="0", build_id="00" * 16, folder=Path(folder)
        )
    return "fine"


def _tflm(artifact: Artifact) -> str:
    with Question(artifact.content, most_s=INTERPRET_S) as question:
        refusal = question.answer().refusal
    if refusal is None:
        return "ran"
    for word in ("crashes", "aborts", "does not end"):
        if word in refusal.sentence:
            return word
    return "refused by TFLM"


def _litert(artifact: Artifact) -> str:
    interpreter = host.litert(artifact.content, name="mutant", most_s=INTERPRET_S)
    try:
        layout = Layout(specs=artifact.inputs)
        zeros = layout.from_bytes(bytes(layout.size_bytes))
        interpreter.run_all(layout.tensors(zeros, 0))
    finally:
        interpreter.close()
    return "ran"


_STAGES: dict[str, Callable[[Artifact], str]] = {
    "inspect": _inspect,
    "plan": _plan,
    "generate aot": _generate_aot,
    "generate tflm": _generate_tflm,
    "tflm": _tflm,
    "litert": _litert,
}


def run(first: int, count: int, *, seed: int, stages: Sequence[str] = STAGES) -> Tally:
    """Try the mutants of these numbers; mutant n is the same for each seed, whoever makes it."""
    tally, before = Tally(), _most_memory()
    for number in range(first, first + count):
        content = numbered(number, seed)
        try_mutant(content, tally, stages=stages)
    tally.most_memory = _most_memory()
    # What this process took before, for something else, is not theirs.
    if tally.most_memory > max(before, MOST_MEMORY):
        tally.blame(f"memory of {tally.most_memory} bytes", content)
    return tally


def _most_memory() -> int:
    """Bytes that this process ever had."""
    # Kibibytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def numbered(number: int, seed: int) -> bytes:
    """The mutant of a number."""
    content = (ROOT / MODELS[number % len(MODELS)]).read_bytes()
    return mutant(content, np.random.default_rng([seed, number]))


_CHUNK = 200
SHOWN_EVERY = 2000


def main(arguments: Sequence[str] | None = None) -> int:
    """Try mutants; the exit status is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="write mutants that went wrong there")
    options = parser.parse_args(arguments)
    total, begun = Tally(), time.monotonic()
    # A fresh interpreter for each worker: their servers are their own.
    with ProcessPoolExecutor(options.workers) as pool:
        jobs = {
            pool.submit(run, first, min(_CHUNK, options.count - first), seed=options.seed): first
            for first in range(0, options.count, _CHUNK)
        }
        for job, first in jobs.items():
            try:
                total.add(job.result())
                if total.count % SHOWN_EVERY == 0:
                    rate = total.count / (time.monotonic() - begun)
                    print(
                        f"{total.count} mutants, {total.wrong_count} wrong, {rate:.0f}/s",
                        flush=True,
                    )
            except BrokenProcessPool:
                total.blame(f"a worker died within mutants {first} to {first + _CHUNK}", b"")
                break
    for line in total.lines():
        print(line)
    print(f"{total.count / (time.monotonic() - begun):.0f} mutants/s, seed {options.seed}")
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(total.wrong.values()):
            (options.keep / f"wrong-{number}.tflite").write_bytes(content)
    return min(1, total.wrong_count)


if __name__ == "__main__":
    sys.exit(main())
