"""The CSV files of runs as tables of pandas, whatever version of the harness wrote them."""

from __future__ import annotations

import io
import typing
import warnings
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from harness.errors import ReportError
from harness.measure.csvfile import (
    MOST_LETTERS,
    Lines,
    beside,
    cell,
    columns,
    header_of,
    read_lines,
    text_of,
)
from harness.measure.tables import TABLES, moment
from harness.text import counted, listed, shortened

DataFrame = Any
"""pandas' table. It is imported where a file is read: measuring a board does without it."""

Kind = Any
"""The class of a record. mypy does not know that it can be hashed."""

Row = TypeVar("Row")

_SHOWN = 5
"""Lines left out that are named; the others are counted."""
_SHOWN_LETTERS = 200
"""Of what is said about one of them."""

# Columns that every version of a table had and no other table has.
_HALLMARKS = {
    "latency": {"time_utc", "firmware_build", "clock_hz", "mcu"},
    "samples": {"index", "ticks", "us"},
    "outputs": {"sample", "element", "board_raw"},
    "layers": {"index", "operator", "macs"},
    "memory": {"section", "owner"},
    "evaluation": {"data_sha256", "disagreements"},
}


def _whole_of(content: str) -> int:
    value = int(content)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{content} has more than 64 bits")
    return value


def _truth_of(content: str) -> bool:
    if content not in ("true", "false"):
        raise ValueError(f"{content!r} is neither true nor false")
    return content == "true"


# With the dtypes of pandas that know absent values.
_PARSERS: dict[type[Any], tuple[Callable[[str], Any], str]] = {
    str: (text_of, "string"),
    bool: (_truth_of, "boolean"),
    int: (_whole_of, "Int64"),
    float: (float, "float64"),
}


@dataclass(frozen=True, slots=True)
class _Column:
    """How to read a column; `default` is its cell in files without it, None if all have it."""

    parse: Callable[[str], Any]
    dtype: str
    optional: bool
    default: str | None

    def value(self, content: str) -> Any:
        if content == "" and self.optional:
            return None
        if content == "" and self.dtype != "string":
            raise ValueError("is empty")
        return self.parse(content)

    def values(self, cells: Any) -> tuple[Any, dict[int, str]]:
        """Values of cells, and by their places what is wrong with some.

        Each different text is parsed once: columns are long and say few different things.
        """
        import pandas as pd

        codes, different = pd.factorize(cells)
        parsed: list[Any] = []
        wrong: dict[int, str] = {}
        for code, content in enumerate(different):
            try:
                parsed.append(self.value(content))
            except ValueError as error:
                parsed.append(None)
                wrong[code] = shortened(str(error), _SHOWN_LETTERS)
        at = np.flatnonzero(np.isin(codes, list(wrong))) if wrong else ()
        faults = {int(place): wrong[codes[place]] for place in at}
        if self.dtype == "float64":
            return np.array(parsed, dtype=np.float64).take(codes), faults
        return pd.array(parsed, dtype=self.dtype).take(codes), faults


@cache
def _layout(kind: Kind) -> dict[str, _Column]:
    layout, hints = {}, typing.get_type_hints(kind)
    for item in fields(kind):
        types = typing.get_args(hints[item.name]) or (hints[item.name],)
        default = None if item.default is MISSING else cell(item.default)
        layout[item.name] = _Column(*_PARSERS[types[0]], len(types) > 1, default)
    return layout


def frame_of(files: Sequence[Lines], kind: Kind) -> tuple[DataFrame, list[str]]:
    """Rows of several files as a table with the record's columns, and notes on what is left out.

    An older file's missing columns get the record's defaults; a newer file's unknown ones are left
    out, with a note. Torn and malformed lines are left out, counted and named. The index is the
    place of the file among `files`, and the line's number.
    """
    import pandas as pd

    layout = _layout(kind)
    headers = dict.fromkeys(file.header for file in files) or {tuple(layout): None}
    parts = [_part(files, header, layout) for header in headers]
    bad = [dict(file.bad) for file in files]
    for _, faults in parts:
        for (place, number), what in faults.items():
            bad[place][number] = what
    pairs = zip(files, bad, strict=True)
    notes = [note for file, lines in pairs for note in _notes(file, layout, lines)]
    return pd.concat([rows for rows, _ in parts]), notes


