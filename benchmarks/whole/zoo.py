"""What each runtime makes of every model of the zoo, measured, and the page that says so.

python -m benchmarks.whole.zoo [--tflm DIR] [--runtime ID ...] [NAME ...]

runs the models of tests/zoo/ on `virtual`, and with `aot` and `tflm` on an emulated Cortex-M4, each
compared with TFLite Micro on the host, and writes tests/zoo/outcomes.json and docs/zoo.md. Without
a TFLM library (--tflm or HIL_TFLM) its column stays as it is. With --page only the page is written.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import RigOptions, load_registry, open_board
from harness.errors import HilError, ModelError
from harness.firmware.verdict import Ability, verdict, verdicts_of
from harness.measure.compare import Comparison, Verdict
from harness.model.resolve import inspect_model
from harness.project import find_project
from harness.tolerance import Stated, parse_tolerance

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "tests/zoo"
INDEX, OUTCOMES, PAGE = ZOO / "index.json", ZOO / "outcomes.json", ROOT / "docs/zoo.md"
RUNTIMES = ("virtual", "aot", "tflm")
EQUAL, WITHIN, REFUSED, UNKNOWN = "bit-equal", "within ", "refused: ", "not run"
UPDATE = "python -m benchmarks.whole.zoo"

ROUND_OTHERWISE = {("div-int8", "tflm"): "1lsb"}
"""Tolerances for kernels that round otherwise on the board than in the wheel, by model and runtime.

The board's DIV is LiteRT's to the bit; the wheel's is 1 LSB off in 19 of 256 samples."""

Outcomes = dict[str, dict[str, str]]
"""By model and runtime: one of EQUAL, WITHIN and its tolerance, REFUSED and the reason, UNKNOWN."""


def files() -> dict[str, Path]:
    """The zoo's files by name."""
    return {path.stem: path for path in sorted(ZOO.rglob("*.tflite"))}


def refusal(path: Path, runtime: str) -> str:
    """Why a runtime does not run a file, as the table has it; empty if it does."""
    try:
        found = {item.runtime: item for item in verdicts_of(path)}[runtime]
    except ModelError as error:
        return REFUSED + without_name(error.what, path)
    return refused_by(found.ability, found.reason)


def refused_by(ability: Ability, reason: str) -> str:
    """The reason as the table has it; empty if the runtime runs the model."""
    return f"{REFUSED}{reason}" if ability is Ability.CANNOT else ""


def without_name(text: str, path: Path) -> str:
    """A sentence about a file that does not name its folder."""
    return text.replace(str(path), "the file")


def aot_refusal(path: Path) -> str:
    """As `refusal`, of a file that TFLM runs, without asking TFLM again."""
    found = verdict(inspect_model(path), "aot", answer=None)
    return refused_by(found.ability, found.reason)


def outcome_of(result: Comparison) -> str:
    """A board's comparison with the golden, as the table has it."""
    if result.verdict is not Verdict.PASS:
        return f"wrong: {result.mismatches} of {result.samples} differ"
    return f"{WITHIN}{result.tolerance}" if result.within else EQUAL


def measure(path: Path, runtime: str, tflm: Path | None) -> str:
    """Run a file on a board, or say why that cannot be."""
    refused = refusal(path, runtime)
    if refused:
        return refused
    board = load_registry()["virtual" if runtime == "virtual" else "qemu-m4"]
    stated = parse_tolerance(ROUND_OTHERWISE.get((path.stem, runtime), ""))
    options = RigOptions(
        runtime=None if runtime == "virtual" else runtime,
        tflm=tflm,
        tolerance=Stated(items=stated, by="the zoo"),
    )
    try:
        with open_board(board, inspect_model(path), find_project(), options) as opened:
            return outcome_of(opened.comparison())
    except ModelError as error:
        # A kernel's check names its source file.
        return REFUSED + (error.what.replace(f"{tflm}/", "") if tflm else error.what)
    except HilError as error:
        return f"{type(error).__name__}: {error.what}"


def read(path: Path) -> Any:
    """A JSON file of the zoo; empty if there is none."""
    return json.loads(path.read_text()) if path.is_file() else {}


def render(index: Mapping[str, Any], outcomes: Outcomes) -> str:
    """The page: outcomes by model, and by operator."""
    rows = [_row(name, index.get(name, {}).get("what", _CASE), outcomes[name]) for name in outcomes]
    return _PAGE.format(
        models=len(outcomes),
        counts="\n".join(_counts(outcomes)),
        rows="\n".join(rows),
        operators="\n".join(_operators(index, outcomes)),
        update=UPDATE,
    )


