"""How far estimates of cycles are off what others measured and published.

Each network is built into the harness's own firmware, run on the emulated Cortex-M4, and one invoke
counted. FC 32-16-4 is made here, as its report describes it; the models of MLPerf Tiny are files of
the user's. What is missing is left out, and said.

python -m benchmarks.latency.cycles --tflm DIR --models FOLDER [--write]
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

import numpy as np

from harness import RigOptions, load_registry, open_board, resolve_model
from harness.errors import HilError
from harness.files import write_atomic
from harness.measure.cores import CORES
from harness.measure.counts import InvokeCounts
from harness.measure.cycles import estimate_cycles
from harness.measure.cycles_found import FOUND, Compared, Found, error_lines, found_text
from harness.model.samples import Layout
from harness.project import find_project
from harness.text import table
from harness.version import __version__

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from fakes.shaped import Op, T, built  # noqa: E402

BOARD = "qemu-m4"
CORE = "Cortex-M4"
FC = "FC 32-16-4"

_BAKENN = (
    "github.com/scienthoon/bakeNN at 68940e5, "
    "benchmarks/tflm_compare/results/iotlab_447626_direct_cmsis_fc.md"
)
_V05 = "github.com/mlcommons/tiny_results_v0.5 at d75aef6, closed/reference, {}/performance"
_V10 = (
    "github.com/mlcommons/tiny_results_v1.0 at c7761cf, "
    "closed/OctoML, microtvm_cmsis_nn/NUCLEO_L4R5ZI/{}/performance"
)
_L4R5 = "NUCLEO-L4R5ZI, 120 MHz"
_L4R5_HZ = 120e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A figure that others measured on a Cortex-M4, and the runtime here that is nearest to it."""

    network: str
    runtime: str
    cycles: float
    board: str
    code: str
    source: str
    alike: bool


def _mlperf(network: str, short: str, old: float, new: float) -> list[Published]:
    """Two submissions' inferences per second as cycles."""
    return [
        Published(
            network=network,
            runtime="tflm",
            cycles=_L4R5_HZ / new,
            board=_L4R5,
            code="microTVM, CMSIS-NN 5126318 of 2022",
            source=_V10.format(short),
            alike=True,
        ),
        Published(
            network=network,
            runtime="tflm",
            cycles=_L4R5_HZ / old,
            board=_L4R5,
            code="TFLM 2.3.1 of 2020, GCC 6",
            source=_V05.format(short),
            alike=False,
        ),
    ]


PUBLISHED = (
    *(
        Published(
            network=FC,
            runtime=runtime,
            cycles=cycles,
            board="nRF52840DK, 64 MHz",
            code=f"{code}, CMSIS-NN 4.0.0, GCC 10.3 -O2",
            source=_BAKENN,
            alike=True,
        )
        for runtime, cycles, code in (("aot", 3786, "BakeNN"), ("tflm", 5418, "TFLM of 2021"))
    ),
    *_mlperf("ad01_int8", "ad", 99.487, 116.212),
    *_mlperf("kws_ref_model", "kws", 5.497, 10.019),
    *_mlperf("vww_96_int8", "vww", 1.665, 3.320),
    *_mlperf("pretrainedResnet_quant", "ic", 1.420, 2.567),
)


def fc_32_16_4() -> bytes:
    """The network of that report, from its description of shapes, scales and weights."""
    tensors = [T(name="input", shape=(1, 32), scale=0.03125, zero_point=-3)]
    operators, scale = [], 0.03125
    for at, (inputs, outputs) in enumerate(((32, 16), (16, 4))):
        numbers = np.arange(inputs * outputs, dtype=np.int32) * (7 + at) + 3
        weights = (numbers % 41 - 20).reshape(outputs, inputs).astype(np.int8)
        bias = (np.arange(outputs) * 31 - 79).astype(np.int32)
        step = float(np.float32(0.0078125 * (at + 1)))
        source = tensors[-1].name
        scales = float(np.float32(scale * step))
        scale = float(np.float32(0.046875 * (at + 1)))
        tensors += [
            T(name=f"w{at}", shape=weights.shape, scale=step, values=weights),
            T(name=f"b{at}", dtype="int32", shape=bias.shape, scale=scales, values=bias),
            T(name=f"out{at}", shape=(1, outputs), scale=scale, zero_point=at - 5),
        ]
        operators.append(
            Op(
                kind="FULLY_CONNECTED",
                inputs=(source, f"w{at}", f"b{at}"),
                outputs=(f"out{at}",),
                table="FullyConnectedOptions",
                options={"fusedActivationFunction": 1 - at},
            )
        )
    return built(tensors, operators, ("input",), ("out1",))


