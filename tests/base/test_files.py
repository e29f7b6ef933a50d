"""Files put into place whole."""

import multiprocessing

import pytest

from harness.files import write_atomic


def test_the_new_content_takes_the_old_ones_place(tmp_path):
    path = tmp_path / "a.csv"
    for content in (b"old\n", b"new\n"):
        write_atomic(path, content)
        assert path.read_bytes() == content
    assert [item.name for item in tmp_path.iterdir()] == ["a.csv"]


def test_what_cannot_be_put_into_place_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "a.csv"
    folder.mkdir()
    with pytest.raises(OSError):
        write_atomic(folder, b"new\n")
    assert [item.name for item in tmp_path.iterdir()] == ["a.csv"] and folder.is_dir()


def write_often(path, content):
    for _ in range(50):
        write_atomic(path, content)


def test_two_processes_write_one_file_and_each_content_stays_whole(tmp_path):
    path = tmp_path / "memory.json"
    contents = [letter * 100_000 for letter in (b"a", b"b")]
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_often, args=(path, content)) for content in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert not path.exists() or path.read_bytes() in contents
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert [item.name for item in tmp_path.iterdir()] == ["memory.json"]
