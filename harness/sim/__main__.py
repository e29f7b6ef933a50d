"""Serve a simulated chip that runs an ELF file.

    python -m harness.sim nrf52840 firmware.elf

prints the path of its port and serves it until its standard input closes or it is interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.sim.chips import CHIPS, WIRES
from harness.sim.errors import SimulationError
from harness.sim.serve import serve


def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m harness.sim`."""
    parser = argparse.ArgumentParser(prog="python -m harness.sim", description=__doc__)
    parser.add_argument("chip", choices=sorted(CHIPS))
    parser.add_argument("elf", type=Path)
    parser.add_argument("--wire", choices=WIRES, default=WIRES[0])
    parser.add_argument("--cycles-per-instruction", type=int, default=1)
    parser.add_argument("--bootloader", action="store_true", help="as a Nano 33 BLE has it")
    parser.add_argument("--listing", type=Path, help="file that says what is plugged in")
    parser.add_argument("--pins", type=Path, help="file that edges of pins are written to")
    options = parser.parse_args(arguments)
    try:
        build = CHIPS[options.chip]
        chip, wire = build(
            options.elf, options.wire, options.cycles_per_instruction, options.bootloader
        )
        if options.pins is not None:
            if not hasattr(wire, "edge_log"):
                raise SimulationError("this chip does not tell edges of its pins")
            wire.edge_log = options.pins.open("w", encoding="ascii")
        serve(chip, wire, stop_fd=sys.stdin.fileno(), listing=options.listing)
    except KeyboardInterrupt:
        pass
    except SimulationError as error:
        print(f"simulation ended: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
