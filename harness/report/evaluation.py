"""What a terminal shows of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from harness.measure.evaluate import Confusion, Evaluation
from harness.measure.intervals import ConfidenceInterval
from harness.measure.tables import EvaluationRow
from harness.text import WIDTH, counted, figure_text, printable, shortened, table, wrapped
from harness.tolerance import EXACT

MOST_CLASSES = 12
"""A larger confusion matrix does not fit a terminal."""

MOST_PAIRS = 10
EXACT_TEXT = str(EXACT)
_NAME = 14
_OUTPUT = 60
_EXAMPLES = 5


def evaluation_lines(row: EvaluationRow, result: Evaluation) -> list[str]:
    """Lines of at most WIDTH characters: metric, confusion, disagreements, int8 against float.

    Args:
        row: that of the first output.
    """
    lines = [line for sentence in _sentences(row, result) for line in wrapped(sentence)]
    for output in result.outputs:
        confusion = _confusion_lines(output.confusion)
        if confusion and len(result.outputs) > 1:
            lines.append(f"output {shortened(printable(output.name), _OUTPUT)}")
        lines += confusion
    return lines


def _sentences(row: EvaluationRow, result: Evaluation) -> Iterator[str]:
    of = f" of {row.data_samples}" if row.samples != row.data_samples else ""
    yield (
        f"{row.board}, {row.runtime}, {row.model} {row.dtype}: {row.samples}{of} samples of "
        f"{row.data}"
    )
    if row.resumed_at:
        yield f"  resumed at sample {row.resumed_at}; none was counted twice"
    yield from _state_sentences(row)
    if row.recoveries:
        yield f"  brought back {counted(row.recoveries, 'time')} in mid-run"
    for output in result.outputs:
        of_output = "" if len(result.outputs) == 1 else f"{printable(output.name)}: "
        for name, interval in output.score.metrics:
            yield f"  {of_output}{name} {interval_text(name, interval)}"
    if not result.score.metrics:
        yield "  no answers in the data: outputs are compared only"
    yield from _detection_sentences(result)
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


def _state_sentences(row: EvaluationRow) -> Iterator[str]:
    """When the model's state was reset; nothing of a model without any."""
    if row.state == "sequence":
        yield (
            f"  state was reset at the start of each of {counted(row.sequences or 0, 'sequence')} "
            "and kept within"
        )
    elif row.state is not None:
        yield "  state was reset before each sample: the data say no sequences"


def _detection_sentences(result: Evaluation) -> Iterator[str]:
    found, host = result.detections, result.host_detections
    if found is None:
        return
    events = found.hits + found.misses
    text = f"  detections of {found.detector.of}: {found.hits} of {counted(events, 'event')} hit"
    if (recall := found.recall) is not None:
        text += f", {interval_text('accuracy', recall)}"
    yield text
    text = f"  {counted(found.false_accepts, 'false accept')} in {found.quiet_s:.4g} s"
    if (often := found.false_accepts_per_hour) is not None:
        low, high = figure_text(often.low or 0.0), figure_text(often.high or 0.0)
        text += f", {figure_text(often.value)} per hour (95 % interval {low} to {high})"
    if found.repeats:
        text += f"; {counted(found.repeats, 'further detection')} of events that were hit"
    yield text
    if host is not None and (host.hits, host.false_accepts) != (found.hits, found.false_accepts):
        yield (
            f"  by {result.reference}: {host.hits} hit, "
            f"{counted(host.false_accepts, 'false accept')}"
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
    if len(result.outputs) > 1:
        each = (f"{printable(item.name)} {len(item.disagreeing)}" for item in result.outputs)
        yield f"  samples that differ, by output: {', '.join(each)}"
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
