"""Journals: what is in them after any end."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RigError
from harness.rig import journal
from harness.rig.journal import JournalTaken, open_journal

KEY = {"board": "virtual", "data": "1234"}


def written(folder: Path, *blocks: bytes) -> tuple[str, Path]:
    with open_journal(folder, KEY, 2) as kept:
        for block in blocks:
            kept.append(block)
        run = kept.run
    (path,) = folder.glob("*.journal")
    return run, path


def test_outputs_are_there_again_and_the_run_is_the_same(tmp_path: Path) -> None:
    run, _ = written(tmp_path, b"aabb", b"cc")
    with open_journal(tmp_path, KEY, 2) as kept:
        assert (kept.done, kept.outputs, kept.run) == (3, b"aabbcc", run)
        kept.append(b"dd")
    with open_journal(tmp_path, KEY, 2) as kept:
        assert kept.outputs == b"aabbccdd"


def test_a_record_cut_at_any_byte_is_dropped_and_nothing_else(tmp_path: Path) -> None:
    _, path = written(tmp_path, b"aabb")
    first = path.stat().st_size
    written(tmp_path, b"cc")
    whole = path.read_bytes()
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        with open_journal(tmp_path, KEY, 2) as kept:
            assert kept.outputs == b"aabb"
            kept.append(b"dd")
        with open_journal(tmp_path, KEY, 2) as kept:
            assert kept.outputs == b"aabbdd"


def test_a_damaged_byte_ends_the_journal_before_its_record(tmp_path: Path) -> None:
    _, path = written(tmp_path, b"aabb", b"cc", b"dd")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with open_journal(tmp_path, KEY, 2) as kept:
            assert b"aabbccdd".startswith(kept.outputs) and kept.done < 4


def test_another_key_is_another_journal_and_a_restart_forgets(tmp_path: Path) -> None:
    run, _ = written(tmp_path, b"aa")
    with open_journal(tmp_path, KEY | {"data": "5"}, 2) as kept:
        assert kept.done == 0
    with open_journal(tmp_path, KEY, 2, restart=True) as kept:
        assert kept.done == 0 and kept.run != run


def test_a_finished_journal_is_removed(tmp_path: Path) -> None:
    with open_journal(tmp_path, KEY, 2) as kept:
        kept.append(b"aa")
        kept.finished = True
    assert list(tmp_path.glob("*.journal")) == []


def test_two_do_not_write_one_journal(tmp_path: Path) -> None:
    with open_journal(tmp_path, KEY, 2):
        with pytest.raises(JournalTaken, match="another process"):
            with open_journal(tmp_path, KEY, 2):
                raise AssertionError("opened")


def test_a_folder_that_cannot_be_is_a_sick_rig(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RigError, match="cannot keep a journal"):
        with open_journal(tmp_path / "file", KEY, 2):
            raise AssertionError("opened")


def test_the_oldest_journals_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT", 2)
    for number in range(5):
        with open_journal(tmp_path, {"number": str(number)}, 2):
            pass
    assert len(list(tmp_path.glob("*.journal"))) == 3


def test_records_that_end_within_a_sequence_are_dropped_for_good(tmp_path: Path) -> None:
    written(tmp_path, b"aabb", b"cc", b"dd")
    with open_journal(tmp_path, KEY, 2) as kept:
        assert kept.back_to(lambda done: done == 2) == 2
        assert (kept.done, kept.outputs) == (2, b"aabb")
    with open_journal(tmp_path, KEY, 2) as kept:
        assert kept.done == 2 and kept.back_to(lambda done: True) == 0
        kept.append(b"ee")
    with open_journal(tmp_path, KEY, 2) as kept:
        assert kept.outputs == b"aabbee"
        # The end of a sequence within a record helps nothing.
        assert kept.back_to(lambda done: done == 1) == 3
    with open_journal(tmp_path, KEY, 2) as kept:
        assert (kept.done, kept.outputs) == (0, b"")
