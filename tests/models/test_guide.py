"""What docs/models.md says of models, tried as a new user would."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.firmware.aot_own import KINDS
from harness.firmware.aot_pass import GENERATED
from harness.firmware.support import FIRMWARE_FLASH_BYTES, FIRMWARE_RAM_BYTES
from models.catalogue import recipes

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "models.md").read_text()
NEEDED = ("harness", "models", "firmware", "platformio.ini", "conftest.py", "pyproject.toml")


def test_every_recipe_has_a_line_in_the_guides_table() -> None:
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", GUIDE, re.MULTILINE))
    assert listed >= set(recipes())


def kinds(text: str) -> set[str]:
    """Operators that a text names."""
    return set(re.findall(r"[A-Z][A-Z0-9_]{2,}", text))


def test_guide_names_the_operators_of_aot_and_the_share_of_the_firmware() -> None:
    of_generator, _, of_ours = GUIDE.partition("`aot` compiles ")[2].partition(
        "Our own C computes "
    )
    assert kinds(of_generator.partition(".")[0]) == set(GENERATED)
    assert kinds(of_ours.partition("`aot` refuses")[0]) - {"TFLM"} == KINDS
    said = re.search(r"(\d+) KB of flash and (\d+) KB of RAM for core", " ".join(GUIDE.split()))
    assert said and (int(said[1]) * 1000, int(said[2]) * 1000) == (
        FIRMWARE_FLASH_BYTES,
        FIRMWARE_RAM_BYTES,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a user clones, without the artifacts."""
    for name in NEEDED:
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(
                source, target, ignore=shutil.ignore_patterns("artifacts", "__pycache__")
            )
        else:
            shutil.copy(source, target)
    return tmp_path


@pytest.mark.train
def test_model_of_the_guide_trains_and_runs_on_the_emulated_board(checkout: Path) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("training needs the [train] extra")
    code = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    commands = re.search(r"```\n(hil train quadrant\npytest .*?)\n```", GUIDE, re.DOTALL)
    assert code and commands
    (checkout / "models" / "quadrant.py").write_text(code[1])
    modules = {"hil": "harness.cli", "pytest": "pytest"}
    for command in commands[1].splitlines():
        program, *arguments = command.split(" ")
        done = subprocess.run(
            [sys.executable, "-m", modules[program], *arguments],
            cwd=checkout,
            env={
                **os.environ,
                "PYTHONPATH": str(checkout),
                "HIL_LOCK_DIR": str(checkout / "locks"),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^  quadrant +0/256 ", done.stdout, re.MULTILINE), done.stdout
    manifest = json.loads((checkout / "models/artifacts/quadrant/manifest.json").read_text())
    assert manifest["dtypes"]["int8"]["metrics"]["accuracy"] >= 0.95


def test_example_of_the_guide_is_as_well_kept_as_the_code(tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is in the [dev] extra")
    code = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert code
    (tmp_path / "quadrant.py").write_text(code[1])
    config = ["--config", str(ROOT / "pyproject.toml")]
    for mode in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *mode, *config, "--no-cache", str(tmp_path)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
