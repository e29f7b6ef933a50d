"""README and docs/: links lead somewhere, names and commands are there, examples run."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.board.registry import load_registry
from models.__main__ import main
from models.catalogue import find

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
TEXT = {path.name: path.read_text() for path in PAGES}
ON_A_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def blocks(page: str, language: str = "") -> list[str]:
    """Fenced blocks of a page in a language, plain ones if none is given."""
    fenced = re.findall(r"^ *```(\w*)\n(.*?)^ *```", TEXT[page], re.MULTILINE | re.DOTALL)
    return [text for named, text in fenced if named == language]


def commands(program: str) -> set[str]:
    """Calls of a program in blocks and between backticks of every page, with their arguments."""
    found = re.compile(rf"(?:^|`|\$ ){program} ([^`\n#&|;]+)", re.MULTILINE)
    return {match.strip() for text in TEXT.values() for match in found.findall(text)}


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@ON_A_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked), target


def test_readme_and_index_lead_to_every_page() -> None:
    for page in DOCS:
        assert page.name == "index.md" or f"({page.name})" in TEXT["index.md"]
        assert page.name == "index.md" or f"(docs/{page.name})" in TEXT["README.md"]


@ON_A_PAGE
def test_every_path_that_is_named_exists(page: Path) -> None:
    folders = "harness|firmware|models|tests|benchmarks|docs"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*\w/?)`", page.read_text()):
        made = path.startswith("models/artifacts/") or path == "models/quadrant.py"
        # In the tables of architecture.md paths are those inside of harness/.
        assert made or (ROOT / path).exists() or (ROOT / "harness" / path).exists(), path


def test_every_module_of_the_journeys_exists() -> None:
    named = re.findall(r"`([a-z]+/[\w/]+(?:\.py|/))`", TEXT["architecture.md"])
    assert len(named) > 15
    for path in named:
        assert (ROOT / "harness" / path).exists() or (ROOT / path).exists(), path


def test_architecture_has_every_package_in_the_order_of_imports() -> None:
    text = TEXT["architecture.md"]
    (order,) = re.findall(r"^single files < (.*)$", text, re.MULTILINE)
    packages = re.split(r" < |, ", order)
    folders = {path.parent.name for path in (ROOT / "harness").glob("*/__init__.py")}
    assert set(packages) == folders - {"suite"}
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)[: len(packages)] == packages


def test_every_board_has_its_line_with_its_runtimes() -> None:
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \| ([^|]+) \|", TEXT["boards.md"], re.MULTILINE)
    told = {
        board: re.findall(r"`(\w+)`", runtimes)
        for boards, _, runtimes in rows
        for board in re.findall(r"`([\w-]+)`", boards)
    }
    for board in load_registry().boards:
        assert told[board.id] == list(board.runtimes)
        assert f"`{board.id}`" in TEXT["README.md"]


def test_every_benchmark_named_is_a_module() -> None:
    named = {name for text in TEXT.values() for name in re.findall(r"-m (benchmarks[.\w]+)", text)}
    assert len(named) > 10
    assert [name for name in named if importlib.util.find_spec(name) is None] == []


def test_every_make_target_named_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {command.split()[0] for command in commands("make")} <= targets


def test_every_training_command_names_a_recipe_with_that_variant_and_schedule() -> None:
    trained = [command.split() for command in commands("hil train") if command[0].islower()]
    assert len(trained) > 10
    for name, *options in trained:
        if name == "quadrant":  # the one that docs/models.md adds
            continue
        recipe = find(name)
        given = dict(zip(options[::2], options[1::2], strict=True))
        assert given.get("--variant", recipe.default_variant) in recipe.variants
        assert given.get("--recipe", recipe.default_schedule) in recipe.schedules or not (
            recipe.schedules
        )


def test_every_command_of_models_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands("python -m models"):
        with pytest.raises(SystemExit) as ended:
            main([command.split()[0], "--help"])
        known = re.findall(r"--[a-z-]+", capsys.readouterr().out)
        assert ended.value.code == 0
        assert set(re.findall(r"--[a-z-]+", command)) <= set(known), command


def test_the_lessons_loss_is_what_the_command_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown,) = (block for block in blocks("course.md") if block.startswith("$ hil loss"))
    command, _, said = shown.partition("\n")
    monkeypatch.chdir(tmp_path)
    assert main(command.split()[2:]) == 0
    assert capsys.readouterr().out == said


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readmes_test_file_passes_with_the_output_it_shows(tmp_path: Path) -> None:
    own, _ = blocks("README.md", "python")
    name = own.partition("\n")[0].removeprefix("# ")
    (tmp_path / name).write_text(own)
    (shown,) = (block for block in blocks("README.md") if f"pytest {name}" in block)
    said = run(tmp_path, "-m", "pytest", "-p", "harness.plugin", name, "--board", "qemu-m4")
    for line in shown.splitlines()[2:]:
        assert line == "..." or line in said.splitlines()


def test_the_readmes_program_runs_on_public_names_alone(tmp_path: Path) -> None:
    _, program = blocks("README.md", "python")
    assert set(re.findall(r"^(?:from|import) (\w\S*)", program, re.MULTILINE)) == {"harness"}
    (tmp_path / "program.py").write_text(program)
    assert re.search(r"0\.9\d+.*PASS", run(tmp_path, "program.py"))
