"""The link against every fault of the virtual board at 0.1 % and 1 %, 10^6 frames in all.

python -m benchmarks.link.faults [FRAMES]
python -m benchmarks.link.faults noise [SAMPLES]

In one process: the real link and the virtual board over TFLM, on a line and a clock of memory.
With `noise`, 100 000 samples through a real pty on which 1 % of all bytes are corrupted.
"""

import random
import sys
import time
import zlib
from dataclasses import dataclass, field

import numpy as np

from benchmarks.opened import opened
from harness import Artifact, Dut, resolve_model
from harness.errors import BoardRebooted, LinkTimeout, StaleFirmware, Where
from harness.link.faults import Faults, FaultyBoard
from harness.link.identity import check_identity
from harness.link.link import Link, LinkOptions, LinkStats
from harness.link.protocol import Op, infer_body, parse_infer, parse_run, run_body
from harness.link.virtual import VirtualBoard
from harness.model.interpreters import TflmInterpreter
from harness.project import find_project
from harness.rig.checks import run_batch
from harness.rig.virtual import TflmModel, virtual_build_id, virtual_hello

RATES = (0.001, 0.01)
LATE_MS = 3000.0
"""Between one and two time-outs of the link: one retry, then both answers come."""
INVOKE_NS = 1000
FRAMES = 1_000_000
SAMPLES = 100_000
PATIENT = LinkOptions(timeout_s=0.03, attempts=200, silent_attempts=200)


def faults_at(rate: float) -> dict[str, Faults]:
    """Every fault at a rate: of bytes, of answers, of sessions (wrong model), of time (slow)."""
    return {
        "drop": Faults(drop=rate),
        "flip": Faults(flip=rate),
        "duplicate": Faults(duplicate=rate),
        "delay": Faults(delay=rate, delay_ms=LATE_MS),
        "hang": Faults(hang=rate),
        "reboot": Faults(reboot=rate),
        "wrong model": Faults(wrong_model=True),
        "slow down": Faults(slow=1 + rate),
    }


class Line:
    """A ByteStream to a faulty board, and the clock of both."""

    def __init__(self, board: FaultyBoard) -> None:
        self.board = board
        self.now_s = 0.0
        self.writes = 0
        self.replies = 0
        self._free_s = 0.0
        self._coming: list[tuple[float, bytes]] = []

    def write(self, data: bytes) -> None:
        reply, late_s = self.board.feed(data)
        self.writes += 1
        self._free_s = max(self._free_s, self.now_s) + late_s
        if reply:
            self.replies += 1
            self._coming.append((self._free_s, reply))

    def read(self, timeout_s: float) -> bytes:
        if not self._coming or self._coming[0][0] > self.now_s + timeout_s:
            self.now_s += timeout_s
            return b""
        at_s, reply = self._coming.pop(0)
        self.now_s = max(self.now_s, at_s) + 1e-6
        return reply

    def close(self) -> None:
        pass


@dataclass(kw_only=True)
class Tally:
    """What one campaign saw."""

    fault: str
    rate: float
    frames: int = 0
    sessions: int = 0
    refused: int = 0
    wrong_models: int = 0
    wrong_tensors: int = 0
    wrong_ticks: int = 0
    asked_invokes: int = 0
    invokes: int = 0
    damaged: int = 0
    struck: int = 0
    timeouts: int = 0
    reboots: int = 0
    unasked_writes: int = 0
    stats: LinkStats = field(default_factory=LinkStats)

    def problems(self) -> list[str]:
        """What must not be; empty if all is well."""
        options = LinkOptions()
        stats = self.stats
        given_up = self.timeouts
        failed = stats.retries + given_up
        noisy = self.fault in ("drop", "flip", "duplicate")
        expected_retries = {
            "delay": self.struck,
            "hang": self.struck * (options.silent_attempts - 1),
            "reboot": self.struck,
        }.get(self.fault, 0)
        checks = {
            "wrong tensors": self.wrong_tensors == 0,
            "wrong ticks": self.wrong_ticks == 0,
            "a wrong model was measured, or a right one refused": self.refused == self.wrong_models,
            "a frame was written that is neither a request nor a counted retry": (
                self.unasked_writes == 0
            ),
            "an attempt failed for no counted reason": (
                stats.timeouts + stats.refused_frames
                <= failed
                <= stats.timeouts + stats.refused_frames + stats.bad_frames
            ),
            "retries without cause": noisy or stats.retries == expected_retries,
            "more failures than damaged pieces": not noisy or failed <= self.damaged,
            "an answer given up without a hang": noisy or given_up == (
                self.struck if self.fault == "hang" else 0
            ),
            "a request ran twice": self.invokes <= self.asked_invokes,
            "a request did not run": noisy or self.struck or self.invokes == self.asked_invokes,
            "a reboot went unnoticed or was invented": (
                self.reboots <= self.struck if self.fault == "reboot" else self.reboots == 0
            ),
        }  # fmt: skip
        return [what for what, holds in checks.items() if not holds]


