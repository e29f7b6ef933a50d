"""Small synthetic picture sets, in the layout of real ones: one folder of PNG files per class."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.recipe import DataError, Request

SIDE = 128
COUNT = 120
"""Pictures of each class."""

Draw = Callable[[Any, random.Random, "Frame"], None]


class Frame:
    """Places a figure's own coordinates, -1 to 1, somewhere in the picture."""

    def __init__(self, dice: random.Random) -> None:
        self._size = SIDE * dice.uniform(0.28, 0.42)
        self._turn = math.radians(dice.uniform(-12, 12))
        self._centre = [SIDE * dice.uniform(0.42, 0.58) for _ in range(2)]
        self._mirror = dice.choice((-1, 1))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point."""
        x *= self._mirror
        cos, sin = math.cos(self._turn), math.sin(self._turn)
        return (
            self._centre[0] + self._size * (x * cos - y * sin),
            self._centre[1] + self._size * (x * sin + y * cos),
        )

    def line(self, pen: Any, points: list[tuple[float, float]], colour: Any, width: float) -> None:
        pen.line([self.at(*p) for p in points], fill=colour, width=max(1, int(width * self._size)))

    def disc(self, pen: Any, x: float, y: float, across: float, high: float, colour: Any) -> None:
        ring = [
            self.at(
                x + across * math.cos(turn / 12 * math.pi), y + high * math.sin(turn / 12 * math.pi)
            )
            for turn in range(24)
        ]
        pen.polygon(ring, fill=colour)


def horse(pen: Any, dice: random.Random, frame: Frame) -> None:
    coat = tuple(dice.randint(30, 160) for _ in range(3))
    for x in (-0.55, -0.35, 0.35, 0.55):
        frame.line(pen, [(x, 0.2), (x + dice.uniform(-0.15, 0.15), 0.95)], coat, 0.13)
    frame.disc(pen, 0, 0, 0.7, 0.3, coat)
    frame.line(pen, [(0.55, -0.1), (0.85, -0.65)], coat, 0.25)
    frame.disc(pen, 0.98, -0.7, 0.26, 0.13, coat)
    frame.line(pen, [(-0.68, -0.1), (-0.95, dice.uniform(0.2, 0.6))], coat, 0.08)


def human(pen: Any, dice: random.Random, frame: Frame) -> None:
    skin = tuple(dice.randint(120, 230) for _ in range(3))
    cloth = tuple(dice.randint(20, 230) for _ in range(3))
    for side in (-1, 1):
        frame.line(pen, [(side * 0.1, 0.2), (side * dice.uniform(0.1, 0.35), 1.0)], cloth, 0.16)
        frame.line(
            pen,
            [(side * 0.2, -0.35), (side * dice.uniform(0.3, 0.7), dice.uniform(-0.6, 0.2))],
            skin,
            0.1,
        )
    frame.disc(pen, 0, -0.1, 0.24, 0.4, cloth)
    frame.disc(pen, 0, -0.72, 0.19, 0.22, skin)


def _head(pen: Any, dice: random.Random, frame: Frame, ear: list[tuple[float, float]]) -> None:
    coat = tuple(dice.randint(60, 220) for _ in range(3))
    for side in (-1, 1):
        pen.polygon([frame.at(side * x, y) for x, y in ear], fill=coat)
    frame.disc(pen, 0, 0, 0.7, 0.62, coat)
    for side in (-1, 1):
        frame.disc(pen, side * 0.28, -0.12, 0.1, 0.12, (20, 20, 20))


def cat(pen: Any, dice: random.Random, frame: Frame) -> None:
    _head(pen, dice, frame, [(0.15, -0.5), (0.62, -1.05), (0.68, -0.2)])
    frame.disc(pen, 0, 0.15, 0.08, 0.06, (200, 120, 120))
    for side in (-1, 1):
        for drop in (0.1, 0.22, 0.34):
            frame.line(pen, [(side * 0.2, 0.22), (side * 0.95, drop)], (240, 240, 240), 0.02)


def dog(pen: Any, dice: random.Random, frame: Frame) -> None:
    _head(pen, dice, frame, [(0.45, -0.5), (0.95, -0.3), (0.9, 0.55), (0.6, 0.3)])
    frame.disc(pen, 0, 0.3, 0.32, 0.28, (230, 220, 200))
    frame.disc(pen, 0, 0.15, 0.16, 0.11, (20, 20, 20))


HORSES_AND_HUMANS: dict[str, Draw] = {"horses": horse, "humans": human}
CATS_AND_DOGS: dict[str, Draw] = {"cats": cat, "dogs": dog}


def draw_set(folder: Path, figures: dict[str, Draw], *, count: int = COUNT, seed: int = 1) -> None:
    """Write `count` pictures of each figure to `folder`/CLASS/NUMBER.png."""
    from PIL import Image, ImageDraw

    dice = random.Random(seed)
    for name, figure in figures.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = Image.new(
                "RGB", (SIDE, SIDE), tuple(dice.randint(150, 255) for _ in range(3))
            )
            pen = ImageDraw.Draw(picture)
            ground = SIDE * dice.uniform(0.6, 0.9)
            pen.rectangle(
                (0, ground, SIDE, SIDE), fill=tuple(dice.randint(80, 200) for _ in range(3))
            )
            figure(pen, dice, Frame(dice))
            picture.save(folder / name / f"{number:04}.png")


def folder_for(request: Request, name: str, figures: dict[str, Draw], state: Path) -> Path:
    """The folder the user names, or one with synthetic pictures, drawn where they are absent.

    Raises:
        DataError: the pictures cannot be drawn.
    """
    if request.folder is not None:
        return request.folder
    folder = state / f"synthetic-{name}-{request.seed}"
    request.say(
        f"no --data DIR with folders {', '.join(figures)}: training on synthetic drawings in "
        f"{folder}. It will know drawings, not photographs"
    )
    if not folder.is_dir():
        part = folder.with_suffix(".part")
        try:
            draw_set(part, figures, seed=request.seed)
        except (ImportError, OSError) as error:
            raise DataError(f"cannot draw pictures: {error}") from error
        part.rename(folder)
    return folder
