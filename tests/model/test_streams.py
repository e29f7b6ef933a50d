"""Sequences and windows of a data set."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.models import PIXELS, THREE, artifact

from harness.errors import TensorError
from harness.model.data import open_data
from harness.model.dataset import DataOptions, DataSet
from harness.model.streams import cut, frame_labels, one_stream, streams_of, windows
from harness.model.tensor import TensorSpec

REALS = replace(PIXELS, shape=(1, 2, 2), dtype="float32", scale=0.0, zero_point=0)
MODEL = artifact(REALS)
FRAMES = np.arange(9 * 2, dtype=np.float32).reshape(9, 2)
IDS = np.array(["a"] * 5 + ["b"] * 4)


def opened(path: Path, model=MODEL, **how) -> DataSet:  # type: ignore[no-untyped-def]
    return open_data(path, model, DataOptions(**how))


def test_ids_make_sequences() -> None:
    streams = streams_of(np.array([7, 7, 7, -1, 4, 4]), "set")
    assert streams.starts.tolist() == [0, 3, 4] and streams.names == ("7", "-1", "4")
    assert streams.sequence_of.tolist() == [0, 0, 0, 1, 2, 2]
    assert streams.ends.tolist() == [1, 2, 3, 1, 1, 2]
    assert [streams.begins(at) for at in range(7)] == [1, 0, 0, 1, 1, 0, 1]
    assert streams.bounds(1, 5) == [(1, 3), (3, 4), (4, 5)] and streams.bounds(3, 4) == [(3, 4)]
    assert [streams.block(0, most) for most in (1, 3, 4, 5, 9)] == [3, 3, 4, 4, 6]
    assert streams.block(3, 1) == 4 and streams.block(4, 1) == 6
    assert [streams.frames_in(at) for at in range(3)] == [3, 1, 2]
    assert streams.name_at(3) == "-1"


@pytest.mark.parametrize(
    ("ids", "what"),
    (
        (np.array([1, 2, 1]), "sample 2 is of sequence '1', which had ended before"),
        (np.array(["a", "b", " a"]), "sample 2 is of sequence 'a'"),
        (np.array([1.0, 2.0]), "float64"),
        (np.zeros((2, 2), int), r"shape \(2, 2\)"),
    ),
)
def test_ids_that_are_none_are_refused(ids: np.ndarray, what: str) -> None:
    with pytest.raises(TensorError, match=what):
        streams_of(ids, "set")


@pytest.mark.parametrize("stride", (1, 2, 3, 5))
def test_windows_are_those_of_each_sequence(stride: int) -> None:
    streams = cut(streams_of(IDS, "set"), length=2, stride=stride, source="set")
    wanted = [
        FRAMES[at : at + 2].ravel()
        for start, stop in ((0, 5), (5, 9))
        for at in range(start, stop - 1, stride)
    ]
    got = windows(lambda start, stop: FRAMES[start:stop], streams, 0, streams.samples)
    assert np.array_equal(got, wanted) and streams.samples == len(wanted)
    part = windows(lambda start, stop: FRAMES[start:stop], streams, 1, 2)
    assert np.array_equal(part, wanted[1:2])
    assert (streams.ends <= 5).all() and streams.ends[0] == 2


def test_a_sequence_shorter_than_a_window_is_named() -> None:
    with pytest.raises(TensorError, match="sequence 'b' has 4 frames.* windows of 5"):
        cut(streams_of(IDS, "set"), length=5, stride=1, source="set")


def test_frames_have_the_class_that_the_window_says_which_ends_there() -> None:
    streams = cut(one_stream(8, "set"), length=3, stride=2, source="set")
    assert frame_labels(np.array([4, 5, 6]), streams).tolist() == [4, 4, 4, 5, 5, 6, 6, -1]
    streams = streams_of(np.array([1, 1, 2]), "set")
    assert frame_labels(np.array([4, 5, 6]), streams).tolist() == [4, 5, 6]


def test_an_npz_and_a_csv_say_sequences_of_samples(tmp_path: Path) -> None:
    x = np.zeros((9, 2, 2), np.float32)
    np.savez(tmp_path / "a.npz", x=x, sequence=IDS, other=np.arange(9), y=np.arange(9) % 3)
    streams = opened(tmp_path / "a.npz").streams
    assert streams is not None and streams.starts.tolist() == [0, 5]
    assert streams.labels is not None and streams.labels.tolist() == [0, 1, 2] * 3
    other = opened(tmp_path / "a.npz", sequence="other").streams
    assert other is not None and len(other.starts) == 9
    with pytest.raises(TensorError, match="no array 'absent'"):
        opened(tmp_path / "a.npz", sequence="absent")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "ids.npy", IDS[:8])
    with pytest.raises(TensorError, match="9 samples and 8 ids"):
        opened(tmp_path / "x.npy", sequence=str(tmp_path / "ids.npy"))
    assert opened(tmp_path / "x.npy").streams is None
    (tmp_path / "a.csv").write_text("a,b,sequence,c,d\n0,0,s1,0,1\n0,0,s1,0,1\n0,0,2,0,0\n")
    data = opened(tmp_path / "a.csv")
    assert data.streams is not None and data.streams.names == ("s1", "2")
    assert data.inputs(0, 3).shape == (3, 2, 2)


def test_answers_are_of_samples_frames_or_sequences(tmp_path: Path) -> None:
    how = {"x": FRAMES, "sequence": IDS}
    for answers, wanted, frames in (
        (np.arange(9) % 3, [1, 2, 0, 1, 0, 1, 2], (np.arange(9) % 3).tolist()),
        ([0, 1, 2, 0, 1, 2, 0], [0, 1, 2, 0, 1, 2, 0], [0, 0, 1, 2, 0, 1, 1, 2, 0]),
        ([2, 1], [2, 2, 2, 2, 1, 1, 1], [2] * 5 + [1] * 4),
    ):
        np.savez(tmp_path / "a.npz", y=answers, **how)
        data = opened(tmp_path / "a.npz", stride=1)
        assert data.count == 7 and data.targets.labels.tolist() == wanted
        assert data.streams.labels.tolist() == frames
    np.savez(tmp_path / "a.npz", y=np.zeros(3, int), **how)
    with pytest.raises(TensorError, match="3 answers for 9 frames in 2 sequences"):
        opened(tmp_path / "a.npz", stride=1)


def test_each_row_may_be_a_stream(tmp_path: Path) -> None:
    rows = np.arange(3 * 5 * 2, dtype=np.float32).reshape(3, 5, 2)
    np.savez(tmp_path / "a.npz", x=rows, y=[0, 1, 2])
    data = opened(tmp_path / "a.npz", stride=2)
    assert data.count == 6 and data.targets.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.inputs(3, 4).tolist() == [rows[1, 2:4].tolist()]
    with pytest.raises(TensorError, match="while the model takes") as caught:
        opened(tmp_path / "a.npz")
    assert "--stride FRAMES" in str(caught.value.hint)
    np.save(tmp_path / "odd.npy", np.zeros((4, 2, 3), np.float32))
    with pytest.raises(TensorError, match="no windows of"):
        opened(tmp_path / "odd.npy", stride=1)
    several = artifact((REALS, TensorSpec(shape=(1, 2), dtype="float32", name="b")))
    np.savez(tmp_path / "two.npz", image=FRAMES, b=FRAMES)
    with pytest.raises(TensorError, match="models with one input"):
        opened(tmp_path / "two.npz", several, stride=1)


FEATURES = """
import numpy as np
def frames(samples, rate):
    return samples.reshape(-1, 2) / 100