_CASE = "one of the files that failed once"

_PAGE = """\
# The zoo: what runs, and how exactly

{models} small models in `tests/zoo/`: each operator that TFLite Micro has and that TensorFlow's
converter or a builder of ours makes, each type, each shape of model. `python -m models.zoo` makes
them. Each was run over random inputs and compared with TFLite Micro on the host: on `virtual`, and
with both runtimes on the emulated Cortex-M4, `qemu-m4`.

- *bit-equal*: all outputs of all samples are the same bits.
- *within*: floats that differ by no more than the tolerance named.
- *refused*: nothing is built, and this is what is said.
- *not run*: no outcome has been recorded.

The `tflm` column holds for a current source tree of TFLite Micro with CMSIS-NN, `--tflm DIR`, not
for the library that is pinned.

Tests hold the page to `tests/zoo/outcomes.json`, and hold every refusal, and all parts that `aot`
builds, to TFLite Micro on the host; a few models are built and run. After a change measure all
again, which writes both: `{update} --tflm DIR`.

{counts}

## By operator

What the models that have the operator come to: the least exact outcome of those that run, or
*refused* if none does.

| operator | aot | tflm |
|---|---|---|
{operators}

## By model

| model | what | virtual | aot | tflm |
|---|---|---|---|---|
{rows}
"""


def _row(name: str, what: str, outcomes: Mapping[str, str]) -> str:
    cells = (f"`{name}`", what, *(outcomes.get(runtime, UNKNOWN) for runtime in RUNTIMES))
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _counts(outcomes: Outcomes) -> Iterable[str]:
    yield "| runtime | bit-equal | within its bound | refused | not run |\n|---|---|---|---|---|"
    for runtime in RUNTIMES:
        of_it = [found.get(runtime, UNKNOWN) for found in outcomes.values()]
        kinds = [sum(text.startswith(kind) for text in of_it) for kind in _KINDS]
        yield f"| {runtime} | {' | '.join(map(str, kinds))} |"


_KINDS = (EQUAL, WITHIN, REFUSED, UNKNOWN)


def _operators(index: Mapping[str, Any], outcomes: Outcomes) -> Iterable[str]:
    kinds = sorted({kind for entry in index.values() for kind in entry["operators"]})
    for kind in kinds:
        models = [name for name, entry in index.items() if kind in entry["operators"]]
        cells = [_least([outcomes[name][runtime] for name in models]) for runtime in RUNTIMES[1:]]
        yield f"| {kind} | {' | '.join(map(_cell, cells))} |"


def _least(found: Sequence[str]) -> str:
    """Of the models that run the least exact; else that none was run, or that all are refused."""
    ran = [text for text in found if not text.startswith((REFUSED, UNKNOWN))]
    if ran:
        return max(ran, key=lambda text: text != EQUAL)
    return UNKNOWN if UNKNOWN in found else "refused"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write outcomes and page."""
    parser = argparse.ArgumentParser(prog=UPDATE, description=__doc__)
    parser.add_argument("--tflm", type=Path, default=os.environ.get("HIL_TFLM"), metavar="DIR")
    parser.add_argument("--runtime", action="append", choices=RUNTIMES)
    parser.add_argument("--page", action="store_true", help="measure nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; default: all")
    options = parser.parse_args(arguments)
    outcomes: Outcomes = {
        name: {runtime: read(OUTCOMES).get(name, {}).get(runtime, UNKNOWN) for runtime in RUNTIMES}
        for name in files()
    }
    if not options.page:
        _measure_all(outcomes, options)
    OUTCOMES.write_text(json.dumps(outcomes, indent=1) + "\n")
    PAGE.write_text(render(read(INDEX), outcomes))
    return 0


def _measure_all(outcomes: Outcomes, options: argparse.Namespace) -> None:
    paths = files()
    for name in options.names or paths:
        for runtime in options.runtime or RUNTIMES:
            tflm = Path(options.tflm).resolve() if options.tflm else None
            if runtime == "tflm" and tflm is None:
                found = refusal(paths[name], runtime) or outcomes[name][runtime]
            else:
                found = measure(paths[name], runtime, tflm)
            outcomes[name][runtime] = found
            print(f"{name} {runtime}: {found}", flush=True)
            OUTCOMES.write_text(json.dumps(outcomes, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
