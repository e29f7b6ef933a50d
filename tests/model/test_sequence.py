import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import TensorError
from harness.model.sequence import samples_of, sliding_windows
from harness.model.tensor import TensorSpec


def test_windows_slide_by_the_hop_and_the_rest_is_left_out() -> None:
    cut = sliding_windows(np.arange(8), length=3, hop=2)
    assert cut.samples.tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert cut.starts.tolist() == [0, 2, 4]
    # Frames 3, 5 and 7 of 100 a second are the first that are not waited for.
    assert cut.ends_s(100).tolist() == pytest.approx([0.03, 0.05, 0.07])


@given(
    n=st.integers(1, 40), length=st.integers(1, 12), hop=st.integers(1, 12), each=st.integers(1, 3)
)
def test_every_window_is_a_slice_of_the_signal(n: int, length: int, hop: int, each: int) -> None:
    signal = np.arange(n * each).reshape(n, each)
    if n < length:
        with pytest.raises(TensorError, match=f"of {n} frames has no window of {length}"):
            sliding_windows(signal, length=length, hop=hop)
        return
    cut = sliding_windows(signal, length=length, hop=hop)
    slices = [signal[at : at + length] for at in range(0, n - length + 1, hop)]
    assert np.array_equal(cut.samples, slices)
    assert cut.starts.tolist() == list(range(0, n - length + 1, hop))


def test_a_window_has_as_many_frames_as_the_input_holds() -> None:
    # As MLPerf Tiny's streaming wake word: 30 frames of 40 features.
    spec = TensorSpec(shape=(1, 30, 1, 40), dtype="int8", scale=1.0)
    features = np.arange(35 * 40).reshape(35, 40).astype(np.int16)
    cut = samples_of(features, spec, hop=1)
    assert cut.samples.shape == (6, 30, 1, 40) and cut.samples.dtype == np.int16
    assert np.array_equal(cut.samples[2, :, 0, :], features[2:32])


def test_a_model_of_single_frames_gets_one_after_the_other() -> None:
    spec = TensorSpec(shape=(1, 4), dtype="float32")
    signal = np.arange(12, dtype=np.float32)
    assert np.array_equal(samples_of(signal, spec, hop=4).samples, signal.reshape(3, 4))
    assert len(samples_of(signal.reshape(3, 4), spec, hop=1).samples) == 3


@pytest.mark.parametrize(
    ("signal", "length", "hop"),
    [
        (np.zeros(5), 0, 1),
        (np.zeros(5), 2, 0),
        (np.zeros(5), -1, 1),
        (np.zeros(0), 1, 1),
        (np.array(1.0), 1, 1),
    ],
)
def test_windows_that_cannot_be_are_refused(signal: np.ndarray, length: int, hop: int) -> None:
    with pytest.raises(TensorError):
        sliding_windows(signal, length=length, hop=hop)


@pytest.mark.parametrize("frame", [(3,), (0,), (5,)])
def test_frames_that_do_not_fill_the_input_are_refused(frame: tuple[int, ...]) -> None:
    with pytest.raises(TensorError, match="do not fill tensor 'x'"):
        samples_of(np.zeros((9, *frame)), TensorSpec(shape=(1, 4), dtype="int8", name="x"), hop=1)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_times_need_a_rate(rate: float) -> None:
    with pytest.raises(TensorError, match="has no times"):
        sliding_windows(np.zeros(4), length=2, hop=1).ends_s(rate)