def fours(samples, rate):
    return samples[: len(samples) // 4 * 4].reshape(-1, 4) / 100
def odd(samples, rate):
    return samples[:3] / 100
"""


def sound(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.arange(count, dtype="<i2").tobytes())


def test_each_sound_is_a_sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    sound(folder / "no" / "1.wav", 8)
    sound(folder / "yes" / "2.wav", 12)
    (tmp_path / "framesteps.py").write_text(FEATURES)
    monkeypatch.syspath_prepend(tmp_path)
    data = opened(folder, feature="framesteps:frames", stride=1)
    assert data.streams.names == ("no/1.wav", "yes/2.wav") and data.count == 3 + 5
    assert data.targets.labels.tolist() == [0] * 3 + [1] * 5
    assert data.streams.labels.tolist() == [0] * 4 + [1] * 6
    assert data.inputs(4, 5).ravel() == pytest.approx([0.02, 0.03, 0.04, 0.05])
    data = opened(folder, feature="framesteps:fours")
    assert data.streams.starts.tolist() == [0, 2] and data.count == 5
    assert data.name(3) == "sample 3 of set, of yes/2.wav"
    # Of a model with state each sound is a sequence, also where the first is a single sample.
    sound(folder / "no" / "1.wav", 4)
    data = opened(folder, replace(MODEL, stateful=True), feature="framesteps:fours")
    assert data.streams.starts.tolist() == [0, 1] and data.count == 4
    with pytest.raises(TensorError, match="made 3 numbers of no/1.wav"):
        opened(folder, replace(MODEL, stateful=True), feature="framesteps:odd")
    with pytest.raises(TensorError, match="sequence 'no/1.wav' has 3 frames"):
        opened(folder, feature="framesteps:odd", stride=1)


def test_answers_of_each_output_have_its_name(tmp_path: Path) -> None:
    second = TensorSpec(shape=(1, 2), dtype="float32", name="box:0")
    model = replace(MODEL, outputs=(THREE, second))
    x, boxes = np.zeros((4, 2, 2), np.float32), np.ones((4, 2), np.float32) / 3
    np.savez(tmp_path / "a.npz", x=x, y=[0, 1, 2, 0], y_1=boxes)
    first, other = opened(tmp_path / "a.npz", model).answers
    assert first.labels.tolist() == [0, 1, 2, 0] and np.array_equal(other.expected, boxes)
    np.savez(tmp_path / "a.npz", x=x, **{"y_box:0": boxes})
    first, other = opened(tmp_path / "a.npz", model).answers
    assert first.labels is None and np.array_equal(other.expected, boxes)
    np.savez(tmp_path / "a.npz", x=x, y_none=boxes)
    with pytest.raises(TensorError, match="'y_none' names no output; the model has 'classes'"):
        opened(tmp_path / "a.npz", model)
    (tmp_path / "a.csv").write_text("a,b,y_0,c,d\n" + "0,0,1,0,0.5\n" * 2)
    assert opened(tmp_path / "a.csv", model).answers[0].labels.tolist() == [1, 1]
