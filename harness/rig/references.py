"""The same data set on this machine: TFLM and the float model, run by a thread of their own."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.firmware import host
from harness.model.artifact import Artifact
from harness.model.dataset import DataSet
from harness.model.interpreters import Interpreter
from harness.model.samples import Layout
from harness.model.tensor import TensorSpec
from harness.model.wheels import tflm_version
from harness.rig.checks import run_batch
from harness.rig.journal import JournalTaken, open_journal
from harness.rig.walk import Walk

BLOCK_S = 1.0
"""About how long a block takes: what is lost of the work when a run is ended."""

FIRST_BLOCK, MOST_IN_BLOCK = 16, 8192
MOST_BLOCK_BYTES = 1 << 24

Read = Callable[[int, int], NDArray[Any]]
"""Inputs of a slice of the samples."""


class BlockSize:
    """How many samples to take at a time, so that a block takes about BLOCK_S."""

    def __init__(self, sample_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = max(1, min(MOST_IN_BLOCK, MOST_BLOCK_BYTES // max(1, sample_bytes)))
        self._clock = clock
        self.samples = min(FIRST_BLOCK, self._most)

    @contextmanager
    def adapted(self) -> Iterator[None]:
        """Adapts the size to how long the work of the block with this one takes."""
        start = self._clock()
        yield
        factor = BLOCK_S / max(self._clock() - start, 1e-6)
        self.samples = max(1, min(self._most, int(self.samples * min(4.0, factor))))

    def shrink(self) -> None:
        """After an error: a smaller block may come through."""
        self.samples = max(1, self.samples // 4)


class References:
    """TFLM and the float model over the samples of a walk; see `references_for`.

    Outputs are kept in `folder` by what they depend on, and computed once. `source` names TFLM and
    its version; None where there is no wheel for it.
    """

    def __init__(
        self, artifact: Artifact, data: DataSet, walk: Walk, folder: Path, float_path: Path | None
    ) -> None:
        self._artifact, self._data, self._walk, self._folder = artifact, data, walk, folder
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="reference")
        version = tflm_version()
        self.source = None if version is None else f"tflm {version}"
        self._host = None if version is None else self._pool.submit(self._run_host)
        self._float = None
        if float_path is not None:
            self._float = self._pool.submit(self._run_float, float_path)

    def stop(self) -> None:
        """End the thread after the block that it is at."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def raise_error(self) -> None:
        """Raise what the thread failed with, if it did."""
        for future in (self._host, self._float):
            if future is not None and future.done() and (error := future.exception()):
                raise error

    def outputs(self) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        """Samples (count, ...) of TFLM; (count, elements) of the float model. Waits for both."""
        host = None if self._host is None else self._host.result()
        return host, None if self._float is None else self._float.result()

    def _run_host(self) -> NDArray[Any]:
        artifact = self._artifact
        key = {"what": "host", "source": str(self.source), "model": artifact.sha256}

        def make() -> Interpreter:
            trusted = host.of_this_project(artifact)
            return host.tflm_for(trusted, artifact.content, name=artifact.name)

        gives = Layout(specs=artifact.outputs)
        return self._cached(key, make, self._data.inputs, self._data.layout, gives)

    def _run_float(self, path: Path) -> NDArray[Any]:
        content = path.read_bytes()
        own = path == self._artifact.float_path and host.of_this_project(self._artifact)
        interpreter = host.litert_for(own, content, name=path.stem)
        taken, given = interpreter.takes[0], interpreter.gives[0]
        _refuse_unlike(self._artifact, path, taken, given)
        digest = hashlib.sha256(content).hexdigest()
        key = {"what": "float", "source": interpreter.source, "model": digest}
        takes, gives = Layout(specs=(taken,)), Layout(specs=(given,))
        outputs = self._cached(key, lambda: interpreter, self._data.reals, takes, gives)
        return outputs.reshape(len(outputs), -1)

    def _cached(
        self,
        key: Mapping[str, str],
        make: Callable[[], Interpreter],
        read: Read,
        takes: Layout,
        gives: Layout,
    ) -> NDArray[Any]:
        """Outputs of an interpreter, with those that an earlier run kept.

        Where another process is computing the same, they are computed here too, and not kept.
        """
        whole = {**key, **data_key(self._data, self._walk)}
        try:
            with open_journal(self._folder, whole, gives.size_bytes) as journal:
                journal.back_to(self._walk.resumable)
                for block in self._blocks(journal.done, make, read, takes, gives):
                    journal.append(gives.to_bytes(block))
                return gives.from_bytes(journal.outputs)[: self._walk.count]
        except JournalTaken:
            return np.concatenate(list(self._blocks(0, make, read, takes, gives)))

    def _blocks(
        self,
        done: int,
        make: Callable[[], Interpreter],
        read: Read,
        takes: Layout,
        gives: Layout,
    ) -> Iterator[NDArray[Any]]:
        if done >= self._walk.count:
            return
        interpreter, size = make(), BlockSize(takes.size_bytes)
        while done < self._walk.count and not self._stop.is_set():
            stop = self._walk.block(done, size.samples)
            with size.adapted():
                outputs = [
                    run_batch(
                        interpreter, read(*part), takes, gives, keep_state=self._walk.kept
                    ).outputs
                    for part in self._walk.parts(done, stop)
                ]
            done = stop
            yield np.concatenate(outputs)


def data_key(data: DataSet, walk: Walk) -> Mapping[str, str]:
    """What outputs depend on of a data set and the way through it."""
    return {"data": data.digest, "inputs": data.meaning, "state": str(walk.state)}


def _refuse_unlike(artifact: Artifact, path: Path, taken: TensorSpec, given: TensorSpec) -> None:
    wanted = artifact.inputs[0].elements, artifact.outputs[0].elements
    floats = {taken.dtype, given.dtype} == {"float32"}
    if not floats or (taken.elements, given.elements) != wanted:
        raise TensorError(
            f"{path.name} is no float model of {artifact.name}: it takes {taken.dtype} of shape "
            f"{taken.shape} and gives {given.dtype} of shape {given.shape}"
        )


@contextmanager
def references_for(
    artifact: Artifact, data: DataSet, walk: Walk, *, folder: Path, float_model: Path | None
) -> Iterator[References]:
    """Start the references of a data set; the block's end stops what still runs.

    Args:
        folder: where outputs are kept.
        float_model: a .tflite file instead of the artifact's own float model, if it has one.

    Raises:
        TensorError: there is no such file.
    """
    if float_model is not None and not float_model.is_file():
        raise TensorError(f"there is no float model {float_model}")
    own = artifact.float_path
    path = float_model or (own if own is not None and own.is_file() else None)
    if len(artifact.inputs) > 1:
        path = None
    references = References(artifact, data, walk, folder, path)
    try:
        yield references
    finally:
        references.stop()