def _part(
    files: Sequence[Lines], header: tuple[str, ...], layout: dict[str, _Column]
) -> tuple[DataFrame, dict[tuple[int, int], str]]:
    """Rows of the files that have this header, and by the index what is wrong with the others."""
    import pandas as pd

    held = {place: file.whole for place, file in enumerate(files) if file.header == header}
    lines = [",".join(map(str, range(len(header))))]
    lines += (line for whole in held.values() for line in whole.values())
    cells = pd.read_csv(io.StringIO("\n".join(lines)), dtype=object, na_filter=False)
    place_of = np.repeat(list(held), [len(whole) for whole in held.values()])
    number_of = np.fromiter((number for whole in held.values() for number in whole), dtype=int)
    index = pd.MultiIndex.from_arrays([place_of, number_of])
    columns = {name: str(at) for at, name in enumerate(header)}
    values: dict[str, Any] = {}
    faults: dict[tuple[int, int], str] = {}
    for name, column in layout.items():
        text = cells[columns[name]] if name in columns else np.full(len(cells), column.default)
        values[name], wrong = column.values(np.asarray(text, dtype=object))
        for at, error in wrong.items():
            faults.setdefault(index[at], f"({name}: {error})")
    frame = pd.DataFrame(values, index=index, copy=False)
    return frame.drop(index=list(faults)) if faults else frame, faults


def _notes(file: Lines, layout: dict[str, _Column], bad: dict[int, str]) -> list[str]:
    notes = []
    if unknown := [name for name in file.header if name not in layout]:
        notes.append(f"{file.path} is from a newer version: {listed(unknown, _SHOWN)} left out")
    lines = [f"line {number} {bad[number]}" for number in sorted(bad)]
    if file.torn:
        lines.append("the last line is torn")
    if lines:
        many = f"{len(lines)} lines are" if len(lines) > 1 else "1 line is"
        notes.append(f"{file.path}: {many} left out: {listed(lines, _SHOWN)}")
    return notes


def records_of(frame: DataFrame, kind: type[Row]) -> tuple[Row, ...]:
    """Rows of a table of `frame_of` as records."""
    record: Kind = kind
    layout = _layout(record)
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
    """Every row of a file that can be read; see `read_lines` and `frame_of`."""
    frame, notes = frame_of([read_lines(path, kind)], kind)
    return Loaded(rows=records_of(frame, kind), notes=tuple(notes))


class Tables:
    """CSV files by the table that they hold; `notes` say what could not be used of them."""

    def __init__(self) -> None:
        self.files: dict[str, list[Lines]] = {table: [] for table in TABLES}
        self.notes: list[str] = []

    def add(self, path: Path, table: str) -> None:
        """Read a file that holds this table; ReportError if it cannot be read or is none."""
        self.files[table].append(read_lines(path, TABLES[table]))

    def add_source(self, source: Path, wanted: Sequence[str] = tuple(TABLES)) -> None:
        """Read a file of the first table and those beside it of the others, or a folder of CSVs.

        Raises:
            ReportError: the file cannot be read or is none, or the folder has no CSV.
        """
        if source.is_dir():
            paths = [path for path in sorted(source.rglob("*.csv")) if path.is_file()]
            found = [(path, _table_in(path)) for path in paths]
            if not found:
                raise ReportError(f"{source} holds no CSV file")
        else:
            self.add(source, wanted[0])
            found = [(beside(source, table), table) for table in wanted[1:]]
            found = [(path, table) for path, table in found if path.exists()]
        for path, table in found:
            try:
                if table is None:
                    self.notes.append(f"{path} is no CSV of the harness: left out")
                elif table in wanted:
                    self.add(path, table)
            except ReportError as error:
                self.notes.append(f"{error.what}: left out")

    def frame(self, table: str) -> DataFrame:
        """All rows of the files that hold a table, each once."""
        frame, notes = frame_of(self.files[table], TABLES[table])
        self.notes += notes
        twice = frame.duplicated().to_numpy()
        if count := int(twice.sum()):
            of = "" if table == "latency" else f" of {table}"
            self.notes.append(f"{counted(count, 'row')}{of} found twice, counted once")
        return frame[~twice].reset_index(drop=True)


def _table_in(path: Path) -> str | None:
    """Which table a file holds, by its columns; None if it is no CSV of the harness."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            header = set(header_of(file.readline(MOST_LETTERS).rstrip("\n")))
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
        table: `latency`, `samples`, `outputs`, `layers`, `memory` or `evaluation`.

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
