"""Models written operator by operator: the converter folds these operators, or cannot make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from models.zoo.builder import Builder
from models.zoo.source import Ready, rng_of, weights


def direct() -> Iterator[Ready]:
    """All of them."""
    for name, (what, make) in {**_OPERATORS, **_STATEFUL, **_REFUSED}.items():
        yield Ready(name=name, what=what, content=make())


def _one(
    kind: str,
    inputs: Sequence[tuple[Any, ...]],
    outputs: Sequence[tuple[Any, ...]],
    constants: Sequence[Any] = (),
    **options: Any,
) -> bytes:
    """A model of one operator: tensors as (shape, dtype, scale, zero point), constants last."""
    build = Builder()
    given = [_described(build, f"input_{at}", *facts) for at, facts in enumerate(inputs)]
    kept = [build.constant(f"constant_{at}", np.asarray(data)) for at, data in enumerate(constants)]
    made = [_described(build, f"output_{at}", *facts) for at, facts in enumerate(outputs)]
    build.operator(kind, given + kept, made, **options)
    return build.build(given, made)


def _described(
    build: Builder,
    name: str,
    shape: Sequence[int],
    dtype: str = "float32",
    scale: float | None = None,
    zero_point: int = 0,
) -> int:
    return build.tensor(name, shape, dtype, scale=scale, zero_point=zero_point)


def _integers(*values: int) -> Any:
    return np.array(values, np.int32)


def _prelu() -> bytes:
    build = Builder()
    given = build.tensor("x", (1, 4, 4, 3), "int8", scale=0.03, zero_point=-3)
    alpha = build.constant(
        "alpha", rng_of("prelu").integers(-90, 90, (1, 1, 3)).astype(np.int8), scale=0.005
    )
    made = build.tensor("y", (1, 4, 4, 3), "int8", scale=0.025, zero_point=5)
    build.operator("PRELU", (given, alpha), (made,))
    return build.build((given,), (made,))


def _embedding() -> bytes:
    build = Builder()
    ids = build.tensor("ids", (6,), "int32")
    table = build.constant("table", weights("embedding-lookup", 10, 4))
    made = build.tensor("vectors", (6, 4))
    build.operator("EMBEDDING_LOOKUP", (ids, table), (made,))
    return build.build((ids,), (made,))


def _detection() -> bytes:
    build = Builder()
    boxes = build.tensor("boxes", (1, 6, 4))
    scores = build.tensor("scores", (1, 6, 3))
    anchors = build.constant("anchors", rng_of("anchors").uniform(0.2, 0.8, (6, 4)).astype("f4"))
    made = [
        build.tensor("detection_boxes", (1, 3, 4)),
        build.tensor("detection_classes", (1, 3)),
        build.tensor("detection_scores", (1, 3)),
        build.tensor("detections", (1,)),
    ]
    values = {
        "max_detections": 3,
        "max_classes_per_detection": 1,
        "detections_per_class": 1,
        "use_regular_nms": False,
        # Each run detects as many as are asked for: the kernel leaves the rest as it was.
        "nms_score_threshold": -1e9,
        "nms_iou_threshold": 1.0,
        "num_classes": 2,
        "y_scale": 10.0,
        "x_scale": 10.0,
        "h_scale": 5.0,
        "w_scale": 5.0,
    }
    build.custom("TFLite_Detection_PostProcess", (boxes, scores, anchors), made, values)
    return build.build((boxes, scores), made)


_Q = ("int8", 0.03, -3)
_ROW = ((1, 12), *_Q)

_OPERATORS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "elu-int8": (
        "ELU",
        lambda: _one("ELU", [_ROW], [((1, 12), "int8", 0.02, -80)]),
    ),
    "prelu-int8": ("PRELU, one slope for each channel", _prelu),
    "div-int8": (
        "DIV of two int8 inputs",
        lambda: _one(
            "DIV", [_ROW, ((1, 12), "int8", 0.01, -128)], [_ROW], options="DivOptions", version=2
        ),
    ),
    "l2-pool-2d-float32": (
        "L2_POOL_2D",
        lambda: _one(
            "L2_POOL_2D",
            [((1, 4, 4, 3),)],
            [((1, 2, 2, 3),)],
            options="Pool2DOptions",
            padding=1,
            strideW=2,
            strideH=2,
            filterWidth=2,
            filterHeight=2,
        ),
    ),
    "shape-int8": (
        "SHAPE of an int8 input, an int32 output",
        lambda: _one("SHAPE", [_ROW], [((2,), "int32")], options="ShapeOptions", outType=2),
    ),
    "expand-dims-int8": (
        "EXPAND_DIMS",
        lambda: _one("EXPAND_DIMS", [_ROW], [((1, 1, 12), *_Q)], [_integers(1)]),
    ),
    "squeeze-int8": (
        "SQUEEZE",
        lambda: _one(
            "SQUEEZE",
            [((1, 12, 1), *_Q)],
            [_ROW],
            options="SqueezeOptions",
            squeezeDims=[2],
        ),
    ),
    "zeros-like-float32": ("ZEROS_LIKE", lambda: _one("ZEROS_LIKE", [((1, 12),)], [((1, 12),)])),
    "broadcast-args-int32": (
        "BROADCAST_ARGS of two shapes",
        lambda: _one("BROADCAST_ARGS", [((3,), "int32")], [((3,), "int32")], [_integers(1, 1, 1)]),
    ),
    "dynamic-update-slice-float32": (
        "DYNAMIC_UPDATE_SLICE at a constant place",
        lambda: _one(
            "DYNAMIC_UPDATE_SLICE",
            [((4, 3),), ((2, 3),)],
            [((4, 3),)],
            [_integers(1, 0)],
        ),
    ),
    "embedding-lookup-float32": ("ids of 10 words, EMBEDDING_LOOKUP", _embedding),
    "detection-float32": ("TFLite_Detection_PostProcess: boxes, scores, anchors", _detection),
}


def _lstm_float() -> bytes:
    build = Builder()
    given = build.tensor("x", (1, 5, 3))
    inputs = _lstm_inputs(build, given, _float_weights, "float32", "float32", (None, None))
    made = build.tensor("y", (1, 5, 4))
    _lstm_operator(build, inputs, made)
    return build.build((given,), (made,))


def _lstm_int8() -> bytes:
    build = Builder()
    given = build.tensor("x", (1, 5, 3), "int8", scale=1 / 64, zero_point=0)
    scales = (1 / 128, 2.0**-11)
    inputs = _lstm_inputs(build, given, _int8_weights, "int8", "int16", scales)
    made = build.tensor("y", (1, 5, 4), "int8", scale=1 / 128, zero_point=0)
    _lstm_operator(build, inputs, made, version=3)
    return build.build((given,), (made,))


def _float_weights(build: Builder, name: str, *shape: int) -> int:
    return build.constant(name, weights(name, *shape))


_WEIGHT_SCALE = 1 / 100


def _int8_weights(build: Builder, name: str, *shape: int) -> int:
    rng = rng_of(name)
    if len(shape) == 1:
        # A bias has the scale of the input times that of the weights.
        bias = rng.integers(-2000, 2000, shape).astype(np.int32)
        return build.constant(name, bias, scale=_WEIGHT_SCALE / 64)
    return build.constant(name, rng.integers(-100, 100, shape).astype(np.int8), scale=_WEIGHT_SCALE)


def _lstm_inputs(
    build: Builder,
    given: int,
    weight: Callable[..., int],
    hidden: str,
    cell: str,
    scales: tuple[float | None, float | None],
) -> list[int]:
    """The 24 inputs in TFLite's order, for 3 features and 4 units; -1 stands for an absent one."""
    gates = ("input", "forget", "cell", "output")
    features = [weight(build, f"{gate}_w", 4, 3) for gate in gates]
    recurrent = [weight(build, f"{gate}_r", 4, 4) for gate in gates]
    biases = [weight(build, f"{gate}_b", 4) for gate in gates]
    state = build.tensor("hidden_state", (1, 4), hidden, scale=scales[0], variable=True)
    kept = build.tensor("cell_state", (1, 4), cell, scale=scales[1], variable=True)
    absent = -1
    return [
        given,
        *features,
        *recurrent,
        *[absent] * 3,
        *biases,
        *[absent] * 2,
        state,
        kept,
        *[absent] * 4,
    ]


