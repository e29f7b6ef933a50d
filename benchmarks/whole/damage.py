"""Damaged CSV files, and what report, compare, baselines and appends make of each.

python -m benchmarks.whole.damage [--count N] [--seed N] [--keep FOLDER]

The tables of a measured board are damaged at random: cut off, bits flipped, parts copied, moved or
taken out, cells replaced by what cannot be, columns added, saved in another encoding. Each command
of `hil` that reads CSV files is then run on them. Right is that it works, bad rows counted, or one
error of the harness. Counted is what must not be: an exception that is not ours, a command over its
time, and a damaged file that a reader changed or an append lost lines of.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.cli import main as hil
from harness.errors import HilError
from harness.measure.csvfile import append
from harness.measure.frames import load_frame, read_rows
from harness.measure.place import check_place
from harness.measure.tables import TABLES, EvaluationRow, LatencyRow
from harness.report.page import FAULT

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from fakes import nights  # noqa: E402

MOST_S = 60.0
"""For a command: the files are small, the machine may be busy."""

_ENDS = (0, 1, 2, 12)
"""Exit statuses of a command that said what it found."""

_CELLS = (
    *("nan", "inf", "-inf", "-1", "1e308", "-0.0", "1e-320", "0", "9" * 30, "1_0", "+5", " 7 "),
    *("", "''", '"', '""', '"a', "=1+1", "\0", "\r", "\x1b[2J", "\u202e", "::error::", "true"),
    *("x" * 140_000, "<script>", "../../x", "1x2x", "a|b/c 1", "9999-01-01T00:00:00Z", "\ufeff"),
)


def _place(content: bytes, rng: random.Random) -> int:
    return rng.randrange(len(content) + 1)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _flip(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 30))):
        if damaged:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = _place(content, rng)
    odd = (b"\0", b"\r", b"\n", b'"', b",", b"\xff\xfe", b'"' + b"," * 140_000, b"\0" * 5000)
    return content[:at] + rng.choice(odd) * rng.choice((1, 1, 2, 40)) + content[at:]


def _copy(content: bytes, rng: random.Random) -> bytes:
    first, last = sorted((_place(content, rng), _place(content, rng)))
    at = _place(content, rng)
    return content[:at] + content[first:last] + content[at:]


def _take_out(content: bytes, rng: random.Random) -> bytes:
    first = _place(content, rng)
    return content[:first] + content[first + rng.choice((1, 5, 300)) :]


def _cells(content: bytes, rng: random.Random) -> bytes:
    """Some cells of some lines say something else, at times all of a column."""
    lines = [line.split(b",") for line in content.split(b"\n")]
    column = rng.randrange(max(map(len, lines)))
    rows = range(1, len(lines)) if rng.random() < 0.3 else [rng.randrange(len(lines))]
    new = rng.choice(_CELLS).encode()
    for row in rows:
        if column < len(lines[row]):
            lines[row][column] = new
    return b"\n".join(b",".join(line) for line in lines)


def _columns(content: bytes, rng: random.Random) -> bytes:
    """Columns are exchanged, missing, twice, or there are thousands of new ones."""
    lines = [line.split(b",") for line in content.split(b"\n")]
    width = len(lines[0])
    one, other = rng.randrange(width), rng.randrange(width)
    more = rng.choice((0, 1, 1, 3000))
    for number, line in enumerate(lines):
        if len(line) == width:
            line[one] = line[other]
            line += [b"x%d" % at if number == 0 else b"1" for at in range(more)]
            if more == 0:
                del line[other]
    return b"\n".join(b",".join(line) for line in lines)


def _encode(content: bytes, rng: random.Random) -> bytes:
    text = content.decode(errors="replace")
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-16-le"),
        lambda: text.encode("utf-8-sig").replace(b"\n", b"\r\n"),
        lambda: text.replace("sine", "s\u00efne").encode("latin-1", "replace"),
        lambda: text.replace("\n", "\r").encode(),
        lambda: text.replace(",", ";").encode(),
        lambda: text.rstrip("\n").encode(),
    )
    return rng.choice(ways)()


_DAMAGES = (_cut, _flip, _insert, _copy, _take_out, _cells, _cells, _cells, _columns, _encode)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A damaged copy of a file."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_DAMAGES)(content, rng)
    return content


@dataclass(slots=True)
class Counts:
    """What came of commands on damaged files; `wrong` is what must not be, with where it was."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = Counter(line.partition(":")[0] for line in self.wrong)
        said = [f"{count:6} {what}" for what, count in sorted(self.outcomes.items())]
        named = {"traceback": 0, "too slow": 0, "file harmed": 0, **kinds}
        return "\n".join([*said, *(f"{count:6} {what}" for what, count in named.items())])


def make_whole(folder: Path) -> None:
    """The files of one small run of each kind of board, undamaged."""
    for night, make in ((1, nights.real_board), (2, nights.real_board), (2, nights.emulated_board)):
        rows = make(night)
        nights.write(folder / "latency.csv", rows)
    append(folder / "evaluation.csv", [_evaluation(nights.real_board(1)[-1])])


