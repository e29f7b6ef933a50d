"""What a terminal shows of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from harness.measure.evaluate import Confusion, Evaluation
from harness.measure.intervals import ConfidenceInterval
from harness.measure.tables import EvaluationRow
from harness.text import WIDTH, counted, shortened, table, wrapped
from harness.tolerance import EXACT

MOST_CLASSES = 12
"""A larger confusion matrix does not fit a terminal."""

MOST_PAIRS = 10
EXACT_TEXT = str(EXACT)
_NAME = 14
_EXAMPLES = 5


def evaluation_lines(row: EvaluationRow, result: Evaluation) -> list[str]:
    """Lines of at most WIDTH characters: metric, confusion, disagreements, int8 against float."""
    lines = [line for sentence in _sentences(row, result) for line in wrapped(sentence)]
    return [*lines, *_confusion_lines(result.confusion)]


def _sentences(row: EvaluationRow, result: Evaluation) -> Iterator[str]:
    of = f" of {row.data_samples}" if row.samples != row.data_samples else ""
    yield (
        f"{row.board}, {row.runtime}, {row.model} {row.dtype}: {row.samples}{of} samples of "
        f"{row.data}"
    )
    if row.resumed_at:
        yield f"  resumed at sample {row.resumed_at}; none was counted twice"
    if row.recoveries:
        yield f"  brought back {counted(row.recoveries, 'time')} in mid-run"
    for name, interval in result.score.metrics:
        yield f"  {name} {interval_text(name, interval)}"
    if not result.score.metrics:
        yield "  no answers in the data: outputs are compared only"
    yield from _host_sentences(row, result)
    yield from _float_sentences(result)
    yield f"  took {row.seconds:.1f} s"


def interval_text(name: str, interval: ConfidenceInterval) -> str:
    """`90.41 % (95 % interval 89.82 to 90.97 %, n 10000)`."""
    percent = name == "accuracy"

    def text(value: float) -> str:
        return f"{value * 100:.2f}" if percent else f"{value:.4g}"

    unit = " %" if percent else ""
    if interval.low is None or interval.high is None:
        return f"{text(interval.value)}{unit} (n {interval.n})"
    return (
        f"{text(interval.value)}{unit} (95 % interval {text(interval.low)} to "
        f"{text(interval.high)}{unit}, n {interval.n})"
    )


def _host_sentences(row: EvaluationRow, result: Evaluation) -> Iterator[str]:
    if result.reference is None:
        if row.board != "host":
            yield "  not compared: there is no tflite-micro wheel on this machine"
        return
    if result.agrees:
        within = f" within {result.tolerance}" if result.tolerance != EXACT_TEXT else ""
        yield f"  all {row.samples} outputs equal those of {result.reference}{within}"
        return
    yield (
        f"  {len(result.disagreeing)} of {row.samples} outputs differ from {result.reference}, by "
        f"up to {result.max_abs_lsb:g} LSB (allowed: {result.tolerance}); {result.other_class} get "
        f"another class"
    )
    yield f"  first: {_examples(result.disagreeing.tolist())}"
    if row.saved:
        yield f"  saved, ready for --data: {row.saved}"


def _float_sentences(result: Evaluation) -> Iterator[str]:
    against = result.against_float
    if against is None:
        return
    for name, interval in against.score.metrics:
        yield f"  float model: {name} {interval_text(name, interval)}"
    if result.score.accuracy is not None:
        yield (
            f"  quantization changes the class of {len(against.changed)} samples: "
            f"{len(against.lost)} right ones are lost, {len(against.gained)} gained"
        )
    elif result.score.mae is not None:
        yield (
            f"  against float, the error of {len(against.lost)} samples grows by more than one "
            f"step of the output, that of {len(against.gained)} shrinks"
        )
    elif len(against.changed):
        yield f"  quantization changes the class of {len(against.changed)} samples"
    if len(against.lost):
        yield f"  lost: {_examples(against.lost.tolist())}"


def _examples(indices: list[int]) -> str:
    more = len(indices) - _EXAMPLES
    shown = ", ".join(map(str, indices[:_EXAMPLES]))
    return f"samples {shown} and {more} more" if more > 0 else f"samples {shown}"


def _confusion_lines(confusion: Confusion | None) -> list[str]:
    if confusion is None:
        return []
    if len(confusion.names) <= MOST_CLASSES and (lines := _matrix(confusion)):
        return lines
    return _pairs(confusion)


def _matrix(confusion: Confusion) -> list[str]:
    """The matrix, classes numbered in its heading; none where it would be too wide."""
    headings = ("true class", *(str(number) for number in range(len(confusion.names))))
    rows = [
        (f"{number} {shortened(name, _NAME)}", *(str(count) if count else "." for count in counts))
        for number, (name, counts) in enumerate(
            zip(confusion.names, confusion.counts.tolist(), strict=True)
        )
    ]
    lines = table(headings, rows).split("\n")
    return lines if all(len(line) <= WIDTH for line in lines) else []


def _pairs(confusion: Confusion) -> list[str]:
    worst = confusion.worst(MOST_PAIRS)
    if not worst:
        return ["no class is mistaken for another"]
    rows = [
        (shortened(true, 2 * _NAME), shortened(said, 2 * _NAME), str(count))
        for true, said, count in worst
    ]
    return table(("true class", "taken for", "samples"), rows).split("\n")
