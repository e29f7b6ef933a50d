"""The training history that lies beside a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ModelError, Where
from harness.model.artifact import list_models
from harness.model.manifest import DAMAGED, MOST_HISTORY, checked_file, read_manifest
from harness.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Values of every metric, one for each epoch or each step; both empty if nothing was trained.

    Series that are not numbers, such as weights, are left out. Names that begin with `val_` are of
    the validation set.
    """

    epochs: Mapping[str, tuple[float, ...]]
    steps: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The artifact folder that a model file is from, and the file's dtype."""

    folder: Path
    dtype: str


def find_trained(sha256: str, roots: Iterable[Path]) -> Trained | None:
    """Find the artifact that has a file of this SHA-256; None if no manifest lists it."""
    for root in roots:
        for name in list_models(root):
            try:
                forms = read_manifest(root / name).get("dtypes", {})
                for dtype, form in forms.items():
                    if form["sha256"] == sha256:
                        return Trained(folder=root / name, dtype=dtype)
            except (ModelError, LookupError, TypeError, AttributeError):
                continue
    return None


def read_history(folder: Path) -> History:
    """Read the history that a folder's manifest names.

    Raises:
        ModelError: there is none, or it is not the file that the manifest describes.
    """
    where = Where(model=folder.name)
    try:
        entry = read_manifest(folder)["history"]
        held = json.loads(checked_file(folder, entry, MOST_HISTORY, where))
        return History(epochs=_series(held["epochs"]), steps=_series(held["steps"]))
    except DAMAGED as error:
        said = printable(repr(error), 300)
        raise ModelError(f"the history in {folder} cannot be read: {said}", where=where) from error


def _series(table: Mapping[str, Sequence[object]]) -> dict[str, tuple[float, ...]]:
    numbers = {
        name: tuple(float(value) for value in values if isinstance(value, int | float))
        for name, values in table.items()
    }
    return {name: held for name, held in numbers.items() if len(held) == len(table[name]) > 0}