class Campaign:
    """One fault at one rate, until so many frames have crossed the line."""

    def __init__(self, artifact: Artifact, fault: str, rate: float, faults: Faults) -> None:
        self._artifact = artifact
        self._rng = random.Random(faults.seed)
        self._faults = faults
        self.counts = Tally(fault=fault, rate=rate)
        inputs = np.arange(-128, 128, dtype=np.int8)
        interpreter = TflmInterpreter(artifact.content, name=artifact.name)
        spec = artifact.inputs[0]
        runs = [interpreter.run(value.reshape(spec.shape)).ravel()[0] for value in inputs]
        self._outputs = dict(zip(inputs.tolist(), np.array(runs, np.int8).tolist(), strict=True))
        self._ticks_ns = 0
        self._line = self._connect()
        self._link = self._open()

    def run(self, frames: int) -> Tally:
        """Work until the frames are used up, beginning a session wherever one ended."""
        tally, line = self.counts, self._line
        while self._frames() < frames:
            try:
                self._session(frames)
            except LinkTimeout:
                tally.timeouts += 1
                line.board.power_cycle()
            except BoardRebooted:
                tally.reboots += 1
        tally.frames = self._frames()
        tally.stats = self._link.stats
        tally.damaged = line.board.noise.damaged
        tally.struck = line.board.struck[tally.fault]
        tally.unasked_writes = (
            line.writes - tally.sessions - tally.stats.requests - tally.stats.retries
        )
        return tally

    def _frames(self) -> int:
        # Every session begins with a lone 00, to end what may be unfinished.
        return self._line.writes - self.counts.sessions + self._line.replies

    def _connect(self) -> Line:
        model = TflmModel(self._artifact, self._faults, clock_ns=self._count)
        right = virtual_hello(self._artifact, Faults(), timer_read_ticks=0)
        self._hellos = (right, virtual_hello(self._artifact, self._faults, timer_read_ticks=0))
        self._board = VirtualBoard(
            right,
            lambda raw: self._invoke(model, raw),
            ticks=model.ticks,
            clock=lambda: self._line.now_s,
        )
        return Line(FaultyBoard(self._board, self._faults))

    def _open(self) -> Link:
        where = Where(board="virtual", model=self._artifact.name)
        return Link(self._line, where=where, clock=lambda: self._line.now_s)

    def _invoke(self, model: TflmModel, raw: bytes) -> bytes:
        self.counts.invokes += 1
        return model.invoke(raw)

    def _count(self) -> int:
        self._ticks_ns += INVOKE_NS
        return self._ticks_ns

    def _session(self, frames: int) -> None:
        tally, line = self.counts, self._line
        tally.sessions += 1
        wrong = tally.fault == "wrong model" and self._rng.random() < tally.rate
        self._board.hello = self._hellos[wrong]
        tally.wrong_models += wrong
        hello = Dut(self._link, clock=lambda: line.now_s).greet()
        try:
            check_identity(
                hello,
                where=self._link.where,
                model_sha256=self._artifact.sha256,
                build_id=virtual_build_id(self._artifact.sha256),
                runtime="tflm",
            )
        except StaleFirmware:
            tally.refused += 1
            return
        # Where sessions are what goes wrong, they are short.
        last = self._frames() + (10 if tally.fault == "wrong model" else frames)
        while self._frames() < min(frames, last):
            (self._infer if self._rng.random() < 0.7 else self._staged)()

    def _infer(self) -> None:
        count = self._rng.randrange(1, 9)
        inputs = [self._rng.randrange(-128, 128) for _ in range(count)]
        self.counts.asked_invokes += count
        raw = np.array(inputs, np.int8).tobytes()
        reply = self._link.request(Op.INFER, infer_body(count, raw))
        outputs, ticks = parse_infer(reply, count=count, output_bytes=1)
        self._judge(np.frombuffer(outputs, np.int8).tolist(), inputs, ticks)

    def _staged(self) -> None:
        value = self._rng.randrange(-128, 128)
        raw = np.array([value], np.int8).tobytes()
        self._link.request(Op.WRITE, bytes(4) + raw)
        self.counts.asked_invokes += 2
        run = self._link.request(Op.RUN, run_body(2, zlib.crc32(raw)))
        output_crc, ticks = parse_run(run, count=2)
        output = self._link.request(Op.READ, bytes(4) + b"\1\0")
        self.counts.wrong_tensors += output_crc != zlib.crc32(output)
        self._judge(np.frombuffer(output, np.int8).tolist(), [value], ticks)

    def _judge(self, outputs: list[int], inputs: list[int], ticks: np.ndarray) -> None:
        self.counts.wrong_tensors += outputs != [self._outputs[value] for value in inputs]
        off = np.abs(ticks.astype(float) - INVOKE_NS * self._faults.slow) > 1.5
        self.counts.wrong_ticks += int(off.sum())


