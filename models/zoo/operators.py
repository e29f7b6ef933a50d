"""Models of one operator, or of a few that belong together, as the converter makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.zoo.source import Source, weights


def operators(tf: Any) -> Sequence[Source]:
    """Models of single operators."""
    return (
        *_arithmetic(tf),
        *_functions(tf),
        *_activations(tf),
        *_comparisons(tf),
        *_integers(tf),
        *_layers(tf),
        *_pooling(tf),
        *_reductions(tf),
        *_moves(tf),
        *_selections(tf),
        *_resizing(tf),
        *_normalization(tf),
    )


def _image(tf: Any, channels: int = 3, size: int = 4) -> Any:
    return tf.TensorSpec((1, size, size, channels), tf.float32, name="image")


def _row(tf: Any, size: int = 12, name: str = "x", dtype: Any = None) -> Any:
    return tf.TensorSpec((1, size), dtype or tf.float32, name=name)


def _pair(tf: Any, dtype: Any = None) -> tuple[Any, Any]:
    return _row(tf, name="a", dtype=dtype), _row(tf, name="b", dtype=dtype)


def _arithmetic(tf: Any) -> list[Source]:
    functions = {
        "add": tf.add,
        "sub": tf.subtract,
        "mul": tf.multiply,
        "maximum": tf.maximum,
        "minimum": tf.minimum,
        "squared-difference": tf.math.squared_difference,
    }
    pairs = [
        Source(
            name=f"{name}-int8",
            what=f"{name} of two inputs",
            function=lambda a, b, f=function: f(a, b),
            inputs=_pair(tf),
            form="int8",
        )
        for name, function in functions.items()
    ]
    return [
        *pairs,
        Source(
            name="div-float32",
            what="quotient of two inputs",
            function=lambda a, b: tf.divide(a, tf.maximum(b, 0.5)),
            inputs=_pair(tf),
        ),
        Source(
            name="add-n-float32",
            what="sum of three inputs",
            function=lambda a, b, c: tf.add_n([a, b, c]),
            inputs=(*_pair(tf), _row(tf, name="c")),
        ),
        Source(
            name="add-broadcast-int8",
            what="an input of (1, 4, 4, 3) plus one of (1, 1, 1, 3)",
            function=lambda a, b: a + b,
            inputs=(
                tf.TensorSpec((1, 4, 4, 3), name="a"),
                tf.TensorSpec((1, 1, 1, 3), name="b"),
            ),
            form="int8",
        ),
        Source(
            name="floor-div-mod-float32",
            what="FLOOR_DIV and FLOOR_MOD of an input by a constant",
            function=lambda x: (tf.math.floordiv(x, 0.75), tf.math.floormod(x, 0.75)),
            inputs=(_row(tf),),
        ),
    ]


def _functions(tf: Any) -> list[Source]:
    one = {
        "abs": (tf.abs, "int8", -2.0),
        "neg": (tf.negative, "float32", -2.0),
        "rsqrt": (tf.math.rsqrt, "int8", 0.25),
        "exp": (tf.exp, "float32", -2.0),
        "log": (lambda x: tf.math.log(tf.abs(x) + 0.5), "float32", 0.25),
    }
    single = [
        Source(
            name=f"{name}-{form}",
            what=f"{name} of each value",
            function=lambda x, f=function: f(x),
            inputs=(_row(tf),),
            form=form,
            low=low,
        )
        for name, (function, form, low) in one.items()
    ]
    return [
        *single,
        Source(
            name="round-float32",
            what="ceil, floor and round of one input",
            function=lambda x: (tf.math.ceil(x), tf.math.floor(x), tf.math.round(x)),
            inputs=(_row(tf),),
        ),
        Source(
            name="sin-cos-float32",
            what="sin and cos of one input",
            function=lambda x: (tf.sin(x), tf.cos(x)),
            inputs=(_row(tf),),
        ),
        Source(
            name="square-sqrt-float32",
            what="square and the square root of it plus 1",
            function=lambda x: (tf.square(x), tf.sqrt(tf.square(x) + 1.0)),
            inputs=(_row(tf),),
        ),
    ]


def _activations(tf: Any) -> list[Source]:
    functions = {
        "relu": tf.nn.relu,
        "relu6": tf.nn.relu6,
        "leaky-relu": lambda x: tf.nn.leaky_relu(x, 0.2),
        "hard-swish": lambda x: x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0),
        "logistic": tf.sigmoid,
        "tanh": tf.tanh,
        "softmax": tf.nn.softmax,
        "log-softmax": tf.nn.log_softmax,
    }
    return [
        Source(
            name=f"{name}-{form}",
            what=f"{name}",
            function=lambda x, f=function: f(x),
            inputs=(_image(tf),),
            form=form,
            low=-4.0,
            high=4.0,
        )
        for name, function in functions.items()
        for form in (("int8", "float32") if name in ("softmax", "logistic") else ("int8",))
    ]


def _comparisons(tf: Any) -> list[Source]:
    return [
        Source(
            name="compare-float32",
            what="EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL; six bool outputs",
            function=lambda a, b: (a == b, a != b, a < b, a <= b, a > b, a >= b),
            inputs=_pair(tf),
        ),
        Source(
            name="less-int8",
            what="LESS of two int8 inputs, a bool output",
            function=lambda a, b: a < b,
            inputs=_pair(tf),
            form="int8",
        ),
        Source(
            name="logical-bool",
            what="LOGICAL_AND, LOGICAL_OR, LOGICAL_NOT; bool in and out",
            function=lambda a, b: (
                tf.logical_and(a, b),
                tf.logical_or(a, b),
                tf.logical_not(a),
            ),
            inputs=_pair(tf, tf.bool),
        ),
        Source(
            name="reduce-all-bool",
            what="REDUCE_ALL; bool in and out",
            function=lambda a: tf.reduce_all(a, axis=1),
            inputs=(_row(tf, dtype=tf.bool),),
        ),
    ]


def _integers(tf: Any) -> list[Source]:
    return [
        Source(
            name="add-int32",
            what="sum of two int32 inputs",
            function=lambda a, b: a + b,
            inputs=_pair(tf, tf.int32),
        ),
        Source(
            name="concat-int64",
            what="two int64 inputs, one behind the other",
            function=lambda a, b: tf.concat([a, b], axis=1),
            inputs=_pair(tf, tf.int64),
        ),
        Source(
            name="cast-int32-float32",
            what="CAST of an int32 input to float32",
            function=lambda x: tf.cast(x, tf.float32),
            inputs=(_row(tf, dtype=tf.int32),),
        ),
        Source(
            name="argmax-int64",
            what="index of the largest value as int64, which TFLite Micro refuses",
            function=lambda x: tf.argmax(x, axis=-1),
            inputs=(_row(tf),),
            form="int8",
        ),
        Source(
            name="argmax-int8",
            what="index of the largest value, an int32 output",
            function=lambda x: tf.argmax(x, axis=-1, output_type=tf.int32),
            inputs=(_row(tf),),
            form="int8",
        ),
        Source(
            name="argmin-float32",
            what="index of the smallest value, an int32 output",
            function=lambda x: tf.argmin(x, axis=-1, output_type=tf.int32),
            inputs=(_row(tf),),
        ),
    ]


def _layers(tf: Any) -> list[Source]:
    dense = tf.constant(weights("dense", 12, 5))
    bias = tf.constant(weights("dense-bias", 5))
    kernel = tf.constant(weights("conv", 3, 3, 3, 4))
    depth = tf.constant(weights("depthwise", 3, 3, 3, 2))
    back = tf.constant(weights("transpose-conv", 3, 3, 2, 3))
    other = tf.constant(weights("batch-matmul", 3, 5, 4))
    layers = {
        "dense": (lambda x: tf.matmul(x, dense) + bias, _row(tf)),
        "conv-2d": (lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"), _image(tf)),
        "depthwise-conv-2d": (
            lambda x: tf.nn.depthwise_conv2d(x, depth, (1, 1, 1, 1), "VALID"),
            _image(tf),
        ),
        "transpose-conv": (
            lambda x: tf.nn.conv2d_transpose(x, back, (1, 8, 8, 2), 2, "SAME"),
            _image(tf),
        ),
        "batch-matmul": (
            lambda x: tf.matmul(x, other),
            tf.TensorSpec((3, 2, 5), name="x"),
        ),
    }
    return [
        Source(
            name=f"{name}-{form}",
            what=name,
            function=lambda x, f=function: f(x),
            inputs=(given,),
            form=form,
        )
        for name, (function, given) in layers.items()
        for form in ("int8", "float32")
    ]


def _pooling(tf: Any) -> list[Source]:
    return [
        Source(
            name=f"{name}-int8",
            what=name,
            function=lambda x, f=function: f(x, 2, 2, "VALID"),
            inputs=(_image(tf),),
            form="int8",
        )
        for name, function in (
            ("average-pool-2d", tf.nn.avg_pool2d),
            ("max-pool-2d", tf.nn.max_pool2d),
        )
    ]


def _reductions(tf: Any) -> list[Source]:
    functions = {
        "mean": tf.reduce_mean,
        "sum": tf.reduce_sum,
        "reduce-max": tf.reduce_max,
        "reduce-min": tf.reduce_min,
    }
    return [
        Source(
            name=f"{name}-int8",
            what=f"{name} over height and width",
            function=lambda x, f=function: f(x, axis=(1, 2)),
            inputs=(_image(tf),),
            form="int8",
        )
        for name, function in functions.items()
    ] + [
        Source(
            name="cumsum-float32",
            what="running sum along the last axis",
            function=lambda x: tf.cumsum(x, axis=1),
            inputs=(_row(tf),),
        )
    ]


def _moves(tf: Any) -> list[Source]:
    moves = {
        "concat": lambda x: tf.concat([x, x * 0.5], axis=-1),
        "pack": lambda x: tf.stack([x, x * 0.5], axis=0),
        "pad": lambda x: tf.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0))),
        "padv2": lambda x: tf.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0)), constant_values=0.5),
        "mirror-pad": lambda x: tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="REFLECT"),
        "transpose": lambda x: tf.transpose(x, (0, 3, 1, 2)),
        "slice": lambda x: tf.slice(x, (0, 1, 1, 0), (1, 2, 2, 3)),
        "strided-slice": lambda x: x[:, 1::2, ::-1, 1],
        "reverse": lambda x: tf.reverse(x, axis=(1,)),
        "space-to-depth": lambda x: tf.nn.space_to_depth(x, 2),
        "space-to-batch": lambda x: tf.space_to_batch(x, (2, 2), ((0, 0), (0, 0))),
        "reshape": lambda x: tf.reshape(x, (1, 48)),
    }
    return [
        *(
            Source(
                name=f"{name}-int8",
                what=name,
                function=lambda x, f=function: f(x),
                inputs=(_image(tf),),
                form="int8",
            )
            for name, function in moves.items()
        ),
        Source(
            name="depth-to-space-int8",
            what="depth-to-space",
            function=lambda x: tf.nn.depth_to_space(x, 2),
            inputs=(_image(tf, channels=8),),
            form="int8",
        ),
        Source(
            name="batch-to-space-int8",
            what="batch-to-space, an input of batch 4",
            function=lambda x: tf.batch_to_space(x, (2, 2), ((0, 0), (0, 0))),
            inputs=(tf.TensorSpec((4, 2, 2, 3), name="x"),),
            form="int8",
        ),
        Source(
            name="split-int8",
            what="an input in three parts, three outputs",
            function=lambda x: tf.split(x, 3, axis=1),
            inputs=(_row(tf),),
            form="int8",
        ),
        Source(
            name="split-v-int8",
            what="an input in parts of 2 and 10",
            function=lambda x: tf.split(x, (2, 10), axis=1),
            inputs=(_row(tf),),
            form="int8",
        ),
        Source(
            name="unpack-int8",
            what="an input of (1, 3, 4) as three outputs",
            function=lambda x: tf.unstack(x, axis=1),
            inputs=(tf.TensorSpec((1, 3, 4), name="x"),),
            form="int8",
        ),
        Source(
            name="broadcast-to-float32",
            what="an input of (1, 4) as (3, 4)",
            function=lambda x: tf.broadcast_to(x, (3, 4)),
            inputs=(tf.TensorSpec((1, 4), name="x"),),
        ),
        Source(
            name="fill-float32",
            what="FILL with an input of rank 0",
            function=lambda value: tf.fill((2, 3), value),
            inputs=(tf.TensorSpec((), name="value"),),
        ),
    ]


def _selections(tf: Any) -> list[Source]:
    table = tf.constant(weights("table", 10, 4))
    return [
        Source(
            name="embedding-gather-float32",
            what="ids of 10 words, GATHER of their vectors",
            function=lambda ids: tf.gather(table, ids),
            inputs=(tf.TensorSpec((1, 6), tf.int32, name="ids"),),
        ),
        Source(
            name="embedding-gather-int8",
            what="ids of 10 words, GATHER of their int8 vectors, their mean",
            function=lambda ids: tf.reduce_mean(tf.gather(table, ids), axis=1),
            inputs=(tf.TensorSpec((1, 6), tf.int32, name="ids"),),
            form="int8",
        ),
        Source(
            name="gather-nd-float32",
            what="GATHER_ND at constant places",
            function=lambda x: tf.gather_nd(x, ((0, 1), (0, 7), (0, 3))),
            inputs=(_row(tf),),
        ),
        Source(
            name="select-v2-float32",
            what="SELECT_V2 by a bool input",
            function=lambda which, a, b: tf.where(which, a, b),
            inputs=(_row(tf, size=1, name="which", dtype=tf.bool), *_pair(tf)),
        ),
    ]


def _resizing(tf: Any) -> list[Source]:
    resize = tf.compat.v1.image
    return [
        Source(
            name="resize-bilinear-int8",
            what="4x4 to 7x6",
            function=lambda x: resize.resize_bilinear(x, (7, 6), half_pixel_centers=True),
            inputs=(_image(tf),),
            form="int8",
        ),
        Source(
            name="resize-nearest-int8",
            what="4x4 to 8x8",
            function=lambda x: resize.resize_nearest_neighbor(x, (8, 8)),
            inputs=(_image(tf),),
            form="int8",
        ),
    ]


def _normalization(tf: Any) -> list[Source]:
    return [
        Source(
            name=f"l2-normalization-{form}",
            what="L2_NORMALIZATION along the last axis",
            function=lambda x: tf.math.l2_normalize(x, axis=-1),
            inputs=(_row(tf),),
            form=form,
        )
        for form in ("int8", "float32")
    ]
