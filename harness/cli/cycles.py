"""`hil profile --estimate-cycles`: what an invoke might take on a real core; an estimate."""

from __future__ import annotations

import argparse

from harness.cli.work import Work
from harness.errors import WrongUse
from harness.measure.cores import CORES, Core, core_of
from harness.measure.cycles import MOST_WAIT_STATES, estimate_cycles
from harness.measure.cycles_found import error_lines, load_found
from harness.outcome import Outcome
from harness.report.cycles import cycles_text
from harness.text import listed


def show_cycles(work: Work, options: argparse.Namespace) -> int:
    """Count one warm invoke of the firmware that is measured, and print the estimate."""
    core = _core(work, options.core)
    with work.open(functions=True) as opened:
        for _ in range(2):
            opened.dut.infer(opened.checks.inputs[:1])
        counts = opened.counter.read()
        hello = opened.dut.hello
    estimate = estimate_cycles(counts.code, core, wait_states=options.wait_states)
    print(f"{work.artifact.name} on {work.board.id}: {hello.runtime}, {hello.runtime_version}")
    print(cycles_text(estimate, error_lines(load_found(), core.name)))
    return Outcome.PASSED.exit_status


def _core(work: Work, named: str | None) -> Core:
    """The core that was named, else that of the board."""
    core = CORES.get(named) if named else core_of(work.board.mcu)
    if core is None:
        raise WrongUse(
            f"no table of costs for {work.board.mcu}",
            hint=f"Name a core with --core: {listed(tuple(CORES))}",
        )
    return core


def wait_states(text: str) -> int:
    """0 to MOST_WAIT_STATES."""
    number = int(text)
    if not 0 <= number <= MOST_WAIT_STATES:
        raise argparse.ArgumentTypeError(f"must be 0 to {MOST_WAIT_STATES}")
    return number


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of the estimate."""
    parser.add_argument(
        "--estimate-cycles",
        action="store_true",
        help="an ESTIMATE of the cycles on a real core, from counted instructions; docs/profile.md",
    )
    parser.add_argument(
        "--core", choices=tuple(CORES), help="with --estimate-cycles; default: the board's"
    )
    parser.add_argument(
        "--wait-states",
        type=wait_states,
        metavar="N",
        default=0,
        help="with --estimate-cycles: of the flash, where no cache hides them; default 0",
    )
