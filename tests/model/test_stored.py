"""Arrays read from files row by row, also from files that somebody changes meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from harness.errors import TensorError
from harness.model.arrays import read_npy, read_npz
from harness.model.stored import stored_in

ARRAY = np.arange(7 * 2 * 3, dtype=">i4").reshape(7, 2, 3)


@pytest.mark.parametrize("order", ("C", "F"))
def test_rows_are_those_of_the_array_in_either_order(order: str, tmp_path: Path) -> None:
    array = np.asarray(ARRAY, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array)
    np.savez_compressed(tmp_path / "b.npz", x=array)
    for stored in (
        read_npy(tmp_path / "a.npy"),
        *(read_npz(tmp_path / name).arrays["x"] for name in ("a.npz", "b.npz")),
    ):
        assert np.array_equal(stored.whole(), ARRAY) and len(stored) == 7
        assert np.array_equal(stored.rows(2, 5), ARRAY[2:5])
        assert np.array_equal(stored.flat(6, 7), ARRAY[6:].reshape(1, 6))
        assert stored.rows(3, 3).shape == (0, 2, 3)


def test_streams_in_rows_become_frames(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ARRAY)
    assert np.array_equal(read_npy(tmp_path / "a.npy").merged("a").whole(), ARRAY.reshape(14, 3))
    np.save(tmp_path / "f.npy", np.asfortranarray(ARRAY))
    with pytest.raises(TensorError, match="Fortran"):
        read_npy(tmp_path / "f.npy").merged("f.npy")


@pytest.mark.parametrize("name", ("a.npy", "a.npz"))
def test_a_file_that_shrinks_or_is_written_to_is_one_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, np.zeros((1000, 1000)))
        stored = read_npy(path)
    else:
        np.savez(path, x=np.zeros((1000, 1000)))
        stored = read_npz(path).arrays["x"]
    size = path.stat().st_size
    assert stored.rows(999, 1000).any() == 0
    os.truncate(path, 4096)
    with pytest.raises(TensorError, match=f"{name} was changed") as caught:
        stored.rows(998, 1000)
    assert f"had {size} bytes" in str(caught.value) and "has 4096 now" in str(caught.value)
    with path.open("r+b") as file:
        file.truncate(size)
    os.utime(path, ns=(1, 1))
    with pytest.raises(TensorError, match="was changed"):
        stored.rows(0, 1)


def test_a_file_that_is_replaced_is_read_on_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, ARRAY)
    stored = read_npy(path)
    np.save(tmp_path / "b.npy", ARRAY + 1)
    os.replace(tmp_path / "b.npy", path)
    assert np.array_equal(stored.whole(), ARRAY)


def test_an_array_keeps_its_file_open_and_lets_it_go(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w+b") as file:
        file.write(bytes(8))
        file.flush()
        stored = stored_in(file.fileno(), (2,), np.dtype(np.int32))
    assert stored.whole().tolist() == [0, 0]
    number = stored._file
    del stored
    with pytest.raises(OSError):
        os.fstat(number)
