"""Values of options that pytest takes for paths of tests."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\n")
    pytester.makepyfile("def test_it(): pass")
    return pytester


@pytest.mark.parametrize("option", ("--hil-tflm", "--hil-rig", "--hil-report", "--hil-port"))
def test_a_path_elsewhere_that_moves_rootdir_is_refused_with_what_to_write(
    project: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory, option: str
) -> None:
    folder = tmp_path_factory.mktemp("else; where")
    result = project.runpytest_inprocess("-p", "harness.plugin", option, folder)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {option} {folder}: *Write it with `=`: {option}=*"])


def test_what_moves_nothing_is_taken(
    project: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    Path("sub").mkdir()
    for words in (
        (f"--hil-tflm={elsewhere}",),
        ("--hil-tflm", "sub"),
        ("--hil-tflm", str(elsewhere), "-c", "tox.ini"),
        ("--hil-tflm", str(elsewhere), "--rootdir", "."),
        ("--hil-csv", "none/latency.csv"),
    ):
        result = project.runpytest_inprocess("-p", "harness.plugin", *words)
        assert result.ret == pytest.ExitCode.OK, words
