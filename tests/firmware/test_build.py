"""Builds with the real PlatformIO and compiler, in a state folder shared with the board tests."""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.processes import alive, pid_in
from fakes.sources import copied_sources

from benchmarks.whole.kills import slow_compiler
from harness.board.registry import load_registry
from harness.errors import (
    BuildFailed,
    CoreLacks,
    MissingKernel,
    ModelError,
    RigError,
    TooLarge,
    ToolMissing,
)
from harness.firmware.build import Builder, build_id
from harness.firmware.elf import elf_sections
from harness.firmware.failure import explain_failure, first_errors
from harness.firmware.platformio import Job
from harness.firmware.tflm_library import Library
from harness.firmware.workfolder import WorkFolder
from harness.model.resolve import resolve_model
from harness.project import Project, find_project

ROOT = Path(__file__).parents[2]
QEMU_M4 = load_registry()["qemu-m4"]


@pytest.fixture(scope="module")
def project():
    return find_project()


@pytest.fixture(scope="module")
def sine(project):
    return resolve_model("sine", project.artifacts)


def test_firmware_says_what_memory_it_takes(project, sine):
    firmware = Builder(project).build(QEMU_M4, "aot", sine)
    names = {section.name for section in firmware.sections}
    assert {".text", ".bss"} <= names
    assert 2000 < firmware.flash_bytes < 40_000
    assert 1000 < firmware.ram_bytes < 100_000
    assert firmware.sections == elf_sections(firmware.elf)
    data = [section for section in firmware.sections if section.name == ".data"]
    assert all(section.in_flash and section.in_ram for section in data)


def test_code_beyond_the_boards_core_is_refused(project, sine):
    """Kernels with the DSP extension, which an emulated Cortex-M3 would run."""
    with pytest.raises(CoreLacks, match=r"smlad \(of the DSP extension\) in arm_nn_vec_mat_mult"):
        Builder(project).build(replace(QEMU_M4, core="cortex-m3"), "aot", sine)


def test_equal_inputs_are_built_once(project, sine):
    first = Builder(project).build(QEMU_M4, "aot", sine)
    written = first.elf.stat().st_mtime_ns
    assert Builder(project).build(QEMU_M4, "aot", sine) == first
    assert first.elf.stat().st_mtime_ns == written


def id_of(project: Project, board, artifact) -> str:
    return build_id(project, Job(board=board, runtime="aot", artifact=artifact))


def test_build_id_changes_with_sources_board_and_model(project, sine, tmp_path):
    copy = copied_sources(tmp_path)
    ids = {id_of(copy, QEMU_M4, sine), id_of(project, QEMU_M4, sine)}
    assert len(ids) == 1
    ids.add(id_of(copy, replace(QEMU_M4, aot_target="portable32"), sine))
    ids.add(id_of(copy, QEMU_M4, replace(sine, content=sine.content + b"\0")))
    (copy.firmware / "src" / "main.cpp").write_text("int main() {}\n")
    ids.add(id_of(copy, QEMU_M4, sine))
    (copy.root / "platformio.ini").write_text("")
    ids.add(id_of(copy, QEMU_M4, sine))
    assert len(ids) == 5


@pytest.fixture(scope="module")
def linker(tmp_path_factory):
    """Folder of a compiler that stops when it is to link, once there is a file `armed` in it."""
    folder = tmp_path_factory.mktemp("linker") / "bin"
    # Not by the folder's name: objects of a compiler of the same text are found again.
    here = '"${0%/*}"'
    stop = f"[ -e {here}/armed ] && echo $$ >{here}/pid && sleep 600"
    slow_compiler(folder, before=stop, making="firmware.elf")
    return folder


