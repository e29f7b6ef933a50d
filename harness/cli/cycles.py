"""`hil profile --estimate-cycles`: what an invoke might take on a real core; an estimate."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from harness.cli.machine import print_json
from harness.cli.profile import what_is_measured
from harness.cli.work import Work
from harness.errors import WrongUse
from harness.measure.cores import CORES, Core, core_of
from harness.measure.cycles import MOST_WAIT_STATES, CycleEstimate, estimate_cycles
from harness.measure.cycles_found import error_lines, load_found
from harness.outcome import Outcome
from harness.report.cycles import cycles_text
from harness.terminal import say
from harness.text import listed


def show_cycles(work: Work, options: argparse.Namespace) -> int:
    """Count one warm invoke of the firmware that is measured, and print the estimate."""
    core = _core(work, options.core)
    with work.open(functions=True) as opened:
        for _ in range(2):
            opened.dut.infer(opened.checks.inputs[:1])
        counts = opened.counter.read()
        hello = opened.dut.hello
        measured = what_is_measured(opened)
    estimate = estimate_cycles(counts.code, core, wait_states=options.wait_states)
    errors = error_lines(load_found(), core.name)
    if options.json:
        print_json("profile", measured | {"estimate": _estimate_object(estimate, errors)})
        return Outcome.PASSED.exit_status
    print(f"{work.artifact.name} on {work.board.id}: {hello.runtime}, {hello.runtime_version}")
    print(cycles_text(estimate, errors))
    if core != core_of(work.board.mcu):
        say(f"the code is that for {work.board.mcu}: a compiler makes other code for a {core.name}")
    return Outcome.PASSED.exit_status


def _estimate_object(estimate: CycleEstimate, errors: Sequence[str]) -> dict[str, Any]:
    return {
        "core": estimate.core.name,
        "source": estimate.core.source,
        "wait_states": estimate.wait_states,
        "classes": [
            {"class": name, "instructions": count, "cycles": cost}
            for name, count, cost in estimate.by_class()
        ],
        "waiting_cycles": estimate.waiting,
        "instructions": estimate.total_instructions,
        "cycles": estimate.total,
        "errors": errors,
    }


def _core(work: Work, named: str | None) -> Core:
    """The core that was named, else that of the board."""
    compiled_for = work.board.core or ""
    own = core_of(work.board.mcu) or core_of(compiled_for.title().replace("Plus", "+"))
    core = CORES.get(named) if named else own
    if core is None:
        raise WrongUse(
            f"no table of costs for {work.board.mcu}",
            hint=f"Name a core with --core: {listed(tuple(CORES))}",
        )
    if own is None and compiled_for:
        raise WrongUse(
            f"a {core.name} does not run code that was built for the {compiled_for} of "
            f"{work.board.id}, for which there is no table of costs",
            hint=f"Take a board with one of these cores: {listed(tuple(CORES))}",
        )
    if own is not None and not core.runs_code_of(own):
        raise WrongUse(
            f"a {core.name} does not run code that was built for the {own.name} of {work.board.id}",
            hint="Take a board with that core: hil boards lists them.",
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
        "--core",
        choices=tuple(CORES),
        metavar="CORE",
        help=f"with --estimate-cycles: {', '.join(CORES)}; default: the board's",
    )
    parser.add_argument(
        "--wait-states",
        type=wait_states,
        metavar="N",
        default=0,
        help="with --estimate-cycles: of the flash, where no cache hides them; default 0",
    )
