"""Boards are opened in the main thread: QEMU ends with the thread that started it.

It is killed by a parent-death signal (`setpriv --pdeathsig` in harness/rig/qemu.py), which Linux
sends when the thread ends that started the process, though the program goes on: prctl(2).
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTERS = {"Thread", "ThreadPoolExecutor", "start_new_thread", "to_thread", "run_in_executor"}
OPENERS = {"open_board", "QemuProcess", "attached", "open"}

KNOWN = {
    "firmware/fetch.py": "asks a registry",
    "meter/bounded.py": "calls a stranger's meter",
    "meter/lines.py": "reads a meter",
    "meter/ppk2_capture.py": "reads a meter",
    "process.py": "reads what a process says",
    "rig/doctor_meters.py": "asks a meter",
    "rig/power.py": "looks at a port",
    "rig/references.py": "runs the model on this machine",
    "terminal.py": "shows progress",
}
"""Files that start threads, and what for. Whoever adds one says that it opens no board."""


def starters() -> set[str]:
    found = set()
    for path in (ROOT / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func
                name = getattr(called, "attr", getattr(called, "id", ""))
                if name in STARTERS:
                    found.add(path.relative_to(ROOT / "harness").as_posix())
    return found


def test_no_thread_of_the_harness_opens_a_board() -> None:
    assert starters() == set(KNOWN)
    for name in KNOWN:
        tree = ast.parse((ROOT / "harness" / name).read_text())
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness.rig")
            for alias in node.names
        }
        assert not imported & OPENERS, name
