"""Both runtimes on the emulated M4: flash, RAM, instructions, and a warm rebuild with a new model.

python -m benchmarks.whole.runtimes [--tflm DIR]
"""

import argparse
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import RigOptions, load_registry, open_board, resolve_model
from harness.firmware.build import Builder
from harness.project import find_project
from harness.rig.checks import checks_for
from harness.rig.rows import median_instructions
from harness.text import table

BOARD = "qemu-m4"
REPEATS = 1000
REBUILDS = 5


def measured(runtime: str, tflm: Path | None) -> tuple[str, ...]:
    """One row: the sine, built, compared and timed."""
    project = find_project()
    sine = resolve_model("sine", project.artifacts)
    options = RigOptions(runtime=runtime, tflm=tflm)
    with open_board(load_registry()[BOARD], sine, project, options) as opened:
        repeats = opened.dut.measure(checks_for(sine).inputs[:1], REPEATS)
        compared, hello, firmware = opened.comparison(), opened.dut.hello, opened.firmware
        assert firmware is not None
        stack = sum(item.size_bytes for item in firmware.sections if item.name == ".stack")
        return (
            hello.runtime,
            hello.runtime_version,
            hello.kernels,
            f"{compared.mismatches}/{compared.samples}",
            str(firmware.flash_bytes),
            str(firmware.ram_bytes - stack),
            f"{hello.arena_used}/{hello.arena_capacity}",
            str(median_instructions(opened, repeats)),
        )


def rebuild_s(runtime: str, tflm: Path | None) -> list[float]:
    """Seconds of builds that each bring a model never seen before."""
    project = find_project()
    sine = resolve_model("sine", project.artifacts)
    builder = Builder(project, tflm=tflm)
    times = []
    for _ in range(REBUILDS):
        fresh = replace(sine, content=sine.content + np.random.bytes(16))
        start = time.perf_counter()
        builder.build(load_registry()[BOARD], runtime, fresh)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    named = os.environ.get("HIL_TFLM")
    parser.add_argument("--tflm", type=Path, default=Path(named) if named else None)
    tflm = parser.parse_args().tflm
    folder = tflm.resolve() if tflm else None
    headings = ("runtime", "version", "kernels", "differ", "flash", "RAM", "arena", "instructions")
    print(table(headings, [measured(runtime, folder) for runtime in ("aot", "tflm")]))
    print("flash and RAM in bytes, RAM without the reserved stack; instructions of one invoke")
    for runtime in ("aot", "tflm"):
        times = rebuild_s(runtime, folder)
        print(
            f"{runtime}: warm rebuild after a model change {statistics.median(times):.2f} s median "
            f"of {len(times)}, {max(times):.2f} s worst"
        )


if __name__ == "__main__":
    main()
