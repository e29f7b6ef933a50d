"""Hiding TensorFlow's output unless something fails."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what the process writes to its stdout and stderr; show it if the block raises.

    Works on file descriptors, since the converter and the C++ logging bypass Python's streams.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [(number, os.dup(number)) for number in (1, 2)]
    with tempfile.TemporaryFile() as held:
        try:
            for number, _ in saved:
                os.dup2(held.fileno(), number)
            try:
                yield
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                for number, original in saved:
                    os.dup2(original, number)
                    os.close(original)
        except BaseException:
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Make imports of packages not loaded yet fail inside the block, as if not installed."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # Documented: a None entry raises ModuleNotFoundError.
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def import_tensorflow() -> Any:
    """TensorFlow, imported without its log lines, and Keras without pandas and matplotlib.

    Keras uses both only for data frames and pictures, and they are a quarter of its import time.
    oneDNN is off: it reorders sums depending on the processor, and small networks gain nothing.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with quiet(), warnings.catch_warnings(), _absent("matplotlib", "pandas"):
        warnings.simplefilter("ignore")
        import tensorflow

        tensorflow.keras.Sequential  # noqa: B018  # Keras is loaded on first use.
        tensorflow.config.list_logical_devices()  # Looks for a GPU, and says when there is none.
    return tensorflow
