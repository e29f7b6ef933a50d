"""Outputs of a model's inner layers on the host: the feature maps of a convolution network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError, Where
from harness.model.artifact import Artifact
from harness.model.interpreters import LiteRtInterpreter, tensor_spec
from harness.model.png import LEAST_SIDE, grid, picture, png
from harness.model.samples import Layout
from harness.model.tensor import DTYPES, dequantize

MAP_OPERATORS = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "MAX_POOL_2D", "AVERAGE_POOL_2D"}
)
"""Operators whose outputs are shown as feature maps."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """Output of one node of the graph, in real numbers, without the batch axis.

    `number` counts nodes from 0, `operator` is its TFLite name.
    """

    number: int
    operator: str
    values: NDArray[np.float32]

    @property
    def is_picture(self) -> bool:
        """Whether the output has rows and columns, more than one of each."""
        return self.values.ndim == 3 and min(self.values.shape[:2]) > 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerMaps:
    """A golden input, and the outputs of the convolution and pooling layers for it.

    `sample` (height, width, channels) is in real numbers, None where inputs are not images;
    `label` names its class; `source` is the interpreter with its version.
    """

    source: str
    sample: NDArray[np.float32] | None
    label: str | None
    layers: tuple[Layer, ...]


def _run(artifact: Artifact, sample: NDArray[Any]) -> LiteRtInterpreter:
    interpreter = LiteRtInterpreter(
        artifact.content, name=artifact.name, default_delegates=False, keep_tensors=True
    )
    interpreter.run_all(Layout(specs=artifact.inputs).tensors(np.asarray(sample)[np.newaxis], 0))
    return interpreter


def _outputs(interpreter: LiteRtInterpreter) -> tuple[Layer, ...]:
    inside = interpreter.details
    details = {item["index"]: item for item in inside.get_tensor_details()}
    return tuple(
        Layer(
            number=number,
            operator=node["op_name"],
            values=dequantize(inside.get_tensor(index)[0], tensor_spec(details[index])),
        )
        for number, node in enumerate(inside._get_ops_details())
        for index in node["outputs"][:1]
        if np.dtype(details[index]["dtype"]).name in DTYPES.values()
        and len(details[index]["shape"])
    )


def layer_maps(artifact: Artifact, number: int) -> LayerMaps:
    """Run golden input `number`, counted from 0; `layers` is empty if no output is an image.

    Raises:
        ModelError: the model has no goldens, or no golden of this number.
        ToolMissing: LiteRT is not installed.
    """
    where = Where(model=artifact.name)
    goldens = artifact.goldens
    if goldens is None:
        raise ModelError(
            "the file has no golden inputs to show",
            where=where,
            hint="Models of recipes have them: hil models lists them.",
        )
    if not 0 <= number < len(goldens.inputs):
        raise ModelError(
            f"there is no sample {number}: goldens are 0 to {len(goldens.inputs) - 1}",
            where=where,
        )
    interpreter = _run(artifact, goldens.inputs[number])
    shown = (layer for layer in _outputs(interpreter) if layer.operator in MAP_OPERATORS)
    first = Layout(specs=artifact.inputs).columns(goldens.inputs)[0]
    return LayerMaps(
        source=interpreter.source,
        sample=_image(dequantize(first[number], artifact.inputs[0])),
        label=_label(artifact, number),
        layers=tuple(layer for layer in shown if layer.is_picture),
    )


def _image(sample: NDArray[np.float32]) -> NDArray[np.float32] | None:
    image = sample[..., np.newaxis] if sample.ndim == 2 else sample
    return image if image.ndim == 3 and min(image.shape[:2]) > 1 else None


def _label(artifact: Artifact, number: int) -> str | None:
    if artifact.goldens is None or artifact.goldens.labels is None:
        return None
    place = int(artifact.goldens.labels[number])
    return str(artifact.labels[place]) if 0 <= place < len(artifact.labels) else str(place)


def drawn_input(sample: NDArray[Any], least_side: int = LEAST_SIDE) -> NDArray[np.uint8]:
    """Pixels of an input (height, width, channels): grey, colour, or else a grid of channels."""
    return (picture if sample.shape[2] in (1, 3) else grid)(sample, least_side)


def save_pictures(artifact: Artifact, number: int, folder: Path) -> list[Path]:
    """Write a golden input and the feature maps of each convolution and pooling as PNG files.

    Raises:
        ModelError: the model has no goldens, no golden of this number, or no feature maps.
    """
    maps = layer_maps(artifact, number)
    if not maps.layers:
        where = Where(model=artifact.name)
        raise ModelError("no layer of this model has feature maps", where=where)
    files = {} if maps.sample is None else {"input.png": drawn_input(maps.sample)}
    files |= {
        f"{item.number:02}-{item.operator.lower()}.png": grid(item.values) for item in maps.layers
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in files.items():
        (folder / name).write_bytes(png(pixels))
    return [folder / name for name in files]
