"""Builds with the real PlatformIO and compiler, in a state folder shared with the board tests."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board import load_registry
from harness.build import Builder, build_id, elf_sections, first_errors
from harness.errors import BuildFailed, ModelError, ToolMissing
from harness.project import Project, find_project
from harness.reference import resolve_model

QEMU_M4 = load_registry()["qemu-m4"]


@pytest.fixture(scope="module")
def project():
    return find_project()


@pytest.fixture(scope="module")
def sine(project):
    return resolve_model("sine", project.artifacts)


def copied(project: Project, folder: Path) -> Project:
    """A copy of the sources, to be spoiled, with a state folder of its own."""
    shutil.copytree(project.firmware, folder / "firmware")
    shutil.copy(project.root / "platformio.ini", folder)
    return Project(root=folder, state=folder / "state")


def test_firmware_says_what_memory_it_takes(project, sine):
    firmware = Builder(project).build(QEMU_M4, "aot", sine)
    names = {section.name for section in firmware.sections}
    assert {".text", ".bss"} <= names
    assert 2000 < firmware.flash_bytes < 40_000
    assert 1000 < firmware.ram_bytes < 100_000
    assert firmware.sections == elf_sections(firmware.elf)
    data = [section for section in firmware.sections if section.name == ".data"]
    assert all(section.in_flash and section.in_ram for section in data)


def test_equal_inputs_are_built_once(project, sine):
    first = Builder(project).build(QEMU_M4, "aot", sine)
    written = first.elf.stat().st_mtime_ns
    assert Builder(project).build(QEMU_M4, "aot", sine) == first
    assert first.elf.stat().st_mtime_ns == written


def test_build_id_changes_with_sources_board_and_model(project, sine, tmp_path):
    copy = copied(project, tmp_path)
    ids = {build_id(copy, QEMU_M4, "aot", sine), build_id(project, QEMU_M4, "aot", sine)}
    assert len(ids) == 1
    ids.add(build_id(copy, replace(QEMU_M4, aot_target="portable32"), "aot", sine))
    ids.add(build_id(copy, QEMU_M4, "aot", replace(sine, content=sine.content + b"\0")))
    (copy.firmware / "src" / "main.cpp").write_text("int main() {}\n")
    ids.add(build_id(copy, QEMU_M4, "aot", sine))
    (copy.root / "platformio.ini").write_text("")
    ids.add(build_id(copy, QEMU_M4, "aot", sine))
    assert len(ids) == 5


def test_a_new_model_recompiles_only_the_model(project, sine, tmp_path):
    copy = copied(project, tmp_path)
    Builder(copy).build(QEMU_M4, "aot", sine)
    built = tmp_path / "state" / "build" / "qemu-m4-aot" / "pio" / "build"
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*.o")}
    other = resolve_model("sine-1-16-1", project.artifacts)
    Builder(copy).build(QEMU_M4, "aot", other)
    after = {path: path.stat().st_mtime_ns for path in built.rglob("*.o")}
    again = {path.name for path, when in after.items() if before.get(path) != when}
    assert "model_aot.cpp.o" in again or "model_aot.o" in again
    assert not {
        name for name in again if not name.startswith(("model_aot", "bknn_", "bakenn_", "arm_"))
    }
    assert len(before) > len(again)


def test_a_compile_error_is_shown_with_its_line_and_the_log(project, sine, tmp_path):
    copy = copied(project, tmp_path)
    main = copy.firmware / "src" / "main.cpp"
    main.write_text(main.read_text() + "\nint broken = missing_name;\n")
    with pytest.raises(BuildFailed, match="missing_name") as caught:
        Builder(copy).build(QEMU_M4, "aot", sine)
    assert "board qemu-m4" in str(caught.value) and "model sine_int8" in str(caught.value)
    assert any("main.cpp" in line and "error:" in line for line in caught.value.first_errors)
    assert "missing_name" in Path(caught.value.log).read_text()


def test_first_errors_falls_back_to_the_last_lines():
    assert first_errors("a\nb\n") == ["a", "b"]
    assert first_errors("x\nf.c:1: error: no\ny") == ["f.c:1: error: no"]


def test_a_missing_compiler_is_named_with_its_packages(project, sine, monkeypatch, tmp_path):
    from harness.toolchain import arm_gcc_version

    arm_gcc_version.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="apt-get install -y gcc-arm-none-eabi"):
        Builder(project).build(QEMU_M4, "aot", sine)
    arm_gcc_version.cache_clear()


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
