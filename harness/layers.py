"""What every layer of a model says on the host: the pictures inside a convolution network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.artifact import Artifact
from harness.errors import ModelError, Where
from harness.pictures import grid, picture, png
from harness.reference import LiteRtInterpreter, tensor_spec
from harness.tensor import dequantize


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
        """Whether it has rows and columns."""
        return self.values.ndim == 3 and min(self.values.shape[:2]) > 1


def layer_outputs(artifact: Artifact, sample: NDArray[Any]) -> tuple[Layer, ...]:
    """Run one input, of the model's own dtype, by LiteRT, which keeps every tensor."""
    interpreter = LiteRtInterpreter(
        artifact.content, name=artifact.name, default_delegates=False, keep_tensors=True
    )
    interpreter.run(sample.reshape(artifact.inputs[0].shape))
    inside = interpreter.details
    specs = {item["index"]: tensor_spec(item) for item in inside.get_tensor_details()}
    return tuple(
        Layer(
            number=number,
            operator=node["op_name"],
            values=dequantize(inside.get_tensor(index)[0], specs[index]),
        )
        for number, node in enumerate(inside._get_ops_details())
        for index in node["outputs"][:1]
    )


def save_pictures(artifact: Artifact, number: int, folder: Path) -> list[Path]:
    """Write a golden input and what each convolution and pooling makes of it as PNG files.

    Raises:
        ModelError: the model has no goldens, not so many, or no layers that are pictures.
    """
    where = Where(model=artifact.name)
    if artifact.goldens is None:
        raise ModelError("the file has no golden inputs to show", where=where)
    if not 0 <= number < len(artifact.goldens.inputs):
        raise ModelError(
            f"there is no sample {number}: goldens are 0 to {len(artifact.goldens.inputs) - 1}",
            where=where,
        )
    sample = artifact.goldens.inputs[number]
    shown = [layer for layer in layer_outputs(artifact, sample) if layer.is_picture]
    if not shown:
        raise ModelError("no layer of this model is a picture", where=where)
    files = {"input.png": picture(sample)}
    files |= {f"{item.number:02}-{item.operator.lower()}.png": grid(item.values) for item in shown}
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in files.items():
        (folder / name).write_bytes(png(pixels))
    return [folder / name for name in files]
