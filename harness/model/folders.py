"""Images and sounds in one folder for each class, decoded one by one when they are needed."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.targets import class_names, class_numbers
from harness.model.tensor import TensorSpec
from harness.text import listed, printable

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
SOUNDS = (".wav",)
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's other readers start programs, or read what nobody has as a data set."""

MOST_FILES = 5_000_000
MOST_PIXELS = 64_000_000
MOST_FRAMES = 50_000_000
GREY, RGB = "grey", "rgb"
COLOURS = (GREY, RGB)
_MODES = {GREY: "L", RGB: "RGB"}
_CHANNELS = {1: GREY, 3: RGB}
_WIDTHS: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype("<i2"), 4: np.dtype("<i4")}
_CLASSES_SHOWN = 5

Feature = Callable[..., Any]
"""Makes a model's input of a sound, `feature(samples, rate)`, or of an image, `feature(pixels)`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folder:
    """Files of a folder with one folder for each class, in the order of classes and names.

    `labels` (n,) are class numbers, `sounds` says what the files are.
    """

    root: Path
    files: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    sounds: bool

    def name(self, index: int) -> str:
        """A file as errors call it, beginning with its class."""
        return printable(self.files[index])

    def path(self, index: int) -> Path:
        """Where a file is."""
        return self.root / self.files[index]


def read_folder(root: Path, *, known: tuple[str, ...], most: int) -> Folder:
    """List the files of a folder of classes; hidden ones are left out.

    Args:
        known: names of classes by their numbers, as far as the model's manifest has them.
        most: classes that the model has.

    Raises:
        TensorError: no class, a class without a file, images and sounds mixed, or too many files.
    """
    source = printable(root.name)
    try:
        names = sorted(item.name for item in os.scandir(root) if _visible(item) and item.is_dir())
        held = {name: _files(root / name) for name in names}
    except OSError as error:
        raise TensorError(f"cannot read {source}: {error.strerror}") from error
    if not names:
        raise TensorError(
            f"{source} holds no folders", hint="Images and sounds lie in one folder for each class."
        )
    empty = [printable(name) for name in names if not held[name]]
    if empty:
        raise TensorError(
            f"{source}: no image or sound in the folder of class {listed(empty, _CLASSES_SHOWN)}"
        )
    files = tuple(os.path.join(name, file) for name in names for file in held[name])
    if len(files) > MOST_FILES:
        raise TensorError(f"{source} holds {len(files)} files; {MOST_FILES} at most")
    kinds = {_suffix(file) in SOUNDS for file in files}
    if len(kinds) > 1:
        raise TensorError(f"{source} holds images and sounds: one kind at a time")
    numbers = class_numbers(names, known, most=most, source=source)
    counts = [len(held[name]) for name in names]
    return Folder(
        root=root,
        files=files,
        labels=np.repeat([numbers[name] for name in names], counts).astype(np.int64),
        classes=class_names(numbers, known),
        sounds=kinds.pop(),
    )


def _visible(item: os.DirEntry[str]) -> bool:
    return not item.name.startswith(".")


def _files(folder: Path) -> list[str]:
    known = IMAGES + SOUNDS
    return sorted(
        item.name
        for item in os.scandir(folder)
        if _visible(item) and _suffix(item.name) in known and item.is_file()
    )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def image_layout(spec: TensorSpec) -> tuple[int, int, int]:
    """Height, width and channels of a model's input.

    Raises:
        TensorError: it is no picture.
    """
    shape = spec.shape[1:] if spec.shape and spec.shape[0] == 1 else spec.shape
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) == 3 and shape[2] in _CHANNELS:
        return shape[0], shape[1], shape[2]
    raise TensorError(
        f"the model's input of shape {spec.shape} is no picture",
        hint="Compute it from each image with --feature MODULE:FUNCTION, or give an .npz file.",
    )


def read_image(
    path: Path, name: str, spec: TensorSpec, *, resize: bool, colour: str | None
) -> NDArray[np.uint8]:
    """Pixels (height, width, channels) of an image that fits the model's input.

    Args:
        resize: scale images of another size, by Pillow's bilinear filter.
        colour: make images `grey` or `rgb`; None takes them as they are.

    Raises:
        TensorError: it cannot be read, or it does not fit and nothing was said to make it fit.
    """
    return read_pixels(path, name, colour, layout=image_layout(spec), resize=resize)


def read_pixels(
    path: Path,
    name: str,
    colour: str | None,
    *,
    layout: tuple[int, int, int] | None = None,
    resize: bool = False,
) -> NDArray[np.uint8]:
    """Pixels (height, width, channels) of an image file.

    Args:
        layout: height, width and channels that the image must have, but for what `resize` scales.
            An image that has others is refused before it is unpacked.

    Raises:
        TensorError: no image, too large, or of a mode that is neither grey nor RGB.
    """
    from PIL import Image  # 0.05 s: only where images are read

    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise TensorError(f"{name} has {image.width} x {image.height} pixels: too many")
            mode = _MODES.get(colour or "", image.mode)
            if mode not in _MODES.values():
                raise TensorError(
                    f"{name} is of mode {mode}, neither grey nor RGB",
                    hint="Convert images: --colour grey or --colour rgb",
                )
            if layout is not None:
                _check_fits(image, mode, name, layout, resize)
            made = image.convert(mode)
            if layout is not None and made.size != (layout[1], layout[0]):
                made = made.resize((layout[1], layout[0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(made, dtype=np.uint8)
    except TensorError:
        raise
    except Exception as error:  # Pillow's readers raise what they like on a damaged file
        what = printable(str(error)) or type(error).__name__
        raise TensorError(f"cannot read image {name}: {what}") from error
    return pixels.reshape(*pixels.shape[:2], -1)


def _check_fits(
    image: Any, mode: str, name: str, layout: tuple[int, int, int], resize: bool
) -> None:
    height, width, channels = layout
    if _MODES[_CHANNELS[channels]] != mode:
        has = next(colour for colour, known in _MODES.items() if known == mode)
        raise TensorError(
            f"{name} is {has}, the model takes {_CHANNELS[channels]}",
            hint=f"Convert images: --colour {_CHANNELS[channels]}",
        )
    if image.size != (width, height) and not resize:
        raise TensorError(
            f"{name} has {image.width} x {image.height} pixels, the model takes {width} x {height}",
            hint="Scale images: --resize",
        )


def read_sound(path: Path, name: str) -> tuple[NDArray[Any], int]:
    """Samples of a WAV file as it stores them, (n,) or (n, channels), and their rate in Hz.

    Raises:
        TensorError: no WAV file, too long, or neither 8, 16 nor 32 bits wide.
    """
    try:
        with wave.open(str(path), "rb") as file:
            frames, width = file.getnframes(), file.getsampwidth()
            if frames > MOST_FRAMES:
                raise TensorError(f"{name} has {frames} samples; {MOST_FRAMES} at most")
            held = path.stat().st_size
            if frames * width * file.getnchannels() > held:
                raise TensorError(f"{name} says it has {frames} samples, and has {held} bytes")
            if width not in _WIDTHS:
                raise TensorError(f"{name} has samples of {8 * width} bits: use 8, 16 or 32")
            samples = np.frombuffer(file.readframes(frames), dtype=_WIDTHS[width])
            channels, rate = file.getnchannels(), file.getframerate()
    except TensorError:
        raise
    except Exception as error:  # wave raises Error, EOFError, struct's and ValueError
        what = printable(str(error)) or type(error).__name__
        raise TensorError(f"cannot read sound {name}: {what}") from error
    return (samples if channels == 1 else samples.reshape(-1, channels)), rate


def load_feature(text: str) -> Feature:
    """The function that `module:function` names; the current folder's modules count, too.

    Raises:
        TensorError: no such module or function, or the module cannot be imported.
    """
    module, colon, function = text.partition(":")
    if not colon or not module or not function:
        raise TensorError(f"--feature takes MODULE:FUNCTION, not {printable(text)!r}")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module of the user's own may raise anything
        what = printable(str(error)) or type(error).__name__
        raise TensorError(f"cannot import {printable(text)}: {what}") from error
    if not callable(found):
        raise TensorError(f"{printable(text)} is no function")
    result: Feature = found
    return result


def source_of(feature: Feature) -> bytes:
    """The text of the file that defines a function, or nothing where there is none."""
    try:
        return Path(inspect.getfile(feature)).read_bytes()
    except (OSError, TypeError):
        return b""


def featured(feature: Feature, arguments: tuple[Any, ...], name: str) -> NDArray[Any]:
    """What a user's function makes of a file.

    Raises:
        TensorError: it raised, or returned anything but numbers.
    """
    try:
        made = np.asarray(feature(*arguments))
    except Exception as error:  # the user's own code
        what = f"{type(error).__name__}: {printable(str(error))}"
        raise TensorError(f"the feature step failed on {name}: {what}") from error
    if made.dtype.kind not in "biuf":
        raise TensorError(f"the feature step made {made.dtype} of {name}, no numbers")
    return made


def one_sample(made: NDArray[Any], name: str, elements: int) -> NDArray[Any]:
    """The numbers (elements,) of what a feature step made.

    Raises:
        TensorError: it made another number of them.
    """
    if made.size != elements:
        raise TensorError(
            f"the feature step made {made.size} numbers of {name}, shape {made.shape}; the model "
            f"takes {elements}"
        )
    return made.reshape(-1)
