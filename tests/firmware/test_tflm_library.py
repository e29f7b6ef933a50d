from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.trees import DOWNLOADED, KERNELS, SOURCES, THIRD_PARTY, made

from harness.board.registry import load_registry
from harness.errors import RigError
from harness.firmware.runtime_tflm import needs_plain_kernels
from harness.firmware.support import LSTM_STATE, PER_CHANNEL_DENSE
from harness.firmware.tflm_library import (
    find_library,
    is_bare,
    pinned_library,
    work_name,
    write_override,
)
from harness.firmware.tflm_sources import DOWNLOADS
from harness.project import find_project


def test_tree_is_named_by_its_contents_and_wrapped(tmp_path: Path) -> None:
    tree = made(tmp_path / "tree", SOURCES, THIRD_PARTY)
    library = find_library(tree, tmp_path / "cache")
    assert library.name == "tflite-micro tree" and library.version == library.digest[:8]
    assert library.wrapped and library.root == tree and library.cannot == ()
    flags = library.build_flags(bare=True)
    assert "-DTF_LITE_STATIC_MEMORY" in flags
    assert f"-I{tree}/third_party/flatbuffers/include" in flags
    assert not any("CMSIS" in flag or "ARDUINO" in flag for flag in flags)


def test_arduino_library_is_named_by_its_properties_and_left_as_it_is(tmp_path: Path) -> None:
    sources = {f"src/{name}": text for name, text in SOURCES.items()}
    manifest = {"library.properties": "name=Some_TFLM\nversion=2.1.0\nurl=https://a=b\n"}
    library = find_library(made(tmp_path / "lib", sources, manifest), tmp_path / "cache")
    assert str(library) == "Some_TFLM 2.1.0" and library.root == tmp_path / "lib" / "src"
    assert not library.wrapped and library.build_flags(bare=False) == ()
    assert "-DARDUINO_EXCLUDE_CODE" in library.build_flags(bare=True)


def test_platformio_library_is_named_by_its_manifest(tmp_path: Path) -> None:
    manifest = {"library.json": json.dumps({"name": "tflm", "version": "3"})}
    assert str(find_library(made(tmp_path, SOURCES, manifest), tmp_path / "cache")) == "tflm 3"


@pytest.mark.parametrize("text", ["{", '{"name": "x"}', "[]"])
def test_malformed_manifest_is_an_error_that_names_the_folder(tmp_path: Path, text: str) -> None:
    folder = made(tmp_path / "lib", SOURCES, {"library.json": text})
    with pytest.raises(RigError, match=f"library in {folder} is malformed"):
        find_library(folder, tmp_path / "cache")


@pytest.mark.parametrize(
    "sources, missing",
    [
        ({}, "no TFLM library .*micro_interpreter.h"),
        (SOURCES, "without flatbuffers and gemmlowp and ruy, neither in"),
    ],
)
def test_folder_without_a_library_says_what_was_looked_for(
    tmp_path: Path, sources: dict[str, str], missing: str
) -> None:
    with pytest.raises(RigError, match=missing) as caught:
        find_library(made(tmp_path, sources), tmp_path / "cache")
    assert "create_tflm_tree.py" in caught.value.hint


def test_kernels_that_never_mention_channels_cannot_do_per_channel_dense(tmp_path: Path) -> None:
    old = {**SOURCES, f"{KERNELS}/fully_connected_common.cc": "params.scale = scale;"}
    library = find_library(made(tmp_path / "old", old, THIRD_PARTY), tmp_path / "cache")
    assert library.cannot == (PER_CHANNEL_DENSE,)


@pytest.mark.parametrize(("text", "lost"), [("cell_state", True), ("hidden_state", False)])
def test_an_lstm_that_is_never_handed_its_state_forgets_it(
    tmp_path: Path, text: str, lost: bool
) -> None:
    sources = {**SOURCES, f"{KERNELS}/cmsis_nn/unidirectional_sequence_lstm.cc": text}
    library = find_library(made(tmp_path / "tree", sources, THIRD_PARTY), tmp_path / "cache")
    assert library.cannot == ((LSTM_STATE,) if lost else ())


def test_digest_follows_contents_and_is_read_from_the_cache_while_they_stay(tmp_path: Path) -> None:
    tree, cache = made(tmp_path / "tree", SOURCES, THIRD_PARTY), tmp_path / "cache"
    first = find_library(tree, cache)
    (kept,) = cache.iterdir()
    written = kept.stat().st_mtime_ns
    assert find_library(tree, cache) == first and kept.stat().st_mtime_ns == written
    (tree / KERNELS / "add.cc").write_text("changed")
    assert find_library(tree, cache).digest != first.digest


def test_a_checkout_with_its_downloads_is_a_library(tmp_path: Path) -> None:
    rules = {"third_party/flatbuffers/BUILD.oss": ""}
    tree = made(tmp_path / "checkout", SOURCES, rules, DOWNLOADED)
    library = find_library(tree, tmp_path / "cache")
    assert library.wrapped
    assert f"-I{tree}/{DOWNLOADS}/flatbuffers/include" in library.build_flags(bare=True)
    made(tree, {f"{DOWNLOADS}/gcc_embedded/include/stdio.h": "not TFLM's"})
    assert find_library(tree, tmp_path / "cache").digest == library.digest
    made(tree, {f"{DOWNLOADS}/ruy/ruy/profiler/instrumentation.h": "newer"})
    assert find_library(tree, tmp_path / "cache").digest != library.digest


