"""TFLM and LiteRT on the host, for files that nobody has checked: see `served`, the other end.

A hostile file may make an interpreter crash, hang, or take all the memory there is. So each model
is run in a process of its own, with limits on all of that; if it ends there, the model is at fault,
and that is a ModelError.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from harness.errors import ModelError, ToolMissing, Where
from harness.firmware.frame import LITERT, TFLM, Header
from harness.firmware.requests import Arrays, described, unpacked
from harness.firmware.server import MORE_S, MOST_S, SERVERS, Ended, Ending
from harness.model.artifact import Artifact
from harness.model.interpreters import Interpreter, LiteRtInterpreter, TflmInterpreter
from harness.model.samples import Layout
from harness.model.tensor import TensorSpec
from harness.model.wheels import LITERT_WHEEL, TFLM_INSTALL, litert_version, tflm_version
from harness.project import find_project

MOST_IN_BLOCK, BLOCK_BYTES = 4096, 1 << 24
"""Samples, and bytes of samples, that are handed over at once."""

_NAMES = {TFLM: "TFLite Micro", LITERT: "LiteRT"}


class HostInterpreter:
    """A model in an interpreter of the host, in a process of its own; see `Interpreter`.

    `takes` and `gives` are the specs of inputs and outputs as LiteRT has them; () for TFLM.

    Args:
        kind: TFLM or LITERT.
        options: `arena_bytes` of TFLM, `default_delegates` of LiteRT, `keep_tensors` of both, as
            `TflmInterpreter` and `LiteRtInterpreter` have them.
        most_s: for loading it, and for each invoke.

    Raises:
        ToolMissing: the wheel is not installed.
        ModelError: the interpreter does not load the model, crashed on it, or took too long.
    """

    def __init__(
        self, kind: str, content: bytes, *, name: str, most_s: float = MOST_S, **options: Any
    ) -> None:
        _need_wheel(kind)
        self._kind, self._name, self._most_s = kind, name, most_s
        self._failed: ModelError | None = None
        self._server = SERVERS[kind].take()
        self._gone = weakref.finalize(self, self._server.close)
        header = {"what": "load", "name": name, "most_s": most_s, **options}
        try:
            answer, _ = self._asked(header, content)
            self.source = str(answer["source"])
            self.takes = tuple(_spec(item) for item in answer["takes"])
            self.gives = tuple(_spec(item) for item in answer["gives"])
        except BaseException:
            self.close()
            raise

    def run(self, sample: NDArray[Any]) -> NDArray[Any]:
        return self.run_all((sample,))[0]

    def run_all(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """All outputs for all inputs of one sample.

        Raises:
            ModelError: a kernel refuses these inputs, crashes or does not end on them.
        """
        return next(self._run_block([inputs], "never"))[0]

    def run_samples(
        self, samples: Sequence[Arrays], *, keep_state: bool = False
    ) -> Iterator[tuple[tuple[NDArray[Any], ...], float]]:
        """All outputs for each sample, and the seconds that its invoke took.

        Args:
            samples: all inputs of each, of the same types and shapes.
            keep_state: what the model keeps is reset at the start, not before every sample.

        Raises:
            ModelError: as `run_all`.
        """
        size = sum(array.nbytes for array in samples[0]) if len(samples) else 0
        block = max(1, min(MOST_IN_BLOCK, BLOCK_BYTES // max(1, size)))
        for begin in range(0, len(samples), block):
            again = "never" if begin else "first"
            part = samples[begin : begin + block]
            yield from self._run_block(part, again if keep_state else "each")

    def reset(self) -> None:
        self._asked({"what": "reset"})

    def tensor(self, index: int) -> NDArray[Any]:
        """A tensor of the last run, by its index in the file; only with `keep_tensors`."""
        answer, data = self._asked({"what": "tensor", "index": index})
        with self._translated():
            return unpacked(data, answer["arrays"], 1)[0][0]

    def close(self) -> None:
        """End the model's process. Idempotent."""
        if self._gone.detach() is None:
            return
        if self._failed is None:
            SERVERS[self._kind].give_back(self._server)
        else:
            self._server.close()

    def _run_block(
        self, samples: Sequence[Arrays], reset: str
    ) -> Iterator[tuple[tuple[NDArray[Any], ...], float]]:
        with self._translated():
            header = {
                "what": "run",
                "arrays": described(samples[0]),
                "count": len(samples),
                "reset": reset,
            }
            payload = b"".join(array.tobytes() for sample in samples for array in sample)
            self._server.send(header, payload, most_s=self._patience_s)
        left = len(samples)
        while left > 0:
            answer, data = self._answer()
            with self._translated():
                arrays = unpacked(data, answer["arrays"], answer["count"])
                made = list(zip(map(tuple, arrays), map(float, answer["seconds"]), strict=True))
            left -= len(made)
            try:
                yield from made
            except GeneratorExit:
                if left > 0:
                    self._give_up("was interrupted")
                raise

    @property
    def _patience_s(self) -> float:
        return self._most_s + MORE_S

    def _asked(self, header: Header, payload: bytes = b"") -> tuple[Header, bytes]:
        with self._translated():
            self._server.send(header, payload, most_s=self._patience_s)
        return self._answer()

    def _answer(self) -> tuple[Header, bytes]:
        with self._translated():
            answer, data = self._server.receive(most_s=self._patience_s)
        if "error" in answer:
            raise ModelError(str(answer["error"]), where=Where(model=self._name))
        return answer, data

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._failed is not None:
            raise self._failed
        try:
            yield
        except Ended as ended:
            self._failed = crash_of(self._kind, ended.ending, self._name, self._most_s)
            raise self._failed from None
        except (ValueError, TypeError, KeyError) as error:
            self._give_up(f"gave an answer that is none: {error}")
            raise self._failed from error  # type: ignore[misc]
        except BaseException:
            self._give_up("was interrupted")
            raise

    def _give_up(self, why: str) -> None:
        """End the process, since a part of its answers was not read."""
        self._failed = ModelError(
            f"{_NAMES[self._kind]} on the host {why}", where=Where(model=self._name)
        )
        self._server.close()


