"""What each emulated board of ours is made of, in lines without blanks and comments.

python -m benchmarks.whole.lines

Its own are its table in boards.toml, its environments in platformio.ini, its JSON, its linker
script and, where it has one, the header of its machine; what another board uses too is counted with
the first. The port is what its machine's family needs in C++, and how many boards use it.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from platformio.project.config import ProjectConfig

from harness.board.registry import BOARDS_FILE, Board, load_registry
from harness.project import find_project

PROJECT = find_project()
PLATFORM = PROJECT.firmware / "platform"
PORTS = PROJECT.firmware / "src" / "port"
INI = PROJECT.root / "platformio.ini"
SHARED = re.compile(r"bare|cortex_m|riscv|emulated|ring|paint|port\.h|window_pin")
"""Files of `port/` that more than one family uses."""

_COMMENT = {
    ".toml": r"#.*",
    ".ini": r";.*",
    ".json": r"$^",
    ".ld": r"/\*.*?\*/",
    ".h": r"//.*|#pragma once",
    ".cpp": r"//.*",
}
_TABLE = r"\[{0}(?:\.\w+)?\]\n(?:(?!\[\w).*\n)*"


def lines(text: str, suffix: str) -> int:
    """Lines that say something, in a file of that kind."""
    code = re.sub(_COMMENT[suffix], "", text, flags=re.DOTALL if suffix == ".ld" else 0)
    return sum(bool(line.strip()) for line in code.splitlines())


def lines_of(path: Path) -> int:
    return lines(path.read_text(encoding="utf-8"), path.suffix)


def tables(text: str, names: Iterable[str], suffix: str) -> int:
    """Lines of the tables of these names, and of those below them."""
    found = (match for name in names for match in re.findall(_TABLE.format(re.escape(name)), text))
    return sum(lines(table, suffix) for table in found)


def port_files(filters: Iterable[str]) -> set[Path]:
    """Files of a family: those of `port/` that only its boards compile, and what they include."""
    named = re.findall(r"\+<port/([^>]+)>", " ".join(filters))
    found = {path for pattern in named for path in PORTS.glob(pattern)}
    for path in list(found):
        headers = re.findall(r'#include "port/([^"]+)"', path.read_text(encoding="utf-8"))
        found |= {PORTS / header for header in headers}
    return {path for path in found if not SHARED.match(path.name)}


def ours(board: Board, config: ProjectConfig) -> bool:
    """Whether its firmware is all ours, built by the platform in `firmware/platform`."""
    return str(config.get(f"env:{board.env['aot']}", "platform")).startswith("symlink:")


def parts(board: Board, config: ProjectConfig) -> tuple[dict[str, Path], set[Path]]:
    """Files of the board's own by what they are, and those of its port."""
    env = f"env:{board.env['aot']}"
    described = PLATFORM / "boards" / f"{config.get(env, 'board')}.json"
    build = json.loads(described.read_text())["build"]
    own = {"JSON": described, "linker script": PLATFORM / build["ldscript"]}
    if "machine_header" in build:
        header = PROJECT.firmware / "src" / build["machine_header"]
        own["header"] = header
        timer = re.search(r'#include "(port/[^"]+)"', header.read_text())
        ported = port_files(config.get(env, "build_src_filter"))
        return own, ported | ({PROJECT.firmware / "src" / timer[1]} if timer else set())
    return own, port_files(config.get(env, "build_src_filter"))


def main() -> None:
    config = ProjectConfig(str(INI))
    registry, ini = BOARDS_FILE.read_text(), INI.read_text()
    boards = [board for board in load_registry().boards if board.emulator and ours(board, config)]
    made = {board.id: parts(board, config) for board in boards}
    counted: set[Path] = set()
    print(f"{'board':15}{'own':>5} = toml + ini + JSON + linker script + header; port, its boards")
    for board in boards:
        own, port = made[board.id]
        sizes = [tables(registry, [board.id], ".toml")]
        sizes += [tables(ini, [f"env:{env}" for env in board.env.values()], ".ini")]
        for path in (own["JSON"], own["linker script"], own.get("header")):
            sizes.append(lines_of(path) if path is not None and path not in counted else 0)
        counted |= set(own.values())
        users = sum(bool(port & other) for _, other in made.values())
        print(
            f"{board.id:15}{sum(sizes):5} = {' + '.join(map(str, sizes)):24}; "
            f"{sum(map(lines_of, port))}, {users}"
        )


if __name__ == "__main__":
    main()
