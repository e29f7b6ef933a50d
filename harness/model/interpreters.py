"""Host interpreters: TFLM (the golden), LiteRT with and without its default delegates.

They run in this process, which a hostile file can crash: `models/` runs what it made itself with
them, and the rig has `harness.firmware.host`, which gives each model a process of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError, ToolMissing, Where
from harness.model.graph import read_graph
from harness.model.tensor import TensorSpec
from harness.model.wheels import (
    LITERT_WHEEL,
    TFLM_INSTALL,
    host_arena_bytes,
    litert_version,
    tflm_runtime,
    tflm_version,
)
from harness.model.wheels import TFLM_WHEEL as TFLM_WHEEL  # models/ has it from here.


class Interpreter(Protocol):
    """Runs a model on the host, one sample at a time."""

    @property
    def source(self) -> str:
        """Name and version of the interpreter, as reports show it."""

    def run(self, sample: NDArray[Any]) -> NDArray[Any]:
        """The first output for the only input, both in the model's full shapes."""

    def run_all(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """All outputs for all inputs of one sample, in the model's order and full shapes."""

    def reset(self) -> None:
        """Begin anew: the next run answers as the first one did, whatever state the model keeps."""


class TflmInterpreter:
    """TFLite Micro on the host, from the official wheel.

    With `keep_tensors`, the tensors between operators can be read after a run, by `tensor`.

    Raises:
        ToolMissing: the wheel is not installed; it exists for some platforms only.
        ModelError: TFLM cannot load the model.
    """

    def __init__(
        self,
        content: bytes,
        *,
        name: str,
        arena_bytes: int | None = None,
        keep_tensors: bool = False,
    ) -> None:
        version = tflm_version()
        if version is None:
            raise ToolMissing(
                "the tflite-micro wheel",
                needed_for="running TFLM on the host",
                install=TFLM_INSTALL,
            )
        runtime = tflm_runtime()

        self.source = f"tflm {version}"
        self._has_variables = cache(lambda: read_graph(content, name=name).variables > 0)
        size = arena_bytes or host_arena_bytes(content)
        config = runtime.InterpreterConfig.kAllocationRecording
        if keep_tensors:
            size += _all_outputs_bytes(content, name)
            config = runtime.InterpreterConfig.kPreserveAllTensors

        def load() -> Any:
            try:
                return runtime.Interpreter.from_bytes(
                    content, arena_size=size, intrepreter_config=config
                )
            except RuntimeError as error:
                raise ModelError(
                    f"TFLM on the host cannot load the model: {error}", where=Where(model=name)
                ) from error

        self._name = name
        self._outputs = len(read_graph(content, name=name).outputs)
        self._load = load
        self._interpreter = load()

    def run(self, sample: NDArray[Any]) -> NDArray[Any]:
        return self.run_all((sample,))[0]

    def run_all(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """All outputs for all inputs of one sample.

        Raises:
            ModelError: a kernel refuses these inputs.
        """
        for index, tensor in enumerate(inputs):
            self._interpreter.set_input(tensor, index)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(
                f"TFLM on the host cannot run the model: {error}", where=Where(model=self._name)
            ) from error
        return tuple(np.array(self._interpreter.get_output(at)) for at in range(self._outputs))

    def reset(self) -> None:
        # TFLM's own reset fills resource variables with zeros and does not run CALL_ONCE again.
        if self._has_variables():
            self._interpreter = self._load()
        else:
            self._interpreter.reset()

    def tensor(self, index: int) -> NDArray[Any]:
        """A tensor of the last run, by its index in the file; only with `keep_tensors`."""
        return np.array(self._interpreter.GetTensor(index, 0)["tensor_data"])


def _all_outputs_bytes(content: bytes, name: str) -> int:
    """Upper bound: no tensor has elements of more than 8 bytes; alignment of 16 B included."""
    outputs = read_graph(content, name=name).operators
    return sum(8 * math.prod(operator.shape) + 16 for operator in outputs)


class LiteRtInterpreter:
    """LiteRT, with its default delegates (XNNPACK) or without any.

    With `keep_tensors`, the tensors between layers can be read after a run, by `details`.

    Raises:
        ToolMissing: LiteRT is not installed.
        ModelError: LiteRT cannot load the model.
    """

    def __init__(
        self, content: bytes, *, name: str, default_delegates: bool, keep_tensors: bool = False
    ) -> None:
        try:
            from ai_edge_litert import interpreter as litert  # 0.1 s: only where it runs
        except ImportError as error:
            raise ToolMissing(
                LITERT_WHEEL, needed_for="LiteRT on the host", install=f"pip install {LITERT_WHEEL}"
            ) from error

        self._name = name
        kind = "AUTO" if default_delegates else "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
        self.source = (
            f"litert {litert_version()} {'xnnpack' if default_delegates else 'no delegates'}"
        )
        self._has_variables = cache(lambda: read_graph(content, name=name).variables > 0)

        def load() -> Any:
            loaded = litert.Interpreter(
                model_content=content,
                experimental_op_resolver_type=litert.OpResolverType[kind],
                experimental_preserve_all_tensors=keep_tensors,
            )
            loaded.allocate_tensors()
            return loaded

        self._load = load
        try:
            self._interpreter = load()
            self._inputs = [item["index"] for item in self._interpreter.get_input_details()]
            self._outputs = [item["index"] for item in self._interpreter.get_output_details()]
        except (ValueError, RuntimeError, IndexError) as error:
            raise ModelError(f"not a TFLite model: {error}", where=Where(model=name)) from error

    def run(self, sample: NDArray[Any]) -> NDArray[Any]:
        return self.run_all((sample,))[0]

    def run_all(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """The outputs for one sample.

        Raises:
            ModelError: a kernel refuses these inputs, as DIV does a divisor of 0.
        """
        for index, tensor in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, tensor)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(
                f"LiteRT cannot run the model: {error}", where=Where(model=self._name)
            ) from error
        return tuple(np.array(self._interpreter.get_tensor(index)) for index in self._outputs)

    def reset(self) -> None:
        # LiteRT's own reset does not touch resource variables.
        if self._has_variables():
            self._interpreter = self._load()
        else:
            self._interpreter.reset_all_variables()

    @property
    def takes(self) -> tuple[TensorSpec, ...]:
        """Specs of the inputs, as LiteRT has them."""
        return tuple(tensor_spec(item) for item in self._interpreter.get_input_details())

    @property
    def gives(self) -> tuple[TensorSpec, ...]:
        """Specs of the outputs, as LiteRT has them."""
        return tuple(tensor_spec(item) for item in self._interpreter.get_output_details())

    @property
    def details(self) -> Any:
        """The LiteRT interpreter itself, for inspection."""
        return self._interpreter


def tensor_spec(detail: dict[str, Any]) -> TensorSpec:
    """The spec of a tensor from LiteRT's details of it."""
    scale, zero_point = detail["quantization"]
    return TensorSpec(
        shape=tuple(int(size) for size in detail["shape"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale),
        zero_point=int(zero_point),
        name=detail["name"],
    )
