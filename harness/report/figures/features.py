"""Feature maps: what a model's convolutions compute, as small pictures in the report."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import HilError
from harness.measure.tables import LatencyRow
from harness.model.artifact import load_artifact
from harness.model.features import MAP_OPERATORS, Layer, LayerMaps, drawn_input, layer_maps
from harness.model.png import grid, png
from harness.model.training import Trained, find_trained

SAMPLE = 0
"""The golden input that is shown."""
MOST_MAPS = 64
MOST_BYTES = 225_000
"""Of all PNG files of one model; base64 makes 300 kB of them."""
LEAST_SIDE = 24
"""Pixels of a map; the browser enlarges further, without making the page longer."""
SHOWN_PX = 340
"""Pictures are shown this wide or high, unless they have more pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPicture:
    """One picture: `uri` holds a PNG file; `width` and `height` in CSS pixels."""

    title: str
    caption: str
    alt: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMaps:
    """Feature maps of a model; `models` are the files that share these pictures."""

    models: tuple[str, ...]
    pictures: tuple[MapPicture, ...]
    says: tuple[str, ...]
    """What was left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMapSection:
    """Feature maps of several models, and sentences about all of them."""

    says: tuple[str, ...] = ()
    maps_of_models: tuple[FeatureMaps, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maps:
    """Values to draw, (height, width, maps); the maps of an input are colours or channels."""

    title: str
    values: NDArray[np.float32]
    is_input: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """The first `count` maps of something as a PNG file of `width` x `height` pixels."""

    count: int
    width: int
    height: int
    content: bytes


def feature_maps(rows: Iterable[LatencyRow], roots: Sequence[Path]) -> FeatureMapSection:
    """Feature maps of the models of these rows whose files are here and have such layers."""
    alike: dict[tuple[tuple[MapPicture, ...], tuple[str, ...]], list[str]] = {}
    absent: defaultdict[str, list[str]] = defaultdict(list)
    sources: dict[str, None] = {}
    for found in _files(rows, roots):
        name = f"{found.folder.name} {found.dtype}"
        try:
            artifact = load_artifact(found.folder, found.dtype)
            if MAP_OPERATORS.isdisjoint(artifact.operators):
                continue
            maps = layer_maps(artifact, SAMPLE)
        except HilError as error:
            absent[error.what].append(name)
            continue
        if maps.layers:
            sources[maps.source] = None
            alike.setdefault(shown(maps), []).append(name)
    says = [
        f"Computed by {source} on the machine that made this page, not by a board."
        for source in sources
    ]
    if alike:
        says.append("A map is one channel of a layer's output; those of one layer share shades.")
    says += [f"No pictures of {', '.join(names)}: {why}." for why, names in absent.items()]
    maps_of_models = (
        FeatureMaps(models=tuple(names), pictures=pictures, says=left)
        for (pictures, left), names in alike.items()
    )
    return FeatureMapSection(says=tuple(says), maps_of_models=tuple(maps_of_models))


def _files(rows: Iterable[LatencyRow], roots: Sequence[Path]) -> Iterable[Trained]:
    hashes = dict.fromkeys(row.model_sha256 for row in rows)
    return (found for sha256 in hashes if (found := find_trained(sha256, roots)) is not None)


def shown(
    found: LayerMaps, most_bytes: int = MOST_BYTES
) -> tuple[tuple[MapPicture, ...], tuple[str, ...]]:
    """Pictures in the order of the layers, and what was left out to keep the page small."""
    everything = [*_input(found), *(_layer(layer) for layer in found.layers)]
    drawings = fitted(everything, most_bytes)
    pairs = list(zip(everything, drawings, strict=True))
    missing = [f"{maps.title} ({_size(maps.values)})" for maps, made in pairs if made is None]
    says = (f"Left out to keep the page small: {', '.join(missing)}.",) if missing else ()
    return tuple(_view(maps, made) for maps, made in pairs if made is not None), says


def _input(found: LayerMaps) -> tuple[Maps, ...]:
    if found.sample is None:
        return ()
    title = f"Golden input {SAMPLE}" + (f": {found.label}" if found.label else "")
    return (Maps(title=title, values=found.sample, is_input=True),)


def _layer(layer: Layer) -> Maps:
    return Maps(title=f"{layer.number} {layer.operator}", values=layer.values)


def fitted(everything: Sequence[Maps], most_bytes: int) -> list[Drawing | None]:
    """Drawings that together have at most `most_bytes`; None where not one map has room.

    Each may take an equal share of what is left, the small ones first, so that what they do not
    need is for the large ones. Of what is larger than its share fewer maps are drawn.
    """
    full = [_drawing(maps, MOST_MAPS) for maps in everything]
    kept: list[Drawing | None] = [None] * len(full)
    left = most_bytes
    for done, place in enumerate(sorted(range(len(full)), key=lambda at: len(full[at].content))):
        share = left // (len(full) - done)
        kept[place] = made = _reduced(everything[place], full[place], share)
        left -= len(made.content) if made else 0
    return kept


def _reduced(maps: Maps, drawing: Drawing, most_bytes: int) -> Drawing | None:
    while len(drawing.content) > most_bytes:
        # Channels of an input are no maps: they are shown together or not at all.
        if maps.is_input or drawing.count == 1:
            return None
        drawing = _drawing(maps, drawing.count // 2)
    return drawing


def _drawing(maps: Maps, most: int) -> Drawing:
    draw = drawn_input if maps.is_input else grid
    pixels = draw(maps.values[..., :most], LEAST_SIDE)
    height, width = pixels.shape[:2]
    count = min(most, maps.values.shape[2])
    return Drawing(count=count, width=width, height=height, content=png(pixels))


def _view(maps: Maps, drawing: Drawing) -> MapPicture:
    values = maps.values[..., : drawing.count]
    factor = max(1.0, SHOWN_PX / max(drawing.width, drawing.height))
    return MapPicture(
        title=maps.title,
        caption=f"{_caption(maps, drawing)}; {_range(values)}",
        alt=_alt(maps, drawing),
        uri=f"data:image/png;base64,{base64.b64encode(drawing.content).decode()}",
        width=round(factor * drawing.width),
        height=round(factor * drawing.height),
    )


def _caption(maps: Maps, drawing: Drawing) -> str:
    height, width, count = maps.values.shape
    if maps.is_input:
        return _size(maps.values)
    first = "the first" if drawing.count == 1 else f"the first {drawing.count}"
    part = f"{first} of {count}" if drawing.count < count else f"{count}"
    return f"{part} {'map' if count == 1 else 'maps'} of {height} × {width}"


def _alt(maps: Maps, drawing: Drawing) -> str:
    if maps.is_input:
        return f"The input, {_size(maps.values)}"
    return f"Feature maps of {maps.title}: {_caption(maps, drawing)}"


def _range(values: NDArray[np.float32]) -> str:
    low, high = float(values.min()), float(values.max())
    if low == high:
        return f"all {low:.3g}"
    return f"black is {low:.3g}, white {high:.3g}"


def _size(values: NDArray[np.float32]) -> str:
    return " × ".join(str(size) for size in values.shape)