@cache
def counted(model: str, runtime: str, tflm: Path | None) -> tuple[InvokeCounts, str]:
    """One warm invoke on an input of zeros, and what was built."""
    project = find_project()
    artifact = resolve_model(model, project.artifacts)
    layout = Layout(specs=artifact.inputs)
    zeros = [
        np.full(spec.shape, spec.zero_point or 0, dtype=spec.dtype).tobytes()
        for spec in artifact.inputs
    ]
    options = RigOptions(runtime=runtime, tflm=tflm, functions=True)
    with open_board(load_registry()[BOARD], artifact, project, options) as board:
        for _ in range(2):
            board.dut.infer(layout.from_bytes(b"".join(zeros)))
        firmware = board.firmware
        assert firmware is not None, "it is emulated"
        return board.counter.read(), f"{board.dut.hello.runtime_version}; {firmware.compiler}"


def compare(published: Published, model: str, tflm: Path | None) -> Compared:
    """Build, run, count and estimate."""
    counts, what = counted(model, published.runtime, tflm)
    estimate = estimate_cycles(counts.code, CORES[CORE])
    return Compared(
        core=CORE,
        network=published.network,
        board=published.board,
        code=published.code,
        source=published.source,
        alike=published.alike,
        published_cycles=round(published.cycles),
        runtime=published.runtime,
        built=what,
        instructions=counts.instructions,
        estimate_cycles=round(estimate.total),
    )


def as_table(rows: tuple[Compared, ...]) -> str:
    """Published, estimate and ratio; then where each is from."""
    cells = [
        (
            f"{row.network} {row.runtime}",
            f"{row.published_cycles:,.0f}",
            f"{row.instructions:,}",
            f"{row.estimate_cycles:,.0f}",
            f"{row.estimate_cycles / row.published_cycles:.2f}",
            "same" if row.alike else "other",
        )
        for row in rows
    ]
    heads = ("", "published\ncycles", "counted\ninstructions", "estimated\ncycles", "ratio", "code")
    sources = [f"{row.network}, {row.board}: {row.code}\n  {row.source}" for row in rows]
    return "\n".join([table(heads, cells), "", *dict.fromkeys(sources)])


def _found(rows: Sequence[Compared]) -> Found:
    return Found(
        date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        versions=f"harness {__version__}, Python {platform.python_version()}",
        rows=tuple(rows),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tflm", type=Path, metavar="DIR")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="of MLPerf Tiny's .tflite")
    parser.add_argument("--write", action="store_true", help=f"into {FOUND.name}, after each row")
    options = parser.parse_args()
    rows: list[Compared] = []
    with tempfile.TemporaryDirectory() as folder:
        fc = Path(folder, "fc_32_16_4.tflite")
        fc.write_bytes(fc_32_16_4())
        for published in PUBLISHED:
            named = Path(options.models or folder, f"{published.network}.tflite")
            model = fc if published.network == FC else named
            try:
                if not model.exists():
                    raise HilError(f"there is no {model}: name its folder with --models")
                rows.append(compare(published, str(model), options.tflm))
            except HilError as error:
                print(f"{published.network}, {published.runtime}, left out: {error}")
                continue
            if options.write:
                write_atomic(FOUND, found_text(_found(rows)).encode())
    found = _found(rows)
    print(as_table(found.rows))
    print("\n".join(error_lines(found, CORE)))


if __name__ == "__main__":
    main()
