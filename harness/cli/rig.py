"""`hil doctor`, `hil boards` and `hil udev`: the rig, before anything runs on it."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from harness.board.ports import (
    WATCH_S,
    Listing,
    SerialPort,
    candidates,
    changes,
    in_bootloader,
    kind_of,
    list_serial_ports,
    rig_lines,
)
from harness.board.registry import Board, Registry, added_boards, load_registry
from harness.board.rigfile import Plugged, RigFile, job_matrix
from harness.board.runtimes import added_runtimes
from harness.board.udev import udev_rules
from harness.cli.command import Command
from harness.cli.machine import add_json, print_json
from harness.cli.settings import add_settings, sources_of
from harness.cli.work import rig_file
from harness.errors import WrongUse
from harness.firmware.runtimes import takes, usable_runtimes
from harness.outcome import Outcome
from harness.pool.hold import Pool
from harness.project import find_project
from harness.rig.doctor import Finding, examine
from harness.rig.doctor_bench import examine_rig
from harness.settings import COORDINATOR, LABGRID, RIG, TFLM
from harness.terminal import say
from harness.text import table, wrapped


def doctor(options: argparse.Namespace) -> int:
    """Check what is installed and plugged in, and print how to get what is missing."""
    project = find_project()
    findings = examine(project)
    sources = sources_of(options)
    pool = Pool(program=sources[LABGRID], coordinator=sources[COORDINATOR])
    findings += examine_rig(sources[RIG], load_registry(), project, sources[TFLM], pool)
    sick = any(not item.ok and item.needed for item in findings)
    if options.json:
        print_json("doctor", {"ok": not sick, "findings": findings})
    else:
        _show(findings)
    return (Outcome.SICK if sick else Outcome.PASSED).exit_status


def _show(findings: Iterable[Finding]) -> None:
    for finding in findings:
        mark = "ok" if finding.ok else "MISSING" if finding.needed else "absent"
        print(f"{mark:8}{finding.point}: {finding.detail}")
        if not finding.ok and finding.cure:
            cure = finding.cure.replace("\n", "\n           ")
            print(f"        -> {cure}")


def boards(options: argparse.Namespace) -> int:
    """List the boards of registry and rig file, where each is plugged in, and unknown ports."""
    if options.json and (options.matrix or options.watch):
        raise WrongUse("--json lists boards; --matrix is JSON already, and --watch has no end")
    file, registry = rig_file(sources_of(options))
    if options.matrix:
        print(job_matrix(file))
        return 0
    if options.watch:
        return watch(registry)
    listing = list_serial_ports()
    places = [(board, *whereabouts(board, file, listing)) for board in registry.boards]
    known = {port.path for _, _, ports in places for port in ports}
    unknown = [port for port in listing if port.usb is not None and port.path not in known]
    if options.json:
        found = [_board_object(*place) for place in places]
        added = list(added_lines(registry))
        print_json("boards", {"boards": found, "added": added, "unknown": unknown})
        return 0
    rows = [
        (board.id, board.attachment, "/".join(board.runtimes), board.mcu, place)
        for board, place, _ in places
    ]
    print(table(("board", "attachment", "runtimes", "mcu", "port"), rows))
    for line in added_lines(registry):
        print("\n".join(wrapped(line)))
    for port in unknown:
        print(f"unknown: {port}")
    return 0


def _board_object(board: Board, place: str, ports: Listing) -> dict[str, Any]:
    return {
        "board": board.id,
        "kind": board.kind,
        "attachment": board.attachment,
        "emulated": board.emulated,
        "runtimes": board.runtimes,
        "mcu": board.mcu,
        "place": place,
        "ports": ports,
        "in_bootloader": len(ports) == 1 and in_bootloader(board, ports[0]),
    }


def added_lines(registry: Registry) -> Iterator[str]:
    """What distributions bring: boards, and runtimes with the boards that they do not take."""
    for packaged, boards, _ in added_boards():
        if boards:
            ids = ", ".join(board.id for board in boards)
            yield f"from {packaged.distribution} {packaged.version}: {ids}"
    usable = usable_runtimes()
    for added in added_runtimes():
        if (runtime := usable.get(added.id)) is not None:
            built = [board for board in registry.boards if board.takes_firmware]
            without = [board.id for board in built if not takes(runtime, board)]
            but = f", but not on {', '.join(without)}" if without else ""
            yield (
                f"runtime {added.id}, from {added.distribution} {added.version}: "
                f"{runtime.description}; on every board that firmware is built for{but}"
            )


def whereabouts(board: Board, file: RigFile, listing: Listing) -> tuple[str, Listing]:
    """Where a board is, in words, and the ports that could be it."""
    if board.emulated:
        return "-", ()
    plugged = file.plugged(board.id) or Plugged(id=board.id, kind=board.kind)
    if plugged.pooled is not None:
        return f"labgrid:{plugged.pooled}", ()
    found = candidates(board, plugged, listing, neighbours=file.neighbours(board.id))
    if len(found) == 1:
        note = " (in its bootloader)" if in_bootloader(board, found[0]) else ""
        return f"{found[0].path}{note}", found
    if found:
        return f"one of {', '.join(port.path for port in found)}", found
    if plugged.port is not None and ("://" in plugged.port or os.path.exists(plugged.port)):
        return plugged.port, ()
    return "absent", ()


def watch(registry: Registry) -> int:
    """Print each port that comes or goes, until interrupted."""
    before: Listing = ()
    say("watching serial ports; Ctrl-C ends")
    while True:
        listing = list_serial_ports()
        for event, port in changes(before, listing):
            print(f"{event:10}{port}", flush=True)
            if event == "plugged" and port.usb is not None:
                print(_suggestion(port, listing, registry), flush=True)
        before = listing
        time.sleep(WATCH_S)


def _suggestion(port: SerialPort, listing: Listing, registry: Registry) -> str:
    kind = kind_of(port, registry.boards)
    if kind is not None and in_bootloader(kind, port):
        return f"a {kind.id} in its bootloader: hil flash --board {kind.id} --port {port.path}"
    board_id, kind_id = (kind.id, kind.id) if kind else ("NAME", "KIND")
    return rig_lines(board_id, kind_id, port, listing)


def udev(options: argparse.Namespace) -> int:
    """Print udev rules for the boards of registry and rig file; docs/rig.md says where they go."""
    file, _ = rig_file(sources_of(options))
    print(udev_rules(load_registry(), file.own), end="")
    return 0


def register(command: Command) -> None:
    """Hook the commands in."""
    examining = command(doctor)
    add_settings(examining, "doctor")
    add_json(examining)
    listing = command(boards)
    add_settings(listing, "boards")
    add_json(listing)
    listing.add_argument("--matrix", action="store_true", help="the rig's, as JSON for CI jobs")
    listing.add_argument("--watch", action="store_true", help="show what is plugged in and out")
    add_settings(command(udev), "udev")
