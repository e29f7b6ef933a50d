"""A comparison as the two files that GitLab shows beside a merge request.

The code quality report has a finding for everything that is slower, wrong or larger than before; of
its fields GitLab asks for description, check name, fingerprint, severity and location
(docs.gitlab.com, Code Quality, "Code Quality report format"). The metrics report has the figures of
B as OpenMetrics text; GitLab itself compares them with those of the target branch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.measure.footprint import QUANTITIES, FootprintRow
from harness.measure.gate import LatencyVerdict
from harness.measure.operator_gate import ProfileVersus
from harness.measure.runs import Run, Subject
from harness.measure.versus import INSTRUCTIONS, VersusRow
from harness.report.comparison import Compared, subject_text
from harness.text import printable

QUALITY_FILE, METRICS_FILE = "gl-code-quality-report.json", "metrics.txt"
"""GitLab's own names for them."""
_PLACE = ".gitlab-ci.yml"
"""GitLab wants a file of the repository. A figure is of no line of the sources, and every
repository that shows such a report has this file."""
_PREFIX = "hil/"
_MOST_READ = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One entry of the code quality report: `check` is what is wrong with `subject`."""

    check: str
    severity: str
    subject: str
    description: str

    @property
    def fingerprint(self) -> str:
        """The same in every run: figures are no part of it."""
        return hashlib.sha256(f"{self.check}\0{self.subject}".encode()).hexdigest()


def findings_of(found: Compared) -> Iterator[Finding]:
    """What is to be said of a comparison."""
    newest = {run.subject: run for run in found.b.runs}
    for run in newest.values():
        if run.row.verdict not in ("pass", None):
            subject = _subject_of(run.subject)
            said = f"{subject}: outputs are wrong, {run.row.mismatches} of {run.row.samples} inputs"
            yield Finding(check="outputs", severity="critical", subject=subject, description=said)
    for time in found.times:
        if time.verdict == LatencyVerdict.SLOWER.value:
            subject = subject_text(time)
            said = f"{subject}: slower, {time.reason}"
            yield Finding(check="time", severity="major", subject=subject, description=said)
    yield from _slower_operators(found.operators or ())
    for row in found.sizes or ():
        for size in row.larger:
            subject = f"{subject_text(row)}, {size.quantity}"
            said = "; ".join(filter(None, (f"{subject}: {size} bytes", size.why)))
            yield Finding(check="bytes", severity="minor", subject=subject, description=said)


def _slower_operators(found: Iterable[ProfileVersus]) -> Iterator[Finding]:
    for item in found:
        for change in item.changes:
            if change.verdict != LatencyVerdict.SLOWER.value:
                continue
            # Without its index, which another operator before it changes.
            named = f"{item.model}_{item.dtype}, {change.operator} {change.name}"
            subject = f"{item.board}, {item.runtime}, {named}"
            said = f"{subject}: slower, {change.rule}"
            yield Finding(check="operator", severity="minor", subject=subject, description=said)


def quality_text(findings: Iterable[Finding]) -> str:
    """The code quality report."""
    entries = [
        {
            "description": printable(finding.description, 1000),
            "check_name": f"{_PREFIX}{finding.check}",
            "fingerprint": finding.fingerprint,
            "severity": finding.severity,
            "location": {"path": _PLACE, "lines": {"begin": 1}},
        }
        for finding in findings
    ]
    return json.dumps(entries, indent=1) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric: its name ends with its unit, where it has one; values by subject."""

    name: str
    unit: str
    help: str
    values: tuple[tuple[Subject, float], ...]


def metrics_text(found: Compared) -> str:
    """The metrics report of B: OpenMetrics 1.0, a gauge for each figure."""
    times, sizes = found.times, found.sizes or ()
    families = (
        _family("hil_instructions", "", "guest instructions of an invoke", _counts(times)),
        _family("hil_latency_seconds", "seconds", "an invoke, by the board's clock", _times(times)),
        *(
            _family(f"hil_{quantity.lower()}_bytes", "bytes", quantity, _sizes(sizes, number))
            for number, quantity in enumerate(QUANTITIES)
        ),
        _family("hil_wrong_outputs", "", "inputs with a wrong output", _mismatches(found.b.runs)),
    )
    return "".join(f"{line}\n" for line in [*_metric_lines(families), "# EOF"])


def _family(name: str, unit: str, text: str, values: Iterable[tuple[Subject, float]]) -> Family:
    return Family(name=name, unit=unit, help=text, values=tuple(values))


def _metric_lines(families: Iterable[Family]) -> Iterator[str]:
    for family in families:
        if not family.values:
            continue
        yield f"# TYPE {family.name} gauge"
        if family.unit:
            yield f"# UNIT {family.name} {family.unit}"
        yield f"# HELP {family.name} {family.help}"
        for subject, value in family.values:
            yield f"{family.name}{{{_labels(subject)}}} {value:.9g}"


def _labels(subject: Subject) -> str:
    named = zip(("board", "runtime", "model", "dtype"), subject, strict=True)
    return ",".join(f'{name}="{_quoted(value)}"' for name, value in named)


def _quoted(text: str) -> str:
    return printable(text).replace("\\", r"\\").replace('"', r"\"")


def _of(row: VersusRow | FootprintRow) -> Subject:
    return row.board, row.runtime, row.model, row.dtype


def _counts(rows: Iterable[VersusRow]) -> Iterator[tuple[Subject, float]]:
    return ((_of(row), row.b) for row in rows if row.b is not None and row.unit == INSTRUCTIONS)


def _times(rows: Iterable[VersusRow]) -> Iterator[tuple[Subject, float]]:
    others = (row for row in rows if row.unit != INSTRUCTIONS)
    return ((_of(row), row.b / 1e6) for row in others if row.b is not None)


def _sizes(rows: Iterable[FootprintRow], number: int) -> Iterator[tuple[Subject, float]]:
    for row in rows:
        if (size := row.sizes[number].b) is not None:
            yield _of(row), size


def _mismatches(runs: Iterable[Run]) -> Iterator[tuple[Subject, float]]:
    newest = {run.subject: run.row.mismatches for run in runs}
    return ((name, count) for name, count in sorted(newest.items()) if count is not None)


def _subject_of(subject: Subject) -> str:
    board, runtime, model, dtype = subject
    return f"{board}, {runtime}, {model}_{dtype}"


def is_quality_report(path: Path) -> bool:
    """Whether a file is such a report of the harness, or holds nothing."""
    try:
        with path.open("rb") as file:
            entries = json.loads(file.read(_MOST_READ) or b"[]")
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(entries, list) and all(map(_is_ours, entries))


def _is_ours(entry: object) -> bool:
    return isinstance(entry, dict) and str(entry.get("check_name")).startswith(_PREFIX)


def is_metrics_report(path: Path) -> bool:
    """The same of a metrics report."""
    try:
        with path.open("rb") as file:
            begin = file.read(64)
    except OSError:
        return False
    return not begin or begin.startswith((b"# TYPE hil_", b"# EOF"))