def _lstm_operator(build: Builder, inputs: list[int], made: int, version: int = 1) -> None:
    build.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        inputs,
        (made,),
        options="UnidirectionalSequenceLSTMOptions",
        version=version,
        fusedActivationFunction=4,  # TANH
        cellClip=10.0,
        timeMajor=False,
    )


def _svdf(*, int8: bool) -> bytes:
    """SVDF of 4 features, 2 units of rank 1, 3 steps of memory."""
    build, rng = Builder(), rng_of("svdf")
    if int8:
        given = build.tensor("x", (1, 4), "int8", scale=0.02)
        inputs = [
            build.constant("feature", rng.integers(-90, 90, (2, 4)).astype("i1"), scale=0.01),
            build.constant("time", rng.integers(-900, 900, (2, 3)).astype("i2"), scale=0.001),
            build.constant("bias", rng.integers(-900, 900, (2,)).astype("i4"), scale=5e-7),
            build.tensor("state", (1, 6), "int16", scale=0.0005, variable=True),
        ]
        made = build.tensor("y", (1, 2), "int8", scale=0.02)
    else:
        given = build.tensor("x", (1, 4))
        inputs = [
            build.constant("feature", weights("svdf-feature", 2, 4)),
            build.constant("time", weights("svdf-time", 2, 3)),
            build.constant("bias", weights("svdf-bias", 2)),
            build.tensor("state", (1, 6), variable=True),
        ]
        made = build.tensor("y", (1, 2))
    build.operator("SVDF", (given, *inputs), (made,), options="SVDFOptions", rank=1, version=3)
    return build.build((given,), (made,))


