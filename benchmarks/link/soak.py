"""A soak of qemu-m4 with its clock run ahead, past 4295 s of its own time.

That is 2^32 microseconds, with a turn of its 32 bits of ticks every 172 s.

python -m benchmarks.link.soak [BOARD_SECONDS]
"""

import sys
import time
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.link.mlperf_client import MlperfClient
from harness import Dut, load_registry, resolve_model
from harness.errors import Where
from harness.firmware.build import Builder
from harness.link.link import Link, LinkOptions
from harness.model.interpreters import TflmInterpreter
from harness.project import find_project
from harness.rig.qemu import QemuProcess

SECONDS = 4400
NS_PER_INSTRUCTION_LOG2 = 10
"""One instruction is 1024 ns, the most that QEMU takes and eight times the board's own setting."""
INVOKES = 20_000


@dataclass(frozen=True, kw_only=True)
class Soaked:
    """What a soak saw. Ticks are those of RUN."""

    board_s: float
    rounds: int
    invokes: int
    wrong: int
    backwards: int
    ticks_min: int
    ticks_max: int
    lap_error: float
    retries: int


def soak(seconds: float) -> Soaked:
    """Rounds of INFER, RUN and MLPerf commands until the board's own clock has passed `seconds`."""
    project = find_project()
    artifact = resolve_model("sine", project.artifacts)
    board = load_registry()["qemu-m4"]
    assert board.emulator is not None
    emulator = replace(board.emulator, icount_shift=NS_PER_INSTRUCTION_LOG2)
    elf = Builder(project).build(board, "aot", artifact).elf
    where = Where(board=board.id, model=artifact.name)
    spec = artifact.inputs[0]
    inputs = np.arange(-128, 128, dtype=np.int8)
    golden = TflmInterpreter(artifact.content, name=artifact.name)
    expected = np.array([golden.run(value.reshape(spec.shape)).ravel()[0] for value in inputs])
    random = np.random.default_rng(1)
    wrong = backwards = rounds = invokes = 0
    last_us, ticks, errors = 0, [], []
    with QemuProcess(emulator, elf, where=where) as process:
        client = MlperfClient(process.stream, timeout_s=120)
        dut = Dut(Link(process.stream, where=where, options=LinkOptions(timeout_s=60)))
        dut.greet()
        us_per_invoke = 0.0
        while last_us < seconds * 1e6:
            order = random.permutation(256)
            outputs = dut.infer(inputs[order]).outputs.ravel()
            wrong += int((outputs != expected[order]).sum())
            measured = dut.measure(inputs[:1], 1000).ticks
            ticks += [int(measured.min()), int(measured.max())]
            us_per_invoke = us_per_invoke or float(np.median(measured)) * 1e6 / dut.hello.tick_hz
            chosen = int(random.integers(256))
            client.load(inputs[chosen : chosen + 1].tobytes())
            lap_us, results = client.infer(INVOKES, 0)
            output = artifact.outputs[0]
            real = (int(expected[chosen]) - output.zero_point) * np.float32(output.scale)
            wrong += results != [round(float(real), 4)]
            errors.append(lap_us / (INVOKES * us_per_invoke) - 1)
            now_us = client.timestamp_us()
            backwards += now_us < last_us + lap_us
            last_us = now_us
            rounds += 1
            invokes += 256 + 1000 + INVOKES
        return Soaked(
            board_s=last_us / 1e6,
            rounds=rounds,
            invokes=invokes,
            wrong=wrong,
            backwards=backwards,
            ticks_min=min(ticks),
            ticks_max=max(ticks),
            lap_error=max(map(abs, errors)),
            retries=dut.link.stats.retries,
        )


def main() -> None:
    start = time.monotonic()
    print(soak(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
    print(f"{time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
