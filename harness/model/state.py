"""Which operators keep state from one invoke to the next."""

from __future__ import annotations

from collections.abc import Iterable

STATEFUL = frozenset(
    (
        "VAR_HANDLE",
        "READ_VARIABLE",
        "ASSIGN_VARIABLE",
        "CALL_ONCE",
        "RNN",
        "LSTM",
        "SVDF",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "BIDIRECTIONAL_SEQUENCE_RNN",
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "CIRCULAR_BUFFER",
        "SignalDelay",
        "SignalFilterBankSpectralSubtraction",
        "SignalFramer",
        "SignalOverlapAdd",
        "SignalStacker",
    )
)
"""TFLite's names; of custom operators those that TFLM registers with a `reset` function."""


def stateful_operators(kinds: Iterable[str]) -> tuple[str, ...]:
    """Those of `kinds` that keep state, sorted, each once."""
    return tuple(sorted(STATEFUL.intersection(kinds)))