def noise(total: int) -> int:
    """Samples through the process on a pty; returns how many outputs were wrong."""
    random = np.random.default_rng(7)
    samples = random.integers(-128, 127, total, dtype=np.int8, endpoint=True)
    with opened("virtual", port="virtual:?flip=0.01&seed=11", link=PATIENT) as board:
        start = time.perf_counter()
        answered = board.dut.infer(samples)
        seconds = time.perf_counter() - start
        every = np.arange(-128, 128).astype(np.int8)
        truth = run_batch(board.references.golden, every, board.artifact.inputs[0]).outputs
        expected = truth.ravel()[samples.astype(int) + 128]
        wrong = int((answered.outputs.ravel() != expected).sum())
        stats = board.dut.link.stats
    print(f"{total} samples, {wrong} wrong, {seconds:.1f} s, {stats.requests} requests")
    print(f"retries {stats.retries}: {stats.timeouts} timeouts, {stats.refused_frames} frames "
          f"refused by the board, {stats.bad_frames} damaged replies")  # fmt: skip
    return wrong


def main() -> None:
    if sys.argv[1:2] == ["noise"]:
        sys.exit(noise(int(sys.argv[2]) if len(sys.argv) > 2 else SAMPLES) > 0)
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES
    artifact = resolve_model("sine", find_project().artifacts)
    total, bad = 0, 0
    for rate in RATES:
        kinds = faults_at(rate)
        for fault, faults in kinds.items():
            start = time.perf_counter()
            share = -(-wanted // (len(RATES) * len(kinds)))
            tally = Campaign(artifact, fault, rate, faults).run(share)
            stats, problems = tally.stats, tally.problems()
            total, bad = total + tally.frames, bad + len(problems)
            print(
                f"{rate:5.1%} {fault:11} {tally.frames} frames, {stats.requests} requests, "
                f"{tally.damaged} damaged, {tally.struck} struck, {stats.retries} retries "
                f"({stats.timeouts} timeouts, {stats.bad_frames} bad, {stats.refused_frames} "
                f"refused), {tally.timeouts} given up, {tally.reboots} reboots, "
                f"{tally.wrong_models} wrong models, {tally.wrong_tensors} wrong tensors; "
                f"{time.perf_counter() - start:.0f} s; {'; '.join(problems) or 'ok'}",
                flush=True,
            )
    print(f"{total} frames; {bad} problems")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
