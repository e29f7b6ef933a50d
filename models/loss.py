"""Exploring the loss: guess w and b of y = w x + b for six points, and see how wrong that is.

The first lesson of a course, before any training: NumPy alone, and matplotlib for the figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.linear import X, line
from models.recipe import Array, mse

LARGEST = 1e6
"""Of a guess: the squares of larger ones say nothing, and would overflow in the end."""

DIVERGED = 1e18
FORMATS = (".png", ".svg")
SHOWN_STEPS = 6
FIRST_STEPS = 6
"""What is drawn of a descent that goes up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """Gradient descent: w and b before the first step and after each, and the loss there.

    It ends early where the loss exceeds `DIVERGED`.
    """

    weights: Array
    losses: Array

    @property
    def diverged(self) -> bool:
        """Whether the loss grew instead of falling."""
        return bool(self.losses[-1] > max(self.losses[0], 1e-9))


def predict(w: float, b: float) -> Array:
    """What the line says at each of the six points, in their order."""
    predicted: Array = w * _x() + b
    return predicted


def loss(w: float, b: float) -> float:
    """Mean squared error over the six points."""
    return mse(predict(w, b), _y())


def surface(ws: Array, bs: Array) -> Array:
    """The loss of every pair: one row for each b, one column for each w."""
    errors = ws[np.newaxis, :, np.newaxis] * _x() + bs[:, np.newaxis, np.newaxis] - _y()
    squares: Array = np.mean(np.square(errors), axis=2)
    return squares


def best() -> tuple[float, float]:
    """The w and b of the least loss, by least squares."""
    w, b = np.polyfit(_x(), _y(), 1)
    return float(w), float(b)


def largest_rate() -> float:
    """The learning rate from which on gradient descent diverges: 2 over the largest curvature."""
    curvature = 2 * np.array([[np.mean(_x() ** 2), np.mean(_x())], [np.mean(_x()), 1]])
    return 2 / float(np.linalg.eigvalsh(curvature)[-1])


def descend(w: float, b: float, *, rate: float, steps: int) -> Descent:
    """The path that gradient descent takes from a guess: each step goes against the gradient."""
    weights, losses = [(w, b)], [loss(w, b)]
    while len(losses) <= steps and losses[-1] <= DIVERGED:
        error = predict(w, b) - _y()
        w -= rate * 2 * float(np.mean(error * _x()))
        b -= rate * 2 * float(np.mean(error))
        weights.append((w, b))
        losses.append(loss(w, b))
    return Descent(weights=np.array(weights), losses=np.array(losses))


def finite(text: str, *, largest: float = LARGEST) -> float:
    """A number to guess with.

    Raises:
        ValueError: not a number, not finite, or too large to be squared with any meaning.
    """
    number = float(text)
    if not abs(number) <= largest:
        raise ValueError(f"{text} is not between {-largest:g} and {largest:g}")
    return number


def report(w: float, b: float, path: Descent, rate: float) -> list[str]:
    """The guess point by point, its loss, and the way down from it, as lines of text."""
    rows: list[tuple[str, ...]] = [("x", "y", "guess", "error", "squared")]
    for x, y, guess in zip(_x(), _y(), predict(w, b), strict=True):
        rows.append(tuple(f"{value:g}" for value in (x, y, guess, guess - y, (guess - y) ** 2)))
    return [
        f"y = {w:g} x {b:+g}",
        *_aligned(rows),
        f"sum of squares {loss(w, b) * len(_x()):.6g}, its root "
        f"{math.sqrt(loss(w, b) * len(_x())):.6g}, mean (MSE) {loss(w, b):.6g}",
        "least loss: {:.6g} at w = {:.6g}, b = {:.6g}".format(*_least()),
        f"gradient descent from there, learning rate {rate:g}:",
        *_aligned([("step", "w", "b", "MSE"), *_steps(path)]),
    ]


