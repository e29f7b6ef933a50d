"""The CSV files of runs as tables of pandas, whatever version of the harness wrote them."""

from __future__ import annotations

import io
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from harness.errors import ReportError
from harness.measure.cells import Column, Kind, layout_of
from harness.measure.csvfile import begin_of, beside, columns, header_of
from harness.measure.lines import SHOWN, Block, Faults, Source, blocks_of, open_source
from harness.measure.tables import TABLES, moment
from harness.text import counted, listed, printable

DataFrame = Any
"""pandas' table. It is imported where a file is read: measuring a board does without it."""

Row = TypeVar("Row")

# Columns that every version of a table had and no other table has.
_HALLMARKS = {
    "latency": {"time_utc", "firmware_build", "clock_hz", "mcu"},
    "samples": {"index", "ticks", "us"},
    "outputs": {"sample", "element", "board_raw"},
    "layers": {"index", "operator", "macs"},
    "operators": {"index_before", "operator"},
    "functions": {"function", "with_callees"},
    "calls": {"index", "parent", "calls"},
    "memory": {"section", "owner"},
    "evaluation": {"data_sha256", "disagreements"},
    "energy": {"gross_uj", "meter"},
    "currents": {"begin_us", "mean_ua"},
}

_CORES = {"instructions_per_mac", "differing"}


def frames_of(source: Source, kind: Kind, faults: Faults) -> Iterator[DataFrame]:
    """The rows of a file as tables of the record's columns, a block of lines each.

    An older file's missing columns get the record's defaults; a newer file's unknown ones are left
    out. Torn and malformed lines are left out, and so are those whose numbers cannot be; `faults`
    counts and names them. The index is the lines' numbers.
    """
    for block in blocks_of(source):
        with warnings.catch_warnings():
            # pandas' own, of what it will do otherwise one day.
            warnings.simplefilter("ignore")
            frame, bad = _frame(block, source.header, layout_of(kind))
        faults.add(block.bad | bad)
        yield frame


def frame_of(
    sources: Sequence[Source], kind: Kind, keep: Callable[[DataFrame], DataFrame] | None = None
) -> tuple[DataFrame, list[str]]:
    """Rows of several files as one table, and notes on what is left out; see `frames_of`.

    Args:
        keep: picks rows of each block, where not all are wanted.
    """
    import pandas as pd

    layout = layout_of(kind)
    parts: list[DataFrame] = []
    notes: list[str] = []
    for source in sources:
        faults = Faults()
        for frame in frames_of(source, kind, faults):
            parts.append(frame if keep is None else keep(frame))
        notes += notes_of(source, kind, faults)
    filled = [part for part in parts if len(part)] or parts
    return pd.concat(filled or [_frame(_NOTHING, tuple(layout), layout)[0]]), notes


def notes_of(source: Source, kind: Kind, faults: Faults) -> list[str]:
    """What is left out of a file that was read to its end."""
    notes, layout = [], layout_of(kind)
    if unknown := [printable(name, 40) for name in source.header if name not in layout]:
        notes.append(f"{source.path} is from a newer version: {listed(unknown, SHOWN)} left out")
    if faults.count:
        notes.append(f"{source.path}: {faults}")
    return notes


def frame_of_block(block: Block, header: tuple[str, ...], kind: Kind) -> DataFrame:
    """The rows of one block, as `frames_of` has them."""
    return _frame(block, header, layout_of(kind))[0]


_NOTHING = Block(numbers=np.arange(0), text=b"", bad={})


def _frame(
    block: Block, header: tuple[str, ...], layout: Mapping[str, Column]
) -> tuple[DataFrame, dict[int, str]]:
    """A block's rows as a table, and by number what is wrong with the lines left out."""
    places = {name: at for at, name in reversed(list(enumerate(header))) if name in layout}
    numbers = {str(at): layout[name].plain for name, at in places.items() if layout[name].plain}
    try:
        return _parsed(_cells(block, header, places, numbers), block, places, layout, plain=True)
    except (ValueError, OverflowError):
        return _parsed(_cells(block, header, places, {}), block, places, layout)


def _cells(
    block: Block, header: tuple[str, ...], places: Mapping[str, int], numbers: Mapping[str, Any]
) -> DataFrame:
    """The cells of known columns, as text but for columns of `numbers`.

    ValueError if one is none, or OverflowError if it has more than 64 bits. Numbers of which a file
    has millions are read twice as fast so.
    """
    import pandas as pd

    first = ",".join(map(str, range(len(header)))).encode()
    return pd.read_csv(
        io.BytesIO(first + b"\n" + block.text),
        dtype=defaultdict(lambda: object, numbers),
        na_filter=False,
        usecols=[str(at) for at in places.values()],
    )


def _parsed(
    cells: DataFrame,
    block: Block,
    places: Mapping[str, int],
    layout: Mapping[str, Column],
    *,
    plain: bool = False,
) -> tuple[DataFrame, dict[int, str]]:
    """As `_frame`; ValueError if numbers that are read as such are beyond what can be."""
    import pandas as pd

    values: dict[str, Any] = {}
    bad: dict[int, str] = {}
    for name, column in layout.items():
        known = name in places
        text: Any = cells[str(places[name])] if known else np.full(len(cells), column.default)
        if plain and known and column.plain:
            values[name] = column.checked(text.to_numpy())
            continue
        values[name], wrong = column.values(np.asarray(text, dtype=object))
        for at, error in wrong.items():
            bad.setdefault(int(block.numbers[at]), f"({name}: {error})")
    frame = pd.DataFrame(values, index=pd.Index(block.numbers, dtype=np.int64), copy=False)
    return frame.drop(index=list(bad)) if bad else frame, bad


