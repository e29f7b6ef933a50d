"""Names in a model's file, and the file's own, are never code in what is generated of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.rewritten import rewritten

from harness.board.registry import load_registry
from harness.errors import ModelError
from harness.firmware.aot import generate_aot
from harness.firmware.tflm import distinct_operators, generate_tflm
from harness.model.artifact import Artifact
from harness.model.resolve import inspect_model
from harness.project import find_project

SINE = (find_project().artifacts / "sine" / "sine_int8.tflite").read_bytes()
EVIL = '*/\\\n#include "evil"\nint evil = system("evil"); //??/\n$(evil)`evil`${evil}'
BUILD_ID = "00" * 16


def named(name: str, folder: Path) -> Artifact:
    """The sine, with a name wherever a file can have one, in a file of that name."""

    def rename(_: Any, model: Any) -> None:
        model.description = name.encode()
        model.subgraphs[0].name = name.encode()
        for number, tensor in enumerate(model.subgraphs[0].tensors):
            tensor.name = f"{name}{number}".encode()

    path = folder / f"{name.replace('/', '')}.tflite"
    path.write_bytes(rewritten(SINE, rename))
    return inspect_model(path)


def with_tflm(artifact: Artifact, folder: Path) -> None:
    generate_tflm(artifact, arena_bytes=2048, version=EVIL, build_id=BUILD_ID, folder=folder)


def with_aot(artifact: Artifact, folder: Path) -> None:
    board = load_registry()["qemu-m4"]
    generate_aot(artifact, board, build_id=BUILD_ID, folder=folder, profile=True)


def lines_with(word: str, folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        assert word not in path.name
        if path.is_file():
            yield from (line for line in path.read_text().splitlines() if word in line)


@pytest.mark.parametrize("generate", [with_tflm, with_aot])
def test_names_are_in_one_comment_and_in_strings_and_nowhere_else(
    generate: Callable[[Artifact, Path], None], tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    model = named(EVIL, tmp_path)
    assert model.name.isprintable() and "evil" in model.name
    generate(replace(model, name=EVIL), tmp_path / "made")
    comment, *strings = lines_with("evil", tmp_path / "made")
    assert comment.startswith("// Generated for ") and not comment.endswith(("\\", "/"))
    assert "evil" in comment and strings
    for line in strings:
        literal = line.strip().removesuffix(",")
        assert literal[0] == literal[-1] == '"' and '"' not in literal[1:-1]


@pytest.mark.parametrize("operator", [EVIL, "__doc__", "CUSTOM", "", "ADD(); system"])
def test_custom_operator_whose_name_is_code_is_refused(operator: str, tmp_path: Path) -> None:
    def rename(_: Any, model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode, code.deprecatedBuiltinCode = 32, 32
        code.customCode = operator.encode()

    path = tmp_path / "model.tflite"
    path.write_bytes(rewritten(SINE, rename))
    with pytest.raises(ModelError, match="is custom: TFLM has no kernel") as refused:
        distinct_operators(inspect_model(path))
    assert str(refused.value).isprintable()