def crash_of(kind: str, ending: Ending, name: str, most_s: float) -> ModelError:
    """The error for a model on which an interpreter came to its end."""
    how = ended_how(ending, most_s) or "ended"
    return ModelError(
        f"this model cannot run: {_NAMES[kind]} on the host {how} on this model",
        where=Where(model=name),
        hint="The file is damaged or hostile, or too large. Convert the model again.",
    )


def ended_how(ending: Ending, most_s: float) -> str:
    """How a process ended, in a few words; empty where it did so in order."""
    if ending.hung:
        return f"did not end within {most_s:g} s"
    if ending.signal is not None:
        return f"crashed ({ending.signal.name})"
    return ""


def _spec(table: Header) -> TensorSpec:
    return TensorSpec(**{**table, "shape": tuple(table["shape"])})


def _need_wheel(kind: str) -> None:
    if kind == TFLM and tflm_version() is None:
        raise ToolMissing(
            "the tflite-micro wheel", needed_for="running TFLM on the host", install=TFLM_INSTALL
        )
    if kind == LITERT and litert_version() is None:
        raise ToolMissing(
            LITERT_WHEEL, needed_for="LiteRT on the host", install=f"pip install {LITERT_WHEEL}"
        )


def tflm(content: bytes, *, name: str, **options: Any) -> HostInterpreter:
    """TFLite Micro: see `HostInterpreter`."""
    return HostInterpreter(TFLM, content, name=name, **options)


def litert(content: bytes, *, name: str, **options: Any) -> HostInterpreter:
    """LiteRT: see `HostInterpreter`."""
    return HostInterpreter(LITERT, content, name=name, **options)


def of_this_project(artifact: Artifact) -> bool:
    """Whether it is a recipe's model with its manifest, which TFLM ran when it was made here."""
    folder = find_project().artifacts.resolve()
    return artifact.goldens is not None and folder in artifact.path.resolve().parents


def tflm_for(trusted: bool, content: bytes, *, name: str) -> HostInterpreter | TflmInterpreter:
    """TFLM in this process for a model that is trusted; else in one of its own.

    Loading the wheel a second time, in another process, takes 0.2 s.
    """
    return TflmInterpreter(content, name=name) if trusted else tflm(content, name=name)


def litert_for(
    trusted: bool, content: bytes, *, name: str, default_delegates: bool = False
) -> HostInterpreter | LiteRtInterpreter:
    """LiteRT, as `tflm_for`."""
    make = LiteRtInterpreter if trusted else litert
    return make(content, name=name, default_delegates=default_delegates)


def rehearse(artifact: Artifact) -> None:
    """Run a model's first golden in LiteRT, in a process of its own.

    Raises:
        ModelError: LiteRT refuses the model, crashed on it, or took too long.
    """
    if artifact.goldens is None:
        return
    interpreter = litert(artifact.content, name=artifact.name, keep_tensors=True)
    try:
        layout = Layout(specs=artifact.inputs)
        interpreter.run_all(layout.tensors(artifact.goldens.inputs[:1], 0))
    finally:
        interpreter.close()


class HostInterpreters:
    """The host interpreters of one model, each begun when it is first used, until `close`."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self._stack = ExitStack()

    def close(self) -> None:
        """End their processes. Idempotent."""
        self._stack.close()
        for name in ("golden", "float32", "litert", "xnnpack"):
            self.__dict__.pop(name, None)

    @cached_property
    def golden(self) -> Interpreter | None:
        """TFLM; None without the wheel: then stored goldens are the reference."""
        if tflm_version() is None:
            return None
        return self._kept(tflm_for(self._trusted, self.artifact.content, name=self.artifact.name))

    @cached_property
    def float32(self) -> Interpreter | None:
        """LiteRT on the model's float32 file; None if there is no such file."""
        path = self.artifact.float_path
        if path is None or not path.is_file():
            return None
        return self._kept(litert_for(self._trusted, path.read_bytes(), name=path.stem))

    @cached_property
    def litert(self) -> Interpreter:
        """LiteRT without delegates: a second reference."""
        return self._litert(default_delegates=False)

    @cached_property
    def xnnpack(self) -> Interpreter:
        """LiteRT with XNNPACK, as on a phone."""
        return self._litert(default_delegates=True)

    def _litert(self, *, default_delegates: bool) -> Interpreter:
        content, name = self.artifact.content, self.artifact.name
        made = litert_for(self._trusted, content, name=name, default_delegates=default_delegates)
        return self._kept(made)

    @property
    def _trusted(self) -> bool:
        return of_this_project(self.artifact)

    def _kept(self, made: HostInterpreter | TflmInterpreter | LiteRtInterpreter) -> Interpreter:
        if isinstance(made, HostInterpreter):
            self._stack.callback(made.close)
        return made