def data(w: float, b: float, path: Descent, rate: float) -> dict[str, Any]:
    """The same for programs, with every step of the way down: its w, b and MSE."""
    least, best_w, best_b = _least()
    points = zip(_x().tolist(), _y().tolist(), predict(w, b).tolist(), strict=True)
    return {
        "w": w,
        "b": b,
        "points": [{"x": x, "y": y, "guess": guess} for x, y, guess in points],
        "mse": loss(w, b),
        "least": {"w": best_w, "b": best_b, "mse": least},
        "rate": rate,
        "steps": [
            {"w": step_w, "b": step_b, "mse": mse}
            for (step_w, step_b), mse in zip(
                path.weights.tolist(), path.losses.tolist(), strict=True
            )
        ],
        "diverged": path.diverged,
    }


def _least() -> tuple[float, float, float]:
    w, b = (round(value, 9) for value in best())
    return loss(w, b), w, b


def _steps(path: Descent) -> list[tuple[str, ...]]:
    """The first steps, more and more of them left out, and the last."""
    last = len(path.losses) - 1
    shown = sorted({min(last, round(step)) for step in np.geomspace(1, last + 1, SHOWN_STEPS) - 1})
    return [
        (f"{step}", *(f"{value:.6g}" for value in (*path.weights[step], path.losses[step])))
        for step in shown
    ]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def draw(w: float, b: float, path: Descent, file: Path) -> None:
    """Draw the guess among the points, and the loss around it with the way down, as PNG or SVG.

    Raises:
        ValueError: the file's name ends in something else.
        OSError: it cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    if file.suffix.lower() not in FORMATS:
        raise ValueError(f"{file.name} does not end in {' or '.join(FORMATS)}")
    with matplotlib.rc_context({"svg.hashsalt": "tinyml-hil"}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        points, valley = figure.subplots(1, 2)
        _draw_points(points, w, b)
        _draw_surface(valley, w, b, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=100, metadata={"Date": None} if file.suffix == ".svg" else None)


def _draw_points(axes: Any, w: float, b: float) -> None:
    axes.vlines(_x(), _y(), predict(w, b), color="#D55E00", linewidth=1, label="error")
    axes.plot(_x(), predict(w, b), color="#D55E00", label=f"guess: {w:g} x {b:+g}")
    axes.plot(_x(), _y(), "o", color="#0072B2", label="points")
    axes.set(title=f"MSE {loss(w, b):.4g}", xlabel="x", ylabel="y")
    axes.legend(frameon=False)


def _draw_surface(axes: Any, w: float, b: float, path: Descent) -> None:
    from matplotlib.colors import LogNorm

    walked = path.weights[:FIRST_STEPS] if path.diverged else path.weights
    ws, bs = (_span(values, at) for values, at in zip(walked.T, best(), strict=True))
    losses = surface(ws, bs)
    levels = np.geomspace(losses.max() * 1e-4, losses.max(), 13)
    filled = axes.contourf(
        ws, bs, losses, levels=levels, norm=LogNorm(), cmap="Blues", extend="min"
    )
    axes.figure.colorbar(filled, ax=axes, label="MSE", format="%.2g")
    axes.plot(*walked.T, ".-", color="#333333", linewidth=1, label="gradient descent")
    axes.plot(w, b, "o", color="#D55E00", label="guess")
    axes.plot(*best(), "*", color="#009E73", markersize=12, label="least loss")
    axes.set(title="loss by w and b", xlabel="w", ylabel="b", xlim=ws[[0, -1]], ylim=bs[[0, -1]])
    axes.legend(loc="best")


def _span(values: Array, least_at: float) -> Array:
    low, high = min(values.min(), least_at), max(values.max(), least_at)
    half = max(0.65 * (high - low), 0.8)
    around: Array = (low + high) / 2 + np.linspace(-half, half, 121)
    return around


def _x() -> Array:
    return np.asarray(X[:, 0], dtype=np.float64)


def _y() -> Array:
    return np.asarray(line(X)[:, 0], dtype=np.float64)
