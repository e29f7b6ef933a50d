"""What TFLite Micro needs beside a commit: its downloads, or all of it for CMSIS-NN."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.bisect.repository import Repository
from harness.bisect.subject import Kind
from harness.errors import WrongUse
from harness.firmware.tflm_sources import DOWNLOADS, THIRD_PARTY, third_party

LIBRARY = "library"
_KERNELS = "cmsis_nn"


def extra_of(kind: Kind, repository: Repository) -> tuple[str, ...]:
    """Paths in the work tree that are no commit's and have to stay: downloads of a checkout."""
    there = kind is Kind.TFLM and (repository.folder / DOWNLOADS).is_dir()
    return (str(Path(repository.prefix, DOWNLOADS)),) if there else ()


def copy_downloads(repository: Repository, target: Path) -> None:
    """Copy the libraries of others that a checkout of TFLite Micro has downloaded.

    They are in no commit, so that all steps have those that are there now.

    Args:
        target: the folder in the work tree.
    """
    source = repository.folder / DOWNLOADS
    for name in THIRD_PARTY:
        if (source / name).is_dir() and not (target / DOWNLOADS / name).exists():
            shutil.copytree(source / name, target / DOWNLOADS / name, ignore=_ignored)


def place_of_kernels(tflm: Path, repository: Repository, place: Path) -> Path:
    """Where in a copy of TFLite Micro the work tree of CMSIS-NN has to be.

    Args:
        tflm: the user's folder, a tree of sources.
        place: the folder of the search; the copy lies in it.

    Raises:
        WrongUse: the folder has no CMSIS-NN to be replaced, or not all of the kernels' repository
            was named.
    """
    kernels = third_party(tflm, _KERNELS)
    if kernels is None:
        raise WrongUse(
            f"--tflm {tflm}: there is no CMSIS-NN in it whose place the commits could take",
            hint="Take a tree of TFLite Micro's sources with third_party/cmsis_nn: docs/tflm.md",
        )
    if repository.prefix:
        raise WrongUse(f"--in {repository.folder}: name all of CMSIS-NN, {repository.top}")
    return place / LIBRARY / kernels.relative_to(tflm)


def copy_library(tflm: Path, place: Path) -> Path:
    """Copy a tree of TFLite Micro without its CMSIS-NN; returns the copy."""
    kernels = third_party(tflm, _KERNELS)
    downloads = tflm / DOWNLOADS

    def ignored(folder: str, names: list[str]) -> set[str]:
        here = Path(folder)
        left_out = _ignored(folder, names)
        left_out |= {name for name in names if here / name == kernels}
        if here == downloads:
            left_out |= {name for name in names if name not in THIRD_PARTY}
        return left_out

    copy = place / LIBRARY
    shutil.copytree(tflm, copy, ignore=ignored, symlinks=True, dirs_exist_ok=True)
    return copy


_ignored = shutil.ignore_patterns(".git", "*.o", "*.a", "*.tflite", "__pycache__")