@pytest.fixture(scope="module")
def compiled(project, sine, linker, tmp_path_factory):
    """A copy of the sources with a state folder of its own, where the sine is built."""
    copy = copied_sources(tmp_path_factory.mktemp("compiled"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIL_ARM_GCC_DIR", str(linker))
        Builder(copy).build(QEMU_M4, "aot", sine)
    return copy


def test_a_new_model_recompiles_only_the_model(project, compiled, linker, monkeypatch):
    monkeypatch.setenv("HIL_ARM_GCC_DIR", str(linker))
    built = compiled.state / "build" / "qemu-m4-aot" / "pio" / "build"
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*.o")}
    other = resolve_model("sine-1-16-1", project.artifacts)
    Builder(compiled).build(QEMU_M4, "aot", other)
    after = {path: path.stat().st_mtime_ns for path in built.rglob("*.o")}
    again = {path.name for path, when in after.items() if before.get(path) != when}
    assert "model_aot.cpp.o" in again or "model_aot.o" in again
    assert not {
        name for name in again if not name.startswith(("model_aot", "bknn_", "bakenn_", "arm_"))
    }
    assert len(before) > len(again)


def test_objects_are_reused_and_the_firmware_is_the_same_with_them_and_without(
    project, sine, tmp_path, monkeypatch
):
    copy = copied_sources(tmp_path / "copy of it")
    kept = tmp_path / "objects"
    monkeypatch.setenv("HIL_OBJECT_CACHE", str(kept))
    made, logs = [], []
    for _ in range(2):
        shutil.rmtree(copy.state / "build", ignore_errors=True)
        shutil.rmtree(copy.state / "firmware", ignore_errors=True)
        made.append(Builder(copy).build(QEMU_M4, "aot", sine).elf.read_bytes())
        logs.append((copy.state / "build" / "qemu-m4-aot" / "build.log").read_text())
        if len(made) == 1:
            entries = sorted(path for path in kept.rglob("*") if path.is_file())
            for entry in entries[:3]:
                entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    assert made[0] == made[1]
    # The same sources, built wherever and with whatever objects this test run has.
    assert made[0] == Builder(project).build(QEMU_M4, "aot", sine).elf.read_bytes()
    assert str(tmp_path).encode() not in made[0]
    compiled = logs[0].count("Compiling ")
    assert (compiled, logs[0].count("Reused ")) == (len(entries), 0)
    assert (logs[1].count("Compiling "), logs[1].count("Reused ")) == (3, compiled - 3)


@pytest.fixture
def broken(compiled, linker, monkeypatch):
    """Adds a line to a source of the compiled copy until the test ends."""
    monkeypatch.setenv("HIL_ARM_GCC_DIR", str(linker))
    with ExitStack() as restored:

        def add(name, line):
            source = compiled.firmware / "src" / name
            before = source.read_text()
            restored.callback(source.write_text, before)
            source.write_text(f"{before}\n{line}\n")
            return compiled

        yield add


def test_a_header_by_way_of_a_macro_is_compiled_anew(sine, broken):
    copy = broken("port/mps2_an385.h", "#error seen")
    with pytest.raises(BuildFailed, match="mps2_an385.h.*#error seen"):
        Builder(copy).build(QEMU_M4, "aot", sine)


BUILD = """
import sys
from pathlib import Path
from harness.board.registry import load_registry
from harness.firmware.build import Builder
from harness.model.resolve import resolve_model
from harness.project import Project

model = resolve_model("sine-1-16-1", Path(sys.argv[2]))
project = Project(root=Path(sys.argv[1]), state=Path(sys.argv[1], "state"))
Builder(project).build(load_registry()["qemu-m4"], "aot", model)
"""


def test_a_killed_build_leaves_no_process_and_no_object_to_the_next(
    project, sine, compiled, linker, monkeypatch, capfd
):
    monkeypatch.setenv("HIL_ARM_GCC_DIR", str(linker))
    kept = compiled.state / "firmware"
    shutil.rmtree(kept)
    right = Builder(compiled).build(QEMU_M4, "aot", sine).elf.read_bytes()
    shutil.rmtree(kept)
    # All objects of the other model are there, and SCons has noted none of them.
    (linker / "armed").touch()
    command = [sys.executable, "-c", BUILD, str(compiled.root), str(project.artifacts)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        stopped = pid_in(linker / "pid")
        process.kill()
    (linker / "armed").unlink()
    again = Builder(compiled).build(QEMU_M4, "aot", sine)
    assert not alive(stopped)
    assert again.elf.read_bytes() == right
    assert "anew" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a;b", "a&b", "a$b", "a`b", "a(b", "a\\b", "a\nb"])
def test_a_checkout_whose_path_is_code_to_a_shell_is_refused_before_anything_runs(
    project, sine, tmp_path, name
):
    for odd in (
        Project(root=project.root, state=tmp_path / name),
        Project(root=copied_sources(tmp_path / name).root, state=tmp_path / "state"),
    ):
        with pytest.raises(RigError, match="PlatformIO cannot build with the path .* it holds"):
            Builder(odd).build(QEMU_M4, "aot", sine)
        assert not (odd.state / "build").exists()


def test_a_compile_error_is_shown_with_its_line_and_the_log(sine, broken):
    copy = broken("main.cpp", "int broken = missing_name;")
    with pytest.raises(BuildFailed, match="missing_name") as caught:
        Builder(copy).build(QEMU_M4, "aot", sine)
    assert "board qemu-m4" in str(caught.value) and "model sine_int8" in str(caught.value)
    assert any("main.cpp" in line and "error:" in line for line in caught.value.first_errors)
    assert "missing_name" in Path(caught.value.log).read_text()


def test_waiting_for_another_build_is_said_and_by_whom(sine, broken):
    copy = broken("main.cpp", "int broken = missing_name;")
    other, told = ExitStack(), []

    @contextmanager
    def released(what, total=None):
        told.append(what)
        other.close()
        yield lambda count: None

    other.enter_context(WorkFolder(copy.state / "build" / "qemu-m4-aot", "qemu-m4-aot").alone())
    with pytest.raises(BuildFailed, match="missing_name"):
        Builder(copy, progress=released).build(QEMU_M4, "aot", sine)
    work = copy.state / "build" / "qemu-m4-aot"
    assert told[0].startswith(f"qemu-m4: firmware is being built in {work}, waiting up to 3600 s")
    assert f"(pid {os.getpid()}, " in told[0]


JOB = Job(
    board=QEMU_M4,
    runtime="tflm",
    artifact=resolve_model("sine", find_project().artifacts),
    library=Library(name="lib", version="1", cannot=()),
)


@pytest.mark.parametrize(
    "log, memory, needed, available",
    [
        # As GNU ld 2.40 and PlatformIO 6.2 print them.
        ("ld: region `CODE' overflowed by 12 bytes", "flash", 4_194_316, 4_194_304),
        (
            "ld: region `FLASH' overflowed by 1 bytes\ncollect2: error",
            "flash",
            4_194_305,
            4_194_304,
        ),
        ("ld: region `DATA' overflowed by 100 bytes", "RAM", 4_194_404, 4_194_304),
        (
            "Error: The program size (900 bytes) is greater than maximum allowed (800 bytes)",
            "flash",
            900,
            800,
        ),
        ("Error: The data size (7 bytes) is greater than maximum allowed (5 bytes)", "RAM", 7, 5),
    ],
)
def test_firmware_that_does_not_fit_is_an_error_with_the_numbers(log, memory, needed, available):
    error = explain_failure(log, JOB, "build.log")
    assert isinstance(error, TooLarge)
    assert (error.memory, error.needed, error.available) == (memory, needed, available)
    assert f"takes {needed} bytes of {memory}, the board has {available}" in str(error)
    assert "board qemu-m4, model sine_int8" in str(error)


def test_operator_the_library_lacks_is_named():
    job = replace(JOB, artifact=replace(JOB.artifact, operators=("ADD", "GELU", "GELU")))
    log = (
        "model_tflm.cpp:9:17: error: 'class tflite::MicroMutableOpResolver<2>' has no member "
        "named 'AddGelu'; did you mean 'AddElu'?"
    )
    error = explain_failure(log, job, "build.log")
    assert isinstance(error, MissingKernel) and error.operators == ("GELU",)
    assert "lib 1 has no kernel for operator GELU (board qemu-m4, model sine_int8)" in str(error)


def test_kernel_whose_source_the_library_lacks_is_named():
    operators = ("SignalFilterBank", "SignalEnergy", "ADD")
    job = replace(JOB, artifact=replace(JOB.artifact, operators=operators))
    # As GNU ld says it of a tree that was exported without its signal kernels.
    log = (
        "ld: operators_tflm.cpp:29: undefined reference to "
        "`tflite::tflm_signal::Register_FILTER_BANK()'\n"
        "ld: operators_tflm.cpp:30: undefined reference to `tflite::Register_ADD()'\n"
    )
    error = explain_failure(log, job, "build.log")
    assert isinstance(error, MissingKernel) and error.operators == ("SignalFilterBank", "ADD")


def test_library_that_cannot_be_fetched_says_how_to_do_without_a_network():
    error = explain_failure("HTTPClientError: ", JOB, "build.log")
    assert isinstance(error, ToolMissing) and "lib 1 not found" in str(error)
    assert "--hil-tflm=DIR" in str(error)
    fetched = replace(JOB, library=replace(JOB.library, folder=Path("/lib")))
    assert type(explain_failure("HTTPClientError: ", fetched, "build.log")) is BuildFailed


def test_platform_that_cannot_be_fetched_is_named_and_not_taken_for_the_library():
    log = "Platform Manager: Installing ststm32 @ 19.6.0\nHTTPClientError: \n"
    for job in (JOB, replace(JOB, library=None)):
        error = explain_failure(log, job, "build.log")
        assert isinstance(error, ToolMissing) and "package ststm32 @ 19.6.0 not found" in str(error)
    later = log.replace("HTTPClientError", "Library Manager: Installing lib @ 1\nHTTPClientError")
    assert "lib 1 not found" in str(explain_failure(later, JOB, "build.log"))


def test_a_model_larger_than_the_flash_is_refused_before_anything_is_built(project, sine, tmp_path):
    small = replace(QEMU_M4, flash_bytes=1000)
    untouched = Project(root=project.root, state=tmp_path / "state")
    with pytest.raises(TooLarge, match=f"takes {len(sine.content)} bytes of flash") as caught:
        Builder(untouched).build(small, "tflm", sine)
    assert caught.value.available == 1000
    assert not untouched.state.exists()


def test_firmware_that_fits_by_the_linkers_map_but_not_the_board_is_refused(project, sine):
    small = replace(QEMU_M4, flash_bytes=5000)
    with pytest.raises(TooLarge, match="bytes of flash, the board has 5000") as caught:
        Builder(project).build(small, "aot", sine)
    assert caught.value.needed > 5000


def test_per_channel_dense_is_refused_before_the_build_on_a_library_that_ignores_scales(
    project, sine, tmp_path
):
    untouched = Project(root=project.root, state=tmp_path / "state")
    with pytest.raises(ModelError, match="quantized per channel"):
        Builder(untouched).build(QEMU_M4, "tflm", replace(sine, per_channel_dense=True))
    assert not untouched.state.exists()


def test_first_errors_falls_back_to_the_last_lines():
    assert first_errors("a\nb\n") == ["a", "b"]
    assert first_errors("x\nf.c:1: error: no\ny") == ["f.c:1: error: no"]
    assert first_errors("x\n*** [a.o] Error 1\ny") == ["*** [a.o] Error 1"]


def test_cmakes_paragraph_is_told_on_its_line():
    log = """-- Configuring
CMake Error at a/CMakeLists.txt:37 (message):
  tinyml_hil is C++ and needs
  <math.h>: set CONFIG_CPP=y
Call Stack (most recent call first):
  CMakeLists.txt:3 (add_subdirectory)

-- Configuring incomplete
"""
    assert first_errors(log) == [
        "CMake Error at a/CMakeLists.txt:37 (message): tinyml_hil is C++ and needs <math.h>: set "
        "CONFIG_CPP=y"
    ]


def test_the_warnings_for_which_kconfig_ends_are_its_errors():
    warning = "hil.conf:1: warning: attempt to assign the value 'y' to the undefined symbol UART"
    ends = "error: Aborting due to Kconfig warnings"
    assert first_errors(f"Parsing\n{warning}\n\n{ends}\n") == [
        warning.replace("warning", "error"),
        ends,
    ]
    assert first_errors(f"{warning}\nlast") == [warning, "last"]


def test_what_the_linker_cannot_join_is_an_error():
    line = "/usr/bin/ld.bfd: failed to merge target specific data of file libgcc.a(_clz.o)"
    assert first_errors(f"{line}\ncollect2: error: ld returned 1 exit status\n")[0] == line


def test_a_missing_compiler_is_named_with_its_packages(project, sine, monkeypatch, tmp_path):
    from harness.firmware.toolchain import gcc_version

    gcc_version.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="apt-get install -y gcc-arm-none-eabi"):
        Builder(project).build(QEMU_M4, "aot", sine)
    gcc_version.cache_clear()


def test_a_corrupt_model_is_refused_before_anything_is_built(project, tmp_path):
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"TFL3 but not really" * 10)
    with pytest.raises(ModelError, match="bad.tflite"):
        resolve_model(str(bad), project.artifacts)


def test_a_float_model_is_refused_for_aot(project, tmp_path):
    artifact = resolve_model("sine_float32", project.artifacts)
    untouched = Project(root=project.root, state=tmp_path / "state")
    with pytest.raises(ModelError, match="full int8"):
        Builder(untouched).build(QEMU_M4, "aot", artifact)
    assert not untouched.state.exists()
