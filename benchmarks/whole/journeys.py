"""How many modules a reader passes from `pytest --board X` to the opened link.

python benchmarks/whole/journeys.py [PYTEST ARGUMENT ...]

Runs one board test in this process, on each of BOARDS or as the arguments say, and records which
modules of the harness are entered, from the plugin's fixture `board` (or `open_board`) until the
Link is made, and until HELLO was answered. Left out are the files that all modules use (errors,
progress and the like) and what happens inside a build; modules in which something is only looked
up, in a record or by key, are counted apart. Of the harness it knows but a few names, so that it
measures old checkouts too: run it there, by their interpreter.

A module's floor is the longest chain of imports below it. A climb is a step, in the order in which
modules are first entered, to one on a higher floor.
"""

import ast
import sys
import tempfile
from collections.abc import Generator, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

BOARDS = ("virtual", "qemu-m4")
STARTS = ("board", "open_board")
ENDS = {("Link", "__init__", "call"): "Link", ("Dut", "greet", "return"): "HELLO"}
BASE = {"errors", "files", "text", "progress", "project", "outcome", "terminal", "process"}
BASE |= {"console", "ending", "buildlog", "version"}
LOOKUPS = ("__getitem__", "<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")


class Journey:
    """A pytest plugin that records the modules entered while the first board is opened."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.looked_up: set[str] = set()
        self.until: dict[str, tuple[str, ...]] = {}
        self.stack: list[str] = []
        self._state = "before"
        self._building = 0

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self) -> Generator[None, Any, Any]:
        """Watch fixtures, of which `board` may open one."""
        return (yield from self._watched())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self) -> Generator[None, Any, Any]:
        """Watch the test, which may open one itself."""
        return (yield from self._watched())

    def _watched(self) -> Generator[None, Any, Any]:
        sys.setprofile(self._see)
        try:
            return (yield)
        finally:
            sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        if event not in ("call", "return") or self._state == "over":
            return
        name, owner = frame.f_code.co_name, type(frame.f_locals.get("self")).__name__
        if owner == "Builder" or name == "virtual_build_id":
            self._building += 1 if event == "call" else -1
        elif not self._building and (module := module_of(frame)) is not None:
            if name in STARTS and self._state == "before":
                self._state = "on the way"
            if self._state == "on the way" and event == "call":
                self._enter(module, frame)
            end = ENDS.get((owner, name, event))
            if end == "Link":
                self.stack = list(dict.fromkeys([module, *modules_above(frame)]))[::-1]
            if end and self._state == "on the way":
                self.until[end] = tuple(self.entered)
            if event == "return" and name == "open_board":
                self._state = "over"

    def _enter(self, module: str, frame: FrameType) -> None:
        if is_lookup(frame):
            self.looked_up.add(module)
        elif module not in self.entered:
            self.entered.append(module)


def module_of(frame: FrameType) -> str | None:
    """Name of a frame's module below `harness`; None for other code and for what all use."""
    name = frame.f_globals.get("__name__", "")
    short = name.removeprefix("harness.")
    # Generated methods of records have no file.
    generated = frame.f_code.co_filename == "<string>"
    return None if short == name or short in BASE or generated else short


def is_lookup(frame: FrameType) -> bool:
    """Whether a frame only looks something up: in a record, or by key."""
    record = hasattr(frame.f_locals.get("self"), "__dataclass_fields__")
    return record or frame.f_code.co_name in LOOKUPS


def modules_above(frame: FrameType) -> Iterator[str]:
    """Modules of the callers, innermost first, up to the fixture."""
    above = frame.f_back
    while above is not None:
        module = module_of(above)
        if module is not None:
            yield module
            if above.f_code.co_name == "board":
                return
        above = above.f_back


@cache
def floor(module: str, package: Path) -> int:
    """Length of the longest chain of imports below a module."""
    path = package.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return 1 + max((floor(name, package) for name in imports(file, package)), default=0)


def imports(file: Path, package: Path) -> set[str]:
    """Modules of the harness that a file imports when it is loaded."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}".removeprefix("harness.")
                whole = package.joinpath(*name.split("."))
                found.add(name if whole.with_suffix(".py").is_file() else name.rpartition(".")[0])
    return found - {""}


def show(what: str, journey: Journey, package: Path) -> None:
    """Modules and climbs, to the link and to HELLO."""
    print(f"{what}: on the stack when the Link is made: {len(journey.stack)}, {journey.stack}")
    for end, entered in journey.until.items():
        floors = [floor(module, package) for module in entered]
        climbs = sum(below < above for below, above in pairwise(floors))
        print(f"  until {end}: {len(entered)} modules, {climbs} climbs; (floors)")
        print("   ", ", ".join(f"{name} ({at})" for name, at in zip(entered, floors, strict=True)))
    only = sorted(journey.looked_up - set(journey.entered))
    print(f"  looked up in: {len(only)} more, {', '.join(only)}")


def travel(what: str, arguments: list[str], package: Path) -> int:
    """Run pytest once and show the journey; returns pytest's status."""
    journey = Journey()
    status = pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=[journey])
    show(what, journey, package)
    return int(status)


def main(arguments: list[str]) -> int:
    """Open each board once, or run pytest with the arguments given."""
    import harness

    package = Path(harness.__file__).parent
    if arguments:
        return travel(" ".join(arguments), arguments, package)
    with tempfile.TemporaryDirectory() as folder:
        statuses = []
        for board in BOARDS:
            test = Path(folder, f"test_{board.replace('-', '_')}.py")
            test.write_text("def test_it(board): pass\n")
            options = [f"--rootdir={folder}", "-p", "harness.plugin", "--board", board]
            statuses.append(travel(board, [*options, str(test)], package))
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
