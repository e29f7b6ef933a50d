"""Fuzzing of both sides of the protocol; `make fuzz`.

python -m benchmarks.link.fuzz [--runs N] [--streams N] [--decodes N] [--keep]

1. The firmware's code under clang's libFuzzer, ASan and UBSan: N lives of a board,
   each lived twice.
   --keep writes the corpus, minimised, to tests/native/corpus.txt.
2. The firmware's code and the virtual board in the same random lives: they must answer alike.
3. The Python decoders on random and on damaged frames and bodies.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from harness.errors import ProtocolError
from harness.link.loading import parse_committed, parse_operators
from harness.link.protocol import (
    FrameSplitter,
    decode_frame,
    parse_error,
    parse_hello,
    parse_infer,
    parse_long_run,
    parse_memory,
    parse_run,
    parse_speed,
    parse_state,
    parse_step_output,
    parse_step_values,
)

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "tests" / "native"
CORPUS = NATIVE / "corpus.txt"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "firmware")]

from fakes.streams import fake_answers, native_answers, random_streams, sealed  # noqa: E402
from test_native import SOURCE, compile_command, firmware_sources  # noqa: E402

CLANG = "clang++-14", "clang++"
LONGEST = 256
BATCH = 20_000


def fuzz_command(compiler: str, program: Path) -> list[str]:
    """Command that builds the fuzzer. Without tracing of comparisons it is twice as fast."""
    sources = [*firmware_sources(), *(NATIVE / f"{name}.cpp" for name in ("fake", "bench", "fuzz"))]
    return [
        compiler,
        *("-std=c++17", "-O2", "-g", "-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Werror"),
        *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"),
        "-fno-sanitize-coverage=trace-cmp",
        *("-DHIL_PROFILE", "-DHIL_SWAP", f"-I{SOURCE}", f"-I{NATIVE}"),
        *map(str, sources),
        *("-o", str(program)),
    ]


def unpack(folder: Path) -> None:
    """Write the committed corpus as libFuzzer wants it, a file for each input."""
    folder.mkdir()
    for number, line in enumerate(CORPUS.read_text().split()):
        (folder / str(number)).write_bytes(bytes.fromhex(line))


def pack(folder: Path) -> None:
    """Commit a folder of inputs, as a line for each."""
    lines = sorted(path.read_bytes().hex() for path in folder.iterdir() if path.stat().st_size)
    CORPUS.write_text("\n".join(lines) + "\n")


def guided(runs: int, keep: bool, folder: Path) -> None:
    """libFuzzer in as many processes as there are processors, from the committed corpus on."""
    compiler = next((path for name in CLANG if (path := shutil.which(name))), None)
    if compiler is None:
        sys.exit("clang++ not found: sudo apt-get install clang-14 libclang-rt-14-dev")
    program = folder / "fuzz"
    subprocess.run(fuzz_command(compiler, program), check=True)
    workers = os.cpu_count() or 1
    running = []
    for worker in range(workers):
        corpus = folder / f"corpus{worker}"
        unpack(corpus)
        command = [
            *(str(program), f"-dict={NATIVE / 'fuzz.dict'}", f"-max_len={LONGEST}"),
            *(f"-runs={-(-runs // workers)}", f"-seed={worker + 1}", "-print_final_stats=1"),
            *(f"-artifact_prefix={ROOT}/fuzz-", str(corpus)),
        ]
        with (folder / f"log{worker}").open("w") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
    failed = [process.wait() for process in running]
    for worker in range(workers):
        lines = (folder / f"log{worker}").read_text(errors="replace").splitlines()
        print("\n".join(lines[-40:] if any(failed) else lines[-7:]))
    if any(failed):
        sys.exit("the fuzzer found an input; it lies beside the Makefile as fuzz-*")
    if keep:
        merged = folder / "merged"
        merged.mkdir()
        found = [str(folder / f"corpus{worker}") for worker in range(workers)]
        subprocess.run([program, "-merge=1", str(merged), *found], check=True)
        pack(merged)


def alike(count: int, folder: Path) -> None:
    """The firmware's code against the virtual board."""
    program = folder / "native_test"
    subprocess.run(compile_command("g++", program), check=True)
    rng = random.Random(count)
    answered = 0
    for _ in range(0, count, BATCH):
        streams = random_streams(rng, min(BATCH, count))
        for stream, firmware in zip(streams, native_answers(program, streams), strict=True):
            if fake_answers(stream) != firmware:
                sys.exit(f"not answered alike: {stream}")
            answered += len(firmware)
    print(f"{count} lives, {answered} bytes answered alike")


def decoders(count: int) -> None:
    """Only ProtocolError comes out of a decoder; cuts of a stream do not change its pieces."""
    rng = random.Random(1)
    seen: Counter[str] = Counter()
    for _ in range(count):
        raw = rng.randbytes(rng.randrange(1, 40))
        if rng.random() < 0.5:
            raw = sealed(raw)[1:-1]
        if rng.random() < 0.3:
            place = rng.randrange(len(raw))
            raw = raw[:place] + bytes((rng.randrange(256),)) + raw[place + 1 :]
        decode = rng.randrange(11)
        try:
            if decode == 0:
                parse_hello(b"\1" + raw + bytes(rng.randrange(100)))
            elif decode == 1:
                parse_error(raw)
            elif decode == 2:
                parse_infer(b"\2\0" + raw, count=2, output_bytes=1)
            elif decode == 3:
                parse_run(raw[:4] + b"\2\0" + raw[4:], count=2)
            elif decode == 4:
                parse_step_values(b"\2\0" + raw, first=0)
            elif decode == 5:
                parse_step_output(raw, offset=0)
            elif decode == 6:
                rng.choice((parse_operators, parse_committed, parse_memory, parse_state))(raw)
            elif decode == 7:
                parse_speed(raw, baud=115200)
            elif decode == 8:
                parse_long_run(raw[:4] + b"\2\0" + raw[4:] + bytes(rng.randrange(20)), count=2)
            elif decode == 9:
                cut = rng.randrange(len(raw) + 1)
                splitter = FrameSplitter()
                pieces = [*splitter.feed(raw[:cut]), *splitter.feed(raw[cut:])]
                assert pieces == list(FrameSplitter().feed(raw)), raw.hex()
            else:
                decode_frame(raw)
            seen["decoded"] += 1
        except ProtocolError:
            seen["refused"] += 1
    print(f"{count} decoded in Python: {dict(seen)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--streams", type=int, default=20_000)
    parser.add_argument("--decodes", type=int, default=1_000_000)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, work in (
            ("guided", lambda: guided(options.runs, options.keep, folder)),
            ("alike", lambda: alike(options.streams, folder)),
            ("decoders", lambda: decoders(options.decodes)),
        ):
            start = time.monotonic()
            work()
            print(f"{part}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
