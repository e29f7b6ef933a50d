"""Models by type and by shape: several inputs and outputs, ranks 0 to 5, batches, forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.zoo.source import Source, weights


def shapes(tf: Any) -> Sequence[Source]:
    """Models of every type and shape."""
    return (*_forms(tf), *_ranks(tf), *_batches(tf), *_several(tf), *_networks(tf))


def _forms(tf: Any) -> list[Source]:
    kernel = tf.constant(weights("forms-kernel", 3, 3, 2, 4))
    dense = tf.constant(weights("forms-dense", 64, 32, scale=0.2))
    last = tf.constant(weights("forms-last", 32, 4))

    def network(x: Any) -> Any:
        hidden = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME"))
        hidden = tf.nn.relu(tf.matmul(tf.reshape(hidden, (1, 64)), dense))
        return tf.nn.softmax(tf.matmul(hidden, last))

    given = (tf.TensorSpec((1, 8, 8, 2), name="x"),)
    forms = {
        "float32": "float32",
        "int8": "int8",
        "int8-with-float-io": "int8 inside, float32 in and out",
        "uint8-io": "int8 inside, uint8 in and out",
        "int16x8": "int16 activations, int8 weights",
        "dynamic-range": "int8 weights, float32 activations: hybrid kernels",
        "float16": "float16 weights",
    }
    return [
        Source(
            name=f"network-{form}",
            what=f"CONV_2D, two Dense, SOFTMAX: {what}",
            function=network,
            inputs=given,
            form=form,
        )
        for form, what in forms.items()
    ] + [
        Source(
            name="network-int8-per-tensor",
            what="the same, Dense layers with one scale",
            function=network,
            inputs=given,
            form="int8",
            per_tensor=True,
        ),
    ]


def _ranks(tf: Any) -> list[Source]:
    sizes = {0: (), 1: (6,), 2: (2, 3), 3: (2, 3, 2), 4: (1, 2, 3, 2), 5: (1, 2, 1, 3, 2)}
    return [
        Source(
            name=f"rank-{rank}-int8",
            what=f"an input and an output of rank {rank}",
            function=lambda x: tf.tanh(x),
            inputs=(tf.TensorSpec(shape, name="x"),),
            form="int8",
        )
        for rank, shape in sizes.items()
    ]


def _batches(tf: Any) -> list[Source]:
    dense = tf.constant(weights("batch-dense", 6, 3))
    return [
        Source(
            name=f"batch-{batch or 'open'}-int8",
            what="Dense, " + (f"a batch of {batch}" if batch else "the batch left open"),
            function=lambda x: tf.nn.relu(tf.matmul(x, dense)),
            inputs=(tf.TensorSpec((batch, 6), name="x"),),
            form="int8",
        )
        for batch in (4, None)
    ]


def _several(tf: Any) -> list[Source]:
    first = tf.constant(weights("several-first", 6, 4))
    second = tf.constant(weights("several-second", 3, 4))
    heads = tf.constant(weights("several-heads", 4, 2))

    def network(a: Any, b: Any) -> Any:
        hidden = tf.nn.relu(tf.matmul(a, first) + tf.matmul(b, second))
        return {"classes": tf.nn.softmax(tf.matmul(hidden, heads)), "hidden": hidden}

    inputs = (tf.TensorSpec((1, 6), name="a"), tf.TensorSpec((1, 3), name="b"))
    return [
        Source(
            name=f"two-inputs-two-outputs-{form}",
            what="two inputs, two outputs of other shapes",
            function=network,
            inputs=inputs,
            form=form,
        )
        for form in ("int8", "float32")
    ] + [
        Source(
            name="mixed-types",
            what="inputs of float32, int32 and bool, outputs of float32 and int32",
            function=lambda x, n, yes: (tf.where(yes, x, -x), n + 1),
            inputs=(
                tf.TensorSpec((1, 4), name="x"),
                tf.TensorSpec((1, 3), tf.int32, name="n"),
                tf.TensorSpec((1, 1), tf.bool, name="yes"),
            ),
        ),
        Source(
            name="string-input",
            what="a string input: no runtime takes it",
            function=lambda text: tf.reshape(text, (3, 1)),
            inputs=(tf.TensorSpec((1, 3), tf.string, name="text"),),
        ),
    ]


def _networks(tf: Any) -> list[Source]:
    kernel = tf.constant(weights("residual-kernel", 3, 3, 4, 4, scale=0.2))
    depth = tf.constant(weights("separable-depth", 3, 3, 4, 1))
    point = tf.constant(weights("separable-point", 1, 1, 4, 8))
    last = tf.constant(weights("separable-last", 8, 3))

    def residual(x: Any) -> Any:
        return tf.nn.relu(x + tf.nn.conv2d(x, kernel, 1, "SAME"))

    def separable(x: Any) -> Any:
        hidden = tf.nn.relu6(tf.nn.depthwise_conv2d(x, depth, (1, 2, 2, 1), "SAME"))
        hidden = tf.nn.relu6(tf.nn.conv2d(hidden, point, 1, "SAME"))
        return tf.nn.softmax(tf.matmul(tf.reduce_mean(hidden, axis=(1, 2)), last))

    given = (tf.TensorSpec((1, 8, 8, 4), name="x"),)
    networks = {
        "residual": ("CONV_2D and ADD across it", residual),
        "separable": ("depthwise and pointwise CONV_2D, MEAN, Dense, SOFTMAX", separable),
    }
    return [
        Source(name=f"{name}-int8", what=what, function=function, inputs=given, form="int8")
        for name, (what, function) in networks.items()
    ]
