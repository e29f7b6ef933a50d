"""`hil profile`: where an inference spends its time, and where it first goes wrong."""

from __future__ import annotations

from harness.measure.profile import profile_table
from harness.outcome import Outcome
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
