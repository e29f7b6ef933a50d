"""Builds as commands: their log, their steps, and what ends them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.firmware.platformio import leads_to, link_platform, run_build
from harness.progress import Advance


class Witness:
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done = 0

    @contextmanager
    def __call__(self, what: str, total: int | None = None) -> Iterator[Advance]:
        self.total, self.done = total, 0

        def advance(count: int) -> None:
            self.done += count

        yield advance


def build(log: Path, witness: Witness, said: str, *, status: int = 0) -> tuple[int, str]:
    code = f"import sys; sys.stdout.write({said!r}); sys.stdout.flush(); sys.exit({status})"
    return run_build(
        [sys.executable, "-c", code],
        log,
        environment=os.environ,
        progress=witness,
        what="nano: building",
        lock=0,
    )


def lines(count: int) -> str:
    compiled = "".join(f"Compiling .pio/build/x/src/part{i}.cpp.o\n" for i in range(count))
    return f"Processing x\n{compiled}Linking .pio/build/x/firmware.elf\n"


def test_a_build_is_logged_and_its_steps_are_counted(tmp_path: Path) -> None:
    witness, log = Witness(), tmp_path / "build.log"
    assert build(log, witness, lines(3)) == (0, lines(3))
    assert log.read_text() == lines(3)
    assert (witness.total, witness.done) == (None, 4)


def test_the_longest_build_so_far_is_what_the_next_one_is_expected_to_take(tmp_path: Path) -> None:
    witness, log = Witness(), tmp_path / "build.log"
    for count, known in ((3, None), (1, 4), (9, 4), (2, 10)):
        build(log, witness, lines(count))
        assert (witness.total, witness.done) == (known, count + 1)


def test_a_build_that_failed_is_no_measure_but_its_status_and_log_are_kept(tmp_path: Path) -> None:
    witness, log = Witness(), tmp_path / "build.log"
    said = lines(5) + "src/main.cpp:1: error: no\n"
    assert build(log, witness, said, status=3) == (3, said)
    assert log.read_text() == said
    build(log, witness, lines(1))
    assert witness.total is None


def test_a_count_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    witness, log = Witness(), tmp_path / "build.log"
    log.with_suffix(".steps").write_text("many")
    build(log, witness, lines(1))
    assert witness.total is None


def test_an_interrupted_build_is_killed(tmp_path: Path) -> None:
    @contextmanager
    def interrupting(what: str, total: int | None = None) -> Iterator[Advance]:
        def advance(count: int) -> None:
            raise KeyboardInterrupt

        yield advance

    code = "import time; print('Compiling x', flush=True); time.sleep(600)"
    with pytest.raises(KeyboardInterrupt):
        run_build(
            [sys.executable, "-c", code],
            tmp_path / "build.log",
            environment=os.environ,
            progress=interrupting,
            what="nano: building",
            lock=0,
        )


def test_the_link_to_the_platform_leads_to_the_checkout_that_is_built(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    link_platform(tmp_path, one)
    assert leads_to(tmp_path, one)
    link = tmp_path / "platforms" / "platform.pio-link"
    assert not link.exists()
    link.parent.mkdir()
    for damaged in ("", "{}", '{"cwd": 1}', "[]"):
        link.write_text(damaged)
        assert not leads_to(tmp_path, one)
    for root, other in ((one, two), (two, one)):
        link_platform(tmp_path, root)
        assert leads_to(tmp_path, root) and not leads_to(tmp_path, other)