def test_cmsis_nn_is_for_arm(tmp_path: Path) -> None:
    there = {"third_party/cmsis_nn/Source/x.c": "", f"{KERNELS}/cmsis_nn/conv.cc": ""}
    library = find_library(made(tmp_path, SOURCES, THIRD_PARTY, there), tmp_path / "cache")
    assert library.optimized and "-DCMSIS_NN" in library.build_flags(bare=True)
    plain = replace(library, plain=True)
    assert not plain.optimized and "-DCMSIS_NN" not in plain.build_flags(bare=True)


def test_kernels_with_helium_are_compiled_as_upstream_compiles_them(tmp_path: Path) -> None:
    # Upstream's Makefile: OPTIMIZE_KERNELS_FOR := KERNELS_OPTIMIZED_FOR_SPEED.
    there = {"third_party/cmsis_nn/Source/x.c": "", f"{KERNELS}/cmsis_nn/conv.cc": ""}
    library = find_library(made(tmp_path, SOURCES, THIRD_PARTY, there), tmp_path / "cache")
    flag = "-DKERNELS_OPTIMIZED_FOR_SPEED"
    assert flag in replace(library, helium=True).build_flags(bare=True)
    assert flag not in library.build_flags(bare=True)
    assert flag not in replace(library, helium=True, plain=True).build_flags(bare=True)


@pytest.mark.parametrize(
    "board, plain", [("qemu-m0", False), ("esp32", False), ("qemu-rv32", True)]
)
def test_a_riscv_takes_the_reference_kernels(board: str, plain: bool) -> None:
    assert needs_plain_kernels(load_registry()[board]) is plain


def test_only_a_trees_kernels_are_known(tmp_path: Path) -> None:
    tree = find_library(made(tmp_path / "tree", SOURCES, THIRD_PARTY), tmp_path / "cache")
    assert tree.missing_kernels(("ADD", "SignalRfft", "CONV_2D")) == ("SignalRfft",)
    manifest = {"library.json": '{"name": "tflm", "version": "3"}'}
    library = find_library(made(tmp_path / "lib", SOURCES, manifest), tmp_path / "cache")
    assert library.missing_kernels(("SignalRfft",)) == ()


def test_pin_is_found_through_extends() -> None:
    ini = "[base]\nlib_deps = some/Lib_X@1.2.3\n[env:a]\nextends = other, base\n[other]\nx = 1\n"
    library = pinned_library(ini, "a")
    assert str(library) == "Lib_X 1.2.3" and library.folder is None and library.cannot == ()
    with pytest.raises(RigError, match="environment b of platformio.ini pins no TFLM library"):
        pinned_library("[env:b]\nboard = x\n", "b")


def test_environment_is_bare_unless_it_inherits_a_framework() -> None:
    ini = "[base]\nframework = arduino\n[env:a]\nextends = base\n[env:b]\nboard = x\n"
    assert not is_bare(ini, "a") and is_bare(ini, "b")
    assert is_bare((find_project().root / "platformio.ini").read_text(), "qemu-m4-tflm")


def test_the_pinned_library_is_known_to_ignore_scales() -> None:
    ini = (find_project().root / "platformio.ini").read_text()
    assert pinned_library(ini, "qemu-m4-tflm").cannot == (PER_CHANNEL_DENSE,)


@pytest.mark.parametrize(
    "line, named",
    [
        ('arduino = "yes"', r'"Lib_X@1.2.3".arduino must be true or false, not the string "yes"'),
        ('canot = ["x"]', r'"Lib_X@1.2.3".canot is not a known key .did you mean cannot'),
    ],
)
def test_wrong_libraries_file_is_refused_by_file_and_key(
    line: str, named: str, tmp_path: Path
) -> None:
    libraries = tmp_path / "libraries.toml"
    libraries.write_text(f'["Lib_X@1.2.3"]\n{line}\n')
    with pytest.raises(RigError, match=f"libraries file {libraries}: {named}"):
        pinned_library("[env:a]\nlib_deps = some/Lib_X@1.2.3\n", "a", libraries)


def test_override_names_the_wrapper_of_a_tree_and_a_library_itself(tmp_path: Path) -> None:
    tree = find_library(made(tmp_path / "tree", SOURCES, THIRD_PARTY), tmp_path / "cache")
    override = write_override("env-x", tree, ("ADD",), tmp_path / "building")
    assert override.read_text() == (
        f"[env:env-x]\nlib_deps = symlink://{tmp_path}/building/library\n"
    )
    wrapper = tmp_path / "building" / "library" / "library.json"
    assert json.loads(wrapper.read_text())["build"]["srcDir"] == str(tree.root)
    written = wrapper.stat().st_mtime_ns
    write_override("env-x", tree, ("ADD",), tmp_path / "building")
    assert wrapper.stat().st_mtime_ns == written
    manifest = {"library.json": '{"name": "tflm", "version": "3"}'}
    library = find_library(made(tmp_path / "lib", SOURCES, manifest), tmp_path / "cache")
    assert (
        f"symlink://{library.folder}\n"
        in write_override("env-x", library, ("ADD",), tmp_path / "other").read_text()
    )


@pytest.mark.parametrize(
    "name", ["a$(x)", "a;b", "a'b", 'a"b', "a`b", "a\nlib_deps =", "${x}", "a&b"]
)
def test_folder_whose_path_is_code_to_platformio_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RigError, match="cannot be given to PlatformIO.*\n.*plain link") as refused:
        find_library(tmp_path / name, tmp_path)
    assert len(str(refused.value).splitlines()) == 2


def test_each_library_folder_has_its_own_working_folder(tmp_path: Path) -> None:
    one, other = (
        find_library(made(tmp_path / name, SOURCES, THIRD_PARTY), tmp_path / "cache")
        for name in "ab"
    )
    assert len({work_name("env", None), work_name("env", one), work_name("env", other)}) == 3
    assert work_name("env", pinned_library("[env:e]\nlib_deps = a/b@1\n", "e")) == "env"
