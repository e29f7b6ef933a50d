"""What a firmware that is not ours is told to compile, by make, CMake and other programs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from fakes.trees import SOURCES, THIRD_PARTY, made

from harness.board.registry import load_registry
from harness.board.rigfile import load_rig
from harness.errors import RigError, ToolMissing
from harness.firmware.model_list import FOR_CMAKE, FOR_MAKE, FOR_PROGRAMS, write_lists
from harness.firmware.platformio import Job
from harness.firmware.runtime import Given
from harness.firmware.runtimes import runtime_of
from harness.firmware.tflm_library import find_library
from harness.model.resolve import resolve_model
from harness.project import Project, find_project

PROJECT = find_project()
SINE = resolve_model("sine", PROJECT.artifacts)
RIG = Path(__file__).parents[1] / "outside" / "rig.toml"
NODE = load_rig(RIG, load_registry()).extend(load_registry())["node"]
BAKENN = """
set(BAKENN_MODEL_SOURCES
  "${CMAKE_CURRENT_LIST_DIR}/bknn_model.c"
)
set(BAKENN_MODEL_INCLUDE_DIRS
  "${CMAKE_CURRENT_LIST_DIR}/include"
)
set(BAKENN_MODEL_COMPILE_DEFINITIONS
  ONE
  TWO=2
)
"""


def asked(makefile: Path, *names: str) -> list[list[str]]:
    """Words of make's variables, with the folders given."""
    text = makefile.read_text() + "".join(f"$(info $({name}))\n" for name in names) + "all: ;\n"
    words = ["make", "-sf", "-", "HIL_MODEL_DIR=/m", "HIL_FIRMWARE_DIR=/f"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def test_generated_sources_and_the_runtimes_are_listed_by_bakenns_list(tmp_path: Path) -> None:
    (tmp_path / "model_aot.cpp").touch()
    (tmp_path / "not_listed.c").touch()
    (tmp_path / "bakenn_sources.cmake").write_text(BAKENN)
    write_lists(tmp_path, Job(board=NODE, runtime="aot", artifact=SINE), runtime_of("aot"))
    names = ("HIL_MODEL_SOURCES", "HIL_MODEL_INCLUDES", "HIL_MODEL_DEFINES", "HIL_RUNTIME_SOURCES")
    assert asked(tmp_path / FOR_MAKE, *names) == [
        ["/m/model_aot.cpp", "/m/bknn_model.c"],
        ["/m/include"],
        ["ONE", "TWO=2"],
        ["/f/src/runtime/aot.cpp", "/f/src/runtime/aot_operators.cpp"],
    ]
    assert (
        'set(HIL_MODEL_INCLUDES "${HIL_MODEL_DIR}/include")' in (tmp_path / FOR_CMAKE).read_text()
    )


def test_without_such_a_list_all_generated_c_is_compiled(tmp_path: Path) -> None:
    for name in ("a.c", "b.cpp", "a.h"):
        (tmp_path / name).touch()
    write_lists(tmp_path, Job(board=NODE, runtime="aot", artifact=SINE), runtime_of("aot"))
    lists = json.loads((tmp_path / FOR_PROGRAMS).read_text())
    assert lists["HIL_MODEL_SOURCES"] == ["{HIL_MODEL_DIR}/b.cpp", "{HIL_MODEL_DIR}/a.c"]
    assert lists["HIL_MODEL_INCLUDES"] == ["{HIL_MODEL_DIR}"]
    assert lists["HIL_LIBRARY_SOURCES"] == lists["HIL_LIBRARY_DEFINES"] == []


def test_of_tflm_core_and_kernels_of_the_operators_are_listed(tmp_path: Path) -> None:
    kernel = "tensorflow/lite/micro/kernels/fully_connected.cc"
    more = {
        kernel: "TFLMRegistration Register_FULLY_CONNECTED() {",
        "tensorflow/lite/micro/micro_log.cc": "",
        "tensorflow/lite/micro/micro_log_test.cc": "",
    }
    tree = made(tmp_path / "tree", SOURCES, THIRD_PARTY, more)
    library = find_library(tree, tmp_path / "cache")
    job = Job(board=NODE, runtime="tflm", artifact=SINE, library=library)
    (tmp_path / "model").mkdir()
    write_lists(tmp_path / "model", job, runtime_of("tflm"))
    lists = json.loads((tmp_path / "model" / FOR_PROGRAMS).read_text())
    named = {str(Path(name).relative_to(tree)) for name in lists["HIL_LIBRARY_SOURCES"]}
    assert {kernel, "tensorflow/lite/micro/micro_log.cc"} <= named
    assert not any("conv" in name or "_test" in name for name in named)
    assert f"{tree}/third_party/flatbuffers/include" in lists["HIL_LIBRARY_INCLUDES"]
    assert lists["HIL_LIBRARY_DEFINES"] == ["TF_LITE_STATIC_MEMORY"]
    runtime = "{HIL_FIRMWARE_DIR}/src/runtime"
    assert {f"{runtime}/tflm.cpp", f"{runtime}/tflm_log.cpp"} <= {*lists["HIL_RUNTIME_SOURCES"]}
    assert not any("aot" in name for name in lists["HIL_RUNTIME_SOURCES"])


def test_tflm_in_a_firmware_that_is_not_ours_takes_a_source_tree(tmp_path: Path) -> None:
    job = Job(board=NODE, runtime="tflm", artifact=SINE)
    project = Project(root=PROJECT.root, state=tmp_path / "state")
    plan = runtime_of("tflm").plan
    with pytest.raises(ToolMissing, match="tree of TFLite Micro not found; runtime tflm on node"):
        plan(job, Given(project=project))
    packed = {"library.json": json.dumps({"name": "tflm", "version": "3"})}
    library = made(tmp_path / "lib", SOURCES, THIRD_PARTY, packed)
    with pytest.raises(RigError, match="tflm 3 is packed for PlatformIO, and the board's own"):
        plan(job, Given(project=project, tflm=library))
