"""Everything that goes wrong at night, at once: kills, lies, damaged files and bad disks.

python -m benchmarks.whole.chaos [--share 0.02] [--seed N] [--only PART ...]

Runs the parts one after the other, each as a program of its own that can be run alone:

    kills         builds with a slowed compiler, killed: wrong firmware kept, processes, files left
    killed        bench, pytest, train, report, baseline, killed: rows lost, files harmed, ...
    liars         boards that lie: hangs, memory over its bound, errors that are not ours, raw text
    mutants       damaged models: exceptions that are not ours, hangs, memory, workers that die
    damage        damaged CSV files: tracebacks, hangs, files harmed
    declarations  damaged manifests and rig files: exceptions that are not ours, hangs
    disks         a full disk and a read-only one: tracebacks, figures not shown, files harmed

Each counts what must not be and ends with status 1 if that is not 0; so does this. The whole takes
an hour and a half on two cores; `--share 0.02` does a fiftieth of it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_S = 3 * 3600.0
"""For one part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A program that tries `whole` things of one kind, and how it is told how many and which."""

    name: str
    whole: int
    count: str
    seeded: bool = True


PARTS = (
    Part(name="kills", whole=100, count="--kills"),
    Part(name="killed", whole=400, count="--kills"),
    Part(name="liars", whole=200, count="--count"),
    Part(name="mutants", whole=100_000, count="--count"),
    Part(name="damage", whole=1000, count="--count"),
    Part(name="declarations", whole=1000, count="--count"),
    Part(name="disks", whole=0, count="", seeded=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a part ended. `most_bytes` is the largest process of all parts so far."""

    part: Part
    tried: int
    status: int
    said: str
    seconds: float
    most_bytes: int

    def __str__(self) -> str:
        tried = f"{self.tried}" if self.tried else "all"
        verdict = "ok" if self.status == 0 else f"WRONG (status {self.status})"
        size = f"{self.most_bytes >> 20} MiB"
        return (
            f"{self.part.name:13} {tried:>7} {self.seconds:7.0f} s  {size:>9}  "
            f"{verdict}: {self.said}"
        )


def command(part: Part, tried: int, seed: int) -> list[str]:
    """The words that run a part."""
    words = [sys.executable, "-m", f"benchmarks.whole.{part.name}"]
    if part.count:
        words += [part.count, str(tried)]
    return [*words, "--seed", str(seed)] if part.seeded else words


def run(part: Part, share: float, seed: int, show: Callable[[str], None]) -> Ended:
    """Run a part, showing what it says; its last line is what it counted."""
    tried = max(1, round(part.whole * share)) if part.whole else 0
    begun = time.monotonic()
    process = subprocess.Popen(
        command(part, tried, seed), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    last = deque(_shown(process, show), maxlen=1)
    status = process.wait(MOST_S)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Ended(
        part=part,
        tried=tried,
        status=status,
        said=last[0] if last else "said nothing",
        seconds=time.monotonic() - begun,
        most_bytes=usage.ru_maxrss * 1024,
    )


def _shown(process: subprocess.Popen[bytes], show: Callable[[str], None]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        text = line.decode(errors="backslashreplace").rstrip()
        show(text)
        if text.strip():
            yield text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; 1 if anything that must not be was counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--share", type=float, default=1.0, help="of the whole")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS])
    options = parser.parse_args(arguments)
    ended = []
    for part in PARTS:
        if options.only is None or part.name in options.only:
            print(f"== {part.name}", flush=True)
            show = lambda text: print(f"  {text}", flush=True)  # noqa: E731
            ended.append(run(part, options.share, options.seed, show))
    print("\n== what was counted")
    for one in ended:
        print(one)
    return int(any(one.status for one in ended))


if __name__ == "__main__":
    sys.exit(main())
