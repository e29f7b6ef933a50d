"""Damaged manifests and rig files, and what the harness makes of each.

python -m benchmarks.whole.declarations [--count N] [--seed N]

The manifest of a trained model and a rig file are damaged at random: cut off, bits flipped, pieces
copied or taken out, values replaced by what cannot be, nested a thousand deep. Each is then read.
Right is that it works, or one error of the harness. Counted is what must not be: an exception that
is not ours, more than MOST_S, memory over its bound, text that acts on a terminal.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
import shutil
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.whole.deadline import Hang, within
from harness import load_registry
from harness.board.rigfile import load_rig
from harness.errors import HilError
from harness.model.artifact import load_artifact
from harness.project import find_project

MOST_S = 5.0
MOST_BYTES = 64 << 20
"""Of memory beyond what the harness had: both files are small."""

RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\ud800-\udfff]|^::", re.M)

RIG = """
[boards.left]
kind = "nano33ble"
serial_number = "0000000000000000A6F2EEB2D1C9E3F1"
deadlines = { upload_s = 60, port_s = 12.5 }
budget_us = { sine = 500.0 }
tolerance = { sine = "1lsb" }

[boards.far]
kind = "nucleo-f446re"
port = "socket://bench:4001"
power_cycle = "uhubctl -l 1-1 -p 2 -a cycle"

[[quarantine]]
board = "left"
test = "test_latency*"
reason = "a loose cable"
since = 2026-11-01
"""

VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 2**63, 2**80, 1e308, -1e-320, float("nan"), float("inf")),
    *("", "x", "../../x", "/etc/passwd", "\x1b[2J", "::error::x", "\u202ex", "a\nb", "\0", "-x"),
    *([], {}, [[]], [-1], [2**40, 2**40], {"": {}}, "x" * 100_000, list(range(10_000))),
    *("sine_int8.tflite", ".", "..", "$(touch x)", "; touch x", "'", '"', "int8", "float64"),
)

Damage = Callable[[str, random.Random], str]


def _cut(text: str, rng: random.Random) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _flip(text: str, rng: random.Random) -> str:
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(rng.choice((1, 1, 3, 20))):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content.decode("utf-8", "surrogateescape")


def _splice(text: str, rng: random.Random) -> str:
    first, last, at = (rng.randrange(len(text) + 1) for _ in range(3))
    return text[:at] + text[min(first, last) : max(first, last)] + text[at:]


def _take_out(text: str, rng: random.Random) -> str:
    first = rng.randrange(len(text) + 1)
    return text[:first] + text[first + rng.choice((1, 5, 100)) :]


def _deep(text: str, rng: random.Random) -> str:
    at, depth = rng.randrange(len(text) + 1), rng.choice((100, 5_000, 200_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}"), ("{a=", "}")))
    return text[:at] + opening * depth + "1" + closing * depth + text[at:]


def _value(text: str, rng: random.Random) -> str:
    """One literal, wherever it stands, becomes another."""
    literals = list(re.finditer(r'"[^"\n]*"|-?\d[\d.eE+-]*|true|false|null', text))
    if not literals:
        return text
    chosen, new = rng.choice(literals), json.dumps(rng.choice(VALUES))
    return text[: chosen.start()] + new + text[chosen.end() :]


DAMAGES: tuple[Damage, ...] = (_cut, _flip, _splice, _take_out, _deep, _value, _value, _value)


def _places(item: Any) -> list[tuple[Any, Any]]:
    """All containers of a JSON value with a key or index of each."""
    keys = item.keys() if isinstance(item, dict) else range(len(item))
    found = [(item, key) for key in keys]
    for _, key in list(found):
        if isinstance(item[key], (dict, list)):
            found += _places(item[key])
    return found


def damaged_json(text: str, rng: random.Random) -> str:
    """A manifest with other values, or with damaged text."""
    if rng.random() < 0.4:
        return damaged(text, rng)
    content = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        container, key = rng.choice(_places(content))
        if rng.random() < 0.2:
            del container[key]
        else:
            container[key] = copy.deepcopy(rng.choice(VALUES))
        if not _places(content):
            break
    return json.dumps(content)


def damaged(text: str, rng: random.Random) -> str:
    """Damaged text."""
    for _ in range(rng.choice((1, 1, 1, 3))):
        text = rng.choice(DAMAGES)(text, rng)
    return text


def attempt(
    what: str, read: Callable[[], object], counts: Counter[str], show: Callable[[str], None]
) -> None:
    """Read once, and count how it ended."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    ended, problem = "works", ""
    try:
        with within(MOST_S):
            read()
    except HilError as error:
        ended = f"refused ({type(error).__name__})"
        if RAW.search(str(error)):
            problem = f"raw text: {str(error)[:300]!r}"
        if len(str(error)) > 4000:
            problem = f"an error of {len(str(error))} characters"
    except Hang:
        problem = "hang"
    except Exception as error:
        problem = f"traceback: {type(error).__name__}: {str(error)[:200]}"
    peak = tracemalloc.get_traced_memory()[1] - before
    if peak > MOST_BYTES:
        problem = problem or f"memory over its bound: {peak >> 20} MiB"
    counts[f"{what} {ended}"] += 1
    if problem:
        counts["wrong"] += 1
        show(f"WRONG {what}: {problem}")


def try_declarations(
    count: int, seed: int, show: Callable[[str], None] = print, keep: Path | None = None
) -> Counter[str]:
    """Damage and read `count` files; counts of how each ended, `wrong` among them."""
    rng, counts, registry = random.Random(seed), Counter[str](), load_registry()
    source = find_project().artifacts / "sine"
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "sine")
        shutil.copytree(source, folder)
        manifest, rig = folder / "manifest.json", Path(name, "rig.toml")
        whole = manifest.read_text()
        load_rig(_written(rig, RIG), registry)
        for number in range(count):
            wrong = counts["wrong"]
            if number % 2:
                text = damaged(RIG, rng)
                path = _written(rig, text)
                attempt("rig file", lambda: load_rig(rig, registry), counts, show)
            else:
                text = damaged_json(whole, rng)
                path = _written(manifest, text)
                attempt("manifest", lambda: load_artifact(folder), counts, show)
            if keep is not None and counts["wrong"] > wrong:
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, keep / f"{number}-{path.name}")
    tracemalloc.stop()
    return counts


def _written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def main() -> int:
    """Damage files; 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="write files that went wrong there")
    options = parser.parse_args()
    counts = try_declarations(options.count, options.seed, keep=options.keep)
    print(
        ", ".join(f"{number} {what}" for what, number in sorted(counts.items()) if what != "wrong")
    )
    print(f"{options.count} damaged declarations: {counts['wrong']} wrong")
    return int(bool(counts["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