def _circular() -> bytes:
    build = Builder()
    given = build.tensor("x", (1, 1, 1, 3), "int8", scale=0.02)
    # The buffer is its state: were it no variable, it would begin with what the arena held before.
    made = build.tensor("y", (1, 4, 1, 3), "int8", scale=0.02, variable=True)
    build.custom("CIRCULAR_BUFFER", (given,), (made,), {"cycles_max": 1})
    return build.build((given,), (made,))


def _front_end() -> bytes:
    """The operators of TFLM's audio front end from 16 samples to 2 channels."""
    build = Builder()
    given = build.tensor("sound", (16,), "int16")
    hann = np.round(4096 * np.hanning(16)).astype(np.int16)
    window = build.constant("window", hann)
    windowed = build.tensor("windowed", (16,), "int16")
    build.custom("SignalWindow", (given, window), (windowed,), {"shift": 12})
    scaled = build.tensor("scaled", (16,), "int16")
    bits = build.tensor("scale_bits", (), "int32")
    build.custom("SignalFftAutoScale", (windowed,), (scaled, bits), {})
    spectrum = build.tensor("spectrum", (18,), "int16")
    build.custom("SignalRfft", (scaled,), (spectrum,), {"T": 7, "fft_length": 16})
    energy = build.tensor("energy", (9,), "uint32")
    build.custom("SignalEnergy", (spectrum,), (energy,), {"start_index": 0, "end_index": 9})
    channels = _filter_bank(build, energy)
    root = build.tensor("root", (2,), "uint32")
    build.custom("SignalFilterBankSquareRoot", (channels, bits), (root,), {})
    clean, noise = (build.tensor(name, (2,), "uint32") for name in ("clean", "noise"))
    build.custom("SignalFilterBankSpectralSubtraction", (root,), (clean, noise), _SUBTRACTION)
    gains = build.constant("gains", np.arange(125, dtype=np.int16) * 40)
    level = build.tensor("level", (2,), "uint32")
    build.custom("SignalPCAN", (clean, noise, gains), (level,), {"snr_shift": 6})
    made = build.tensor("features", (2,), "int16")
    values = {"input_correction_bits": 3, "output_scale": 1600}
    build.custom("SignalFilterBankLog", (level,), (made,), values)
    return build.build((given,), (made,))