def _evaluation(row: LatencyRow) -> EvaluationRow:
    values: dict[str, object] = dict.fromkeys(EvaluationRow.__dataclass_fields__)
    shared = {name: getattr(row, name) for name in values if hasattr(row, name)}
    own = {
        **{"data": "data.npz", "data_sha256": "0" * 64, "data_samples": 9, "samples": 9},
        **{"inputs": "real", "metric": "accuracy", "value": 0.5, "low": 0.2, "high": 0.8},
        **{"resumed_at": 0, "recoveries": 0, "retries": 0, "seconds": 1.5, "verdict": "pass"},
        **{"classes": "a|b", "confusion": "3 1/2 3", "disagreements": 0, "reference": "tflm"},
    }
    return EvaluationRow(**{**values, **shared, **own})  # type: ignore[arg-type]


def _commands(folder: Path, whole: Path, rng: random.Random) -> Iterator[tuple[str, list[str]]]:
    csv, good = str(folder / "latency.csv"), str(whole / "latency.csv")
    kept = folder / "kept.csv"
    shutil.copy(rng.choice((whole, folder)) / "latency.csv", kept)
    source = rng.choice((csv, str(folder)))
    yield "report", ["report", source, "--output", str(folder / "out" / "page.html")]
    sides = rng.choice(((csv, good), (good, csv), (csv, csv)))
    yield "compare", ["compare", *sides, *rng.choice(((), ("--functions",)))]
    save = ["baseline", "save", "--csv", rng.choice((csv, good)), "--baseline", str(kept)]
    yield "baseline save", [*save, "--replace"]
    yield "baseline list", ["baseline", "list", "--baseline", csv]
    yield "baseline show", ["baseline", "show", "n", "--baseline", csv]
    yield "history", ["history", source, "--layers", *rng.choice(((), ("--json",)))]


def try_damage(whole: Path, folder: Path, seed: int, counts: Counts) -> None:
    """Damage a copy of the files, run every reader on it, then append; counts what came of it.

    Args:
        whole: folder that `make_whole` filled.
        folder: empty, for the copy.
    """
    rng = random.Random(seed)
    for path in sorted(whole.glob("*.csv")):
        content = path.read_bytes()
        hit = path.name == "latency.csv" or rng.random() < 0.4
        (folder / path.name).write_bytes(damaged(content, rng) if hit else content)
    before = {path: path.read_bytes() for path in folder.glob("*.csv")}
    for name, words in _commands(folder, whole, rng):
        _run(f"{name}, seed {seed}", lambda words=words: hil(words), counts)  # type: ignore[misc]
    for table in TABLES:
        _run(f"load {table}, seed {seed}", lambda table=table: _load(folder, table), counts)  # type: ignore[misc]
    if any(path.read_bytes() != content for path, content in before.items()):
        counts.wrong.append(f"file harmed: by a reader, seed {seed}")
    _run(f"append, seed {seed}", lambda: _append(folder / "latency.csv", counts, seed), counts)


def _load(folder: Path, table: str) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        load_frame(folder / ("latency.csv" if table == "latency" else f"{table}.csv"), table)
    return 0


def _append(path: Path, counts: Counts, seed: int) -> int:
    """Every line with an end is still there after an append, here or set aside."""
    before, row = path.read_bytes(), nights.real_board(3)[-1]
    with contextlib.suppress(HilError):
        check_place(path)
    append(path, [row])
    aside = path.with_name("latency.1.csv")
    after = aside.read_bytes() if aside.exists() else path.read_bytes()
    whole = before[: before.rfind(b"\n") + 1]
    if not after.startswith(before if aside.exists() else whole):
        counts.wrong.append(f"file harmed: by an append, seed {seed}")
    if [found.run for found in read_rows(path, LatencyRow).rows][-1:] != [row.run]:
        counts.wrong.append(f"file harmed: a row appended is not there, seed {seed}")
    return 0


def _run(name: str, act: Callable[[], int], counts: Counts) -> None:
    start, said = time.monotonic(), io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            status = act()
    except HilError:
        status = 2
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        counts.wrong.append(f"traceback: {name}: {type(error).__name__} at {where}: {error}"[:300])
        return
    if FAULT in said.getvalue():
        counts.wrong.append(f"traceback: {name}: {said.getvalue()}"[:300])
    what = name.partition(",")[0]
    counts.outcomes[f"{what}: {'read' if status in (0, 12) else 'refused'}"] += 1
    if status not in _ENDS:
        counts.wrong.append(f"status {status}: {name}")
    if time.monotonic() - start > MOST_S:
        counts.wrong.append(f"too slow: {name}: {time.monotonic() - start:.0f} s")


def run(count: int, seed: int = 0, keep: Path | None = None) -> Counts:
    """Damage files `count` times; those on which something was wrong are copied to `keep`."""
    counts = Counts()
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        whole.mkdir()
        make_whole(whole)
        for number in range(seed, seed + count):
            folder = Path(place) / str(number)
            folder.mkdir()
            before = len(counts.wrong)
            try_damage(whole, folder, number, counts)
            if keep is not None and len(counts.wrong) > before:
                shutil.copytree(folder, keep / str(number), dirs_exist_ok=True)
            shutil.rmtree(folder)
    return counts


def main(arguments: list[str] | None = None) -> int:
    """Print the counts; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files on which something was wrong")
    options = parser.parse_args(arguments)
    counts = run(options.count, options.seed, options.keep)
    print(counts)
    for line in counts.wrong:
        print(line)
    return int(bool(counts.wrong))


if __name__ == "__main__":
    sys.exit(main())
