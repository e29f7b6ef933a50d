"""Scenarios of a bench rig in a virtual machine.

    python -m benchmarks.whole.usb_rig [--only NAME ...] [--cache FOLDER] [--list]

A Debian 12 guest with its own kernel and udev is booted in QEMU; its hubs and FTDI bridges are
QEMU's, and behind them are emulated boards that run the harness's firmware. In the guest an
unprivileged user in group dialout runs the harness. Nothing of it is a real hub, bridge or board.

Printed is a table of what was expected and what happened. Exit status 1 if a scenario failed, 2 if
the rig could not be had. A first run makes the guest's disk, which takes ten minutes and a network.
"""

from __future__ import annotations

import argparse
import compileall
import sys
from pathlib import Path

from benchmarks.whole.usb_rig import (
    alike,
    contended,
    hub_power,
    killed,
    serial_ports,
    serial_server,
    shared,
)
from benchmarks.whole.usb_rig.bench import Rig
from benchmarks.whole.usb_rig.image import find_image, missing_tools
from benchmarks.whole.usb_rig.scenario import attempt, chosen, report
from harness.errors import HilError
from harness.project import find_project
from harness.text import printable_lines

SCENARIOS = (
    *(*serial_ports.SCENARIOS, *hub_power.SCENARIOS, *alike.SCENARIOS),
    *contended.SCENARIOS,
    *(*serial_server.SCENARIOS, *killed.OWN, *shared.SCENARIOS, *killed.POOLED),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--cache", type=Path, help="folder for the guest's disk")
    parser.add_argument("--mirror", metavar="URL", help="of Debian's packages")
    parser.add_argument("--list", action="store_true", help="names of the scenarios")
    options = parser.parse_args()
    try:
        wanted = chosen(SCENARIOS, options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print("\n".join(f"{item.name:16} {item.expected}" for item in wanted))
        return 0
    if install := missing_tools():
        print(f"programs are missing: {install}")
        return 2
    project = find_project()
    # Where this Python is the guest's, it need not compile the harness anew.
    compileall.compile_dir(project.root / "harness", quiet=2)
    try:
        image = find_image(options.cache or project.state, project.root, options.mirror)
        with Rig(image, project) as rig:
            print(f"the guest is up after {rig.guest.boot_s:.0f} s", flush=True)
            outcomes = []
            for scenario in wanted:
                outcomes.append(attempt(scenario, rig))
                last = outcomes[-1]
                state = "well" if last.ok else "FAILED"
                print(f"{scenario.name}: {state}, {last.seconds:.0f} s", flush=True)
                if not last.ok:
                    print(printable_lines(last.happened), flush=True)
    except HilError as error:
        print(error, file=sys.stderr)
        return 2
    print(report(outcomes))
    return int(any(not outcome.ok for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