_SUBTRACTION = {
    "alternate_one_minus_smoothing": 15565,
    "alternate_smoothing": 819,
    "clamping": 1,
    "min_signal_remaining": 819,
    "num_channels": 2,
    "one_minus_smoothing": 15974,
    "smoothing": 410,
    "smoothing_bits": 10,
    "spectral_subtraction_bits": 14,
}


def _filter_bank(build: Builder, energy: int) -> int:
    def numbers(name: str, *values: int) -> int:
        return build.constant(name, np.array(values, np.int16))

    # Two triangles of four bins each; the first channel of the kernel is a scratch one.
    rising, falling = (1024, 2048, 3072, 4096), (3072, 2048, 1024, 0)
    inputs = (
        energy,
        numbers("weights", *(rising * 3)),
        numbers("unweights", *(falling * 3)),
        numbers("frequency_starts", 0, 1, 5),
        numbers("weight_starts", 0, 4, 8),
        numbers("widths", 4, 4, 4),
    )
    made = build.tensor("channels", (2,), "uint64")
    build.custom("SignalFilterBank", inputs, (made,), {"num_channels": 2})
    return made


def _stream() -> bytes:
    """Sound in frames, spectrum and back, delayed: operators that keep state."""
    build = Builder()
    given = build.tensor("sound", (1, 8), "int16")
    frames, valid = build.tensor("frames", (1, 1, 16), "int16"), build.tensor("valid", (), "bool")
    values = {"frame_size": 16, "frame_step": 8, "prefill": True}
    build.custom("SignalFramer", (given,), (frames, valid), values)
    spectrum = build.tensor("spectrum", (1, 1, 18), "int16")
    build.custom("SignalRfft", (frames,), (spectrum,), {"T": 7, "fft_length": 16})
    back = build.tensor("back", (1, 1, 16), "int16")
    build.custom("SignalIrfft", (spectrum,), (back,), {"T": 7, "fft_length": 16})
    joined = build.tensor("joined", (1, 8), "int16")
    build.custom("SignalOverlapAdd", (back,), (joined,), {"T": 7, "frame_step": 8})
    made = build.tensor("delayed", (1, 8), "int16")
    build.custom("SignalDelay", (joined,), (made,), {"delay_length": 3})
    return build.build((given,), (made, valid))


def _stacker() -> bytes:
    build = Builder()
    given = build.tensor("features", (3,), "int16")
    made, valid = build.tensor("stacked", (6,), "int16"), build.tensor("valid", (), "bool")
    # With frames to the right the first outputs would be unwritten memory, marked as not valid.
    values = {
        "num_channels": 3,
        "stacker_left_context": 1,
        "stacker_right_context": 0,
        "stacker_step": 1,
    }
    build.custom("SignalStacker", (given,), (made, valid), values)
    return build.build((given,), (made, valid))


_STATEFUL: dict[str, tuple[str, Callable[[], bytes]]] = {
    "lstm-float32": ("UNIDIRECTIONAL_SEQUENCE_LSTM, 5 steps of 3 features", _lstm_float),
    "lstm-int8": ("the same, int8 with an int16 cell state", _lstm_int8),
    "svdf-float32": ("SVDF with 3 steps of memory", lambda: _svdf(int8=False)),
    "svdf-int8": ("SVDF, int8 with an int16 state", lambda: _svdf(int8=True)),
    "circular-buffer-int8": ("CIRCULAR_BUFFER: the last four inputs", _circular),
    "signal-front-end-int16": ("TFLM's audio front end, nine signal operators", _front_end),
    "signal-stream-int16": ("framer, spectrum, inverse, overlap-add, delay", _stream),
    "signal-stacker-int16": ("SignalStacker: two frames of features", _stacker),
}


def _unknown() -> bytes:
    build = Builder()
    given, made = build.tensor("x", (1, 4)), build.tensor("y", (1, 4))
    build.custom("NobodysOperator", (given,), (made,), {})
    return build.build((given,), (made,))


_REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "tile-float32": (
        "TILE: an operator that TFLite Micro lacks",
        lambda: _one("TILE", [((1, 4),)], [((1, 8),)], [_integers(1, 2)], options="TileOptions"),
    ),
    "custom-float32": ("a custom operator that nobody has", _unknown),
}
