"""Models with control flow or state, as TensorFlow's converter makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.zoo.source import Source, weights


def flow(tf: Any) -> Sequence[Source]:
    """Models with subgraphs, and models with variables."""
    return (*_control(tf), *_variables(tf))


def _control(tf: Any) -> list[Source]:
    step = tf.constant(weights("while", 4, 4, scale=0.3))

    def repeated(x: Any) -> Any:
        def more(n: Any, _: Any) -> Any:
            return n < 3

        def body(n: Any, value: Any) -> Any:
            return n + 1, tf.tanh(tf.matmul(value, step))

        return tf.while_loop(more, body, (0, x))[1]

    row = tf.TensorSpec((1, 4), name="x")
    return [
        Source(
            name="if-float32",
            what="IF by a bool input: two subgraphs",
            function=lambda yes, x: tf.cond(yes, lambda: x * 2.0, lambda: tf.tanh(x)),
            inputs=(tf.TensorSpec((), tf.bool, name="yes"), row),
        ),
        Source(
            name="while-float32",
            what="WHILE three times: two subgraphs",
            function=repeated,
            inputs=(row,),
        ),
    ]


def _variables(tf: Any) -> list[Source]:
    row = tf.TensorSpec((1, 4), name="x")
    sources = []
    for form in ("float32", "int8"):
        owner = tf.Module()
        owner.total = tf.Variable(tf.zeros((1, 4)))

        def accumulate(x: Any, owner: Any = owner) -> Any:
            total = owner.total + 0.5 * x
            owner.total.assign(total)
            return tf.tanh(total)

        sources.append(
            Source(
                name=f"variable-{form}",
                what="a running sum in a variable: CALL_ONCE, VAR_HANDLE, READ, ASSIGN",
                function=accumulate,
                inputs=(row,),
                form=form,
                owner=owner,
            )
        )
    return sources
