from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import BoardRebooted, LinkTimeout, ModelError, PortLost, StartFailed, Where
from harness.link.faults import Faults
from harness.link.link import Link, LinkOptions
from harness.link.protocol import VERSION, Op, infer_body, parse_hello, parse_infer
from harness.model.artifact import Artifact, load_artifact
from harness.model.wheels import tflm_version
from harness.rig.virtual import VirtualProcess, virtual_build_id

pytestmark = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")

ROOT = Path(__file__).parents[2]
SINE = load_artifact(ROOT / "models" / "artifacts" / "sine")
WHERE = Where(board="virtual", port="virtual:", model="sine_int8")


@contextmanager
def linked(faults: Faults | None = None, options: LinkOptions | None = None) -> Iterator[Link]:
    with VirtualProcess(SINE, faults or Faults(), where=WHERE) as process:
        link = Link(process.stream, where=WHERE, options=options)
        link.resync()
        link.request(Op.HELLO, bytes((VERSION,)), compute_s=10.0)
        yield link


def invoke(link: Link, value: int) -> int:
    body = link.request(Op.INFER, infer_body(1, bytes((value % 256,))))
    return int(np.frombuffer(parse_infer(body, count=1, output_bytes=1)[0], dtype=np.int8)[0])


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie nobody has waited for has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_virtual_process_answers_with_tflms_bytes_and_ends_with_its_block() -> None:
    with VirtualProcess(SINE, Faults(), where=WHERE) as process:
        link = Link(process.stream, where=WHERE)
        hello = parse_hello(link.request(Op.HELLO, bytes((VERSION,))))
        assert hello.board == "virtual" and hello.model_sha256.hex() == SINE.sha256
        assert hello.build_id.hex() == virtual_build_id(SINE.sha256)
        assert hello.inputs[0].same_layout(SINE.inputs[0])
        for index in (0, 1, 128, 255):
            value, expected = SINE.goldens.inputs[index], SINE.goldens.outputs[index]
            assert invoke(link, int(value.item())) == expected.item()
    assert gone(process.pid)
    process.stop()


def test_a_model_that_crashes_tflm_is_at_fault_not_the_link() -> None:
    with VirtualProcess(SINE, Faults(), where=WHERE) as process:
        link = Link(process.stream, where=WHERE, reopen=process.reopen)
        link.request(Op.HELLO, bytes((VERSION,)), compute_s=10.0)
        os.kill(process.pid, signal.SIGSEGV)
        with pytest.raises(ModelError, match=r"TFLite Micro on the host crashed \(SIGSEGV\)"):
            invoke(link, 0)
        with pytest.raises(ModelError, match="SIGSEGV"):
            process.reopen()


def test_person_gets_an_answer_from_the_virtual_process() -> None:
    with linked() as link:
        assert link.ask_text("1.5708").startswith("y=")
        assert link.ask_text("nan") == "error not-finite: nan"


def test_wrong_model_is_named_by_another_hash() -> None:
    with linked(Faults(wrong_model=True)) as link:
        hello = parse_hello(link.request(Op.HELLO, bytes((VERSION,))))
        assert hello.model_sha256.hex() != SINE.sha256


@pytest.mark.parametrize(
    "fault, error, silent_attempts",
    [("hang_after", LinkTimeout, 1), ("reboot_after", BoardRebooted, 60)]
    + [("vanish_after", PortLost, 60)],
)
def test_fault_strikes_in_the_middle_and_the_error_names_board_and_request(
    fault: str, error: type[Exception], silent_attempts: int
) -> None:
    with linked(Faults(**{fault: 3})) as link:
        # Patient until the fault, so that a loaded machine is none.
        invoke(link, 0)
        link.options = LinkOptions(timeout_s=0.2, silent_attempts=silent_attempts)
        with pytest.raises(error) as caught:
            for value in range(9):
                invoke(link, value)
    assert "INFER" in str(caught.value)
    assert "(board virtual, port virtual:, model sine_int8)" in str(caught.value)


def test_wrong_output_is_off_by_one_in_every_nth_invoke() -> None:
    with linked(Faults(wrong_output=3)) as link:
        found = [invoke(link, 0) for _ in range(6)]
    right = found[0]
    assert [abs(value - right) for value in found] == [0, 0, 1, 0, 0, 1]


def test_noise_costs_retries_and_no_answer() -> None:
    patient = LinkOptions(timeout_s=0.2, attempts=100, silent_attempts=100)
    with linked(Faults(flip=0.01, seed=3), options=patient) as link:
        for value, expected in zip(SINE.goldens.inputs, SINE.goldens.outputs, strict=True):
            assert invoke(link, int(value.item())) == expected.item()
    assert link.stats.retries > 0


def test_model_that_cannot_run_fails_the_start_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "junk.tflite"
    path.write_bytes(b"junk")
    broken: Artifact = replace(SINE, path=path)
    with pytest.raises(ModelError, match="junk.tflite is not a TFLite model") as caught:
        with VirtualProcess(broken, Faults(), where=WHERE):
            raise AssertionError("started")
    assert "(board virtual, port virtual:, model sine_int8)" in str(caught.value)


def test_a_board_that_hangs_before_it_names_its_port_is_given_up(tmp_path: Path) -> None:
    said = tmp_path / "said"
    command = ["sh", "-c", f"echo importing >&2; touch {said}; sleep 600"]
    # Once the command has spoken, each look at the clock is 40 s later: later than any deadline.
    passing = itertools.count(step=40.0)
    board = VirtualProcess(
        SINE,
        Faults(),
        where=WHERE,
        command=command,
        clock=lambda: next(passing) if said.exists() else 0.0,
    )
    with pytest.raises(StartFailed) as caught, board:
        raise AssertionError("started")
    assert "did not name its port within 30 s; it said: importing" in str(caught.value)
    assert "(board virtual, port virtual:, model sine_int8)" in str(caught.value)
    assert gone(board.pid)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_of_a_board_that_says_much_and_ends_the_last_words_are_told(stream: str) -> None:
    code = f"import sys; sys.{stream}.write('x' * 1_000_000); sys.exit('the end')"
    command = [sys.executable, "-c", code]
    with pytest.raises(StartFailed, match="did not start; it said: ") as caught:
        with VirtualProcess(SINE, Faults(), where=WHERE, command=command):
            raise AssertionError("started")
    assert len(str(caught.value)) < 3000
    assert ("the end" in str(caught.value)) == (stream == "stderr")


def test_a_board_that_says_much_on_standard_error_serves_all_the_same() -> None:
    code = (
        "import sys; from harness.rig import virtual; answer = virtual.TflmModel.invoke\n"
        "def invoke(*it): sys.stderr.write('x' * 100_000); return answer(*it)\n"
        "virtual.TflmModel.invoke = invoke; virtual.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, str(SINE.path)]
    with VirtualProcess(SINE, Faults(), where=WHERE, command=command) as process:
        link = Link(process.stream, where=WHERE)
        link.request(Op.HELLO, bytes((VERSION,)))
        assert [invoke(link, 0) for _ in range(9)] == [invoke(link, 0)] * 9


PARENT = """
import sys, time
from pathlib import Path
from harness.model.artifact import load_artifact
from harness.errors import Where
from harness.link.faults import Faults
from harness.rig.virtual import VirtualProcess

with VirtualProcess(load_artifact(Path(sys.argv[1])), Faults(), where=Where()) as process:
    print(process.pid, flush=True)
    time.sleep(600)
"""


def test_virtual_process_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(SINE.path.parent)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(child)