def records_of(frame: DataFrame, kind: type[Row]) -> tuple[Row, ...]:
    """Rows of a table of `frame_of` as records."""
    record: Kind = kind
    layout = layout_of(record)
    columns = [
        frame[name].to_numpy(dtype=object, **({"na_value": None} if column.optional else {}))
        for name, column in layout.items()
    ]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(kind(**dict(zip(layout, row, strict=True))) for row in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[Row]):
    """What could be read of a file. `notes` say, one line each, what could not, and why."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def read_rows(path: Path, kind: type[Row]) -> Loaded[Row]:
    """Every row of a file that can be read; see `frames_of`.

    Raises:
        ReportError: as `open_source`.
    """
    frame, notes = frame_of([open_source(path, kind)], kind)
    return Loaded(rows=records_of(frame, kind), notes=tuple(notes))


class Tables:
    """CSV files by the table that they hold; `notes` say what could not be used of them."""

    def __init__(self) -> None:
        self.files: dict[str, list[Source]] = {table: [] for table in TABLES}
        self.notes: list[str] = []

    def add(self, path: Path, table: str) -> None:
        """Open a file that holds this table; ReportError if it cannot be read or is none."""
        self.files[table].append(open_source(path, TABLES[table]))

    def add_source(self, source: Path, wanted: Sequence[str] = tuple(TABLES)) -> None:
        """Open a file of the first table and those beside it of the others, or a folder of CSVs.

        Raises:
            ReportError: the file cannot be read or is none, or the folder has no CSV.
        """
        if source.is_dir():
            paths = [path for path in sorted(source.rglob("*.csv")) if path.is_file()]
            found = [(path, table_in(path)) for path in paths]
            if not found:
                raise ReportError(f"{source} holds no CSV file")
        else:
            self.add(source, wanted[0])
            found = [(beside(source, table), table) for table in wanted[1:]]
            found = [(path, table) for path, table in found if path.exists()]
        for path, table in found:
            try:
                if table is None:
                    if not _is_of_cores(path):
                        self.notes.append(f"{path} is no CSV of the harness: left out")
                elif table in wanted:
                    self.add(path, table)
            except ReportError as error:
                self.notes.append(f"{error.what}: left out")

    def frame(self, table: str, keep: Callable[[DataFrame], DataFrame] | None = None) -> DataFrame:
        """All rows of the files that hold a table, each once; `keep` as for `frame_of`."""
        frame, notes = frame_of(self.files[table], TABLES[table], keep)
        self.notes += notes
        twice = frame.duplicated().to_numpy()
        if count := int(twice.sum()):
            self.note_twice(table, count)
        return frame[~twice].reset_index(drop=True)

    def frames(self, table: str) -> Iterator[DataFrame]:
        """The rows of the files that hold a table, a block each; a row may be there twice."""
        for source in self.files[table]:
            faults = Faults()
            yield from frames_of(source, TABLES[table], faults)
            self.notes += notes_of(source, TABLES[table], faults)

    def note_twice(self, table: str, count: int) -> None:
        """Say how many rows were there before."""
        of = "" if table == "latency" else f" of {table}"
        self.notes.append(f"{counted(count, 'row')}{of} found twice, counted once")


def _is_of_cores(path: Path) -> bool:
    """Whether `hil cores --format csv` made a file, of tables that are read here."""
    with suppress(OSError):
        return _CORES <= set(header_of(begin_of(path)))
    return False


def table_in(path: Path) -> str | None:
    """Which table a file holds, by its columns; None if it is no CSV of the harness."""
    try:
        header = set(header_of(begin_of(path)))
    except OSError:
        return None
    fitting = [table for table, names in _HALLMARKS.items() if names <= header]
    return max(fitting, key=lambda table: len(header & set(columns(TABLES[table]))), default=None)


def load_frame(source: str | Path, table: str = "latency") -> DataFrame:
    """One table of a run or of many, as a pandas DataFrame.

    Text is `string`, whole numbers `Int64`, truths `boolean`, other numbers `float64`, `time_utc`
    a time in UTC; absent values are NA. What is left out, and why, are warnings.

    Args:
        source: a CSV that holds the table, or a folder of CSVs, those in its folders included.
        table: `latency`, `samples`, `outputs`, `layers`, `operators`, `functions`, `calls`,
            `memory` or `evaluation`.

    Raises:
        ReportError: there is no such table.
    """
    import pandas as pd

    if table not in TABLES:
        raise ReportError(f"there is no table {table}, but {listed(tuple(TABLES))}")
    tables, path = Tables(), Path(source)
    tables.add_source(path, (table,))
    if not tables.files[table]:
        raise ReportError(f"{path} holds no table {table}", hint="\n".join(tables.notes))
    frame = tables.frame(table)
    for note in tables.notes:
        warnings.warn(note, stacklevel=2)
    if "time_utc" in frame:
        times = pd.DatetimeIndex([moment(text) for text in frame["time_utc"]], tz="UTC")
        frame["time_utc"] = times.as_unit("ns")
    return frame
