"""`hil profile`: where an inference spends its time, and where it first goes wrong."""

from __future__ import annotations

import json
from dataclasses import asdict

from harness.measure.findings import functions_text
from harness.measure.profile import profile_table
from harness.outcome import Outcome
from harness.rig.functions import count_functions
from harness.rig.opened import OpenBoard
from harness.rig.profiling import first_difference, profile_board
from harness.terminal import say


def show_profile(opened: OpenBoard, *, n: int, difference: bool) -> int:
    """Print a board's profile, and with `difference` the first operator that differs.

    Args:
        opened: with RigOptions(profile=True).

    Returns:
        Exit status: an operator that differs is a wrong number.
    """
    profile = profile_board(opened, n=n)
    hello = opened.dut.hello
    print(
        f"{opened.artifact.name} on {opened.declared.id}: {hello.runtime}, {hello.runtime_version}"
    )
    print(profile_table(profile))
    if opened.declared.emulated:
        say("emulated board: instructions, not time on silicon")
    if not difference:
        return Outcome.PASSED.exit_status
    found = first_difference(opened)
    print(found or "every operator's output equals that of TFLM on the host")
    return (Outcome.PASSED if found is None else Outcome.WRONG).exit_status


def show_functions(opened: OpenBoard, *, as_json: bool) -> int:
    """Print what each function took in one invoke.

    Args:
        opened: with RigOptions(functions=True).
    """
    found = count_functions(opened)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
        return Outcome.PASSED.exit_status
    hello = opened.dut.hello
    print(
        f"{opened.artifact.name} on {opened.declared.id}: {hello.runtime}, {hello.runtime_version}"
    )
    print(functions_text(found.functions, found.calls))
    say("emulated board: instructions, not time on silicon")
    return Outcome.PASSED.exit_status
