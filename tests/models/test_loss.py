"""The loss of a guess: numbers by hand, and the command as a learner types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from models.__main__ import main
from models.loss import best, descend, draw, largest_rate, loss, predict, report, surface

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def test_loss_of_the_lessons_guess_is_the_one_by_hand() -> None:
    # 3x - 1 is off by x at each x of -1 to 4: squares 1, 0, 1, 4, 9, 16.
    assert list(predict(3, -1)) == [-4, -1, 2, 5, 8, 11]
    assert loss(3, -1) == pytest.approx(31 / 6)
    # y = 0: squares of -3, -1, 1, 3, 5, 7.
    assert loss(0, 0) == pytest.approx(94 / 6)
    assert loss(2, -1) == 0


def test_least_loss_is_where_the_points_come_from() -> None:
    assert best() == pytest.approx((2, -1))


def test_surface_has_a_row_for_each_b_and_a_column_for_each_w() -> None:
    losses = surface(np.array([2.0, 3.0, 0.0]), np.array([-1.0, 0.0]))
    assert losses.shape == (2, 3)
    assert losses[0, 0] == 0 and losses[0, 1] == pytest.approx(31 / 6)
    assert losses[1, 2] == pytest.approx(loss(0, 0))


def test_one_step_goes_against_the_gradient_by_hand() -> None:
    # Errors are x, so dMSE/dw = 2 mean(x x) = 31/3 and dMSE/db = 2 mean(x) = 3.
    path = descend(3, -1, rate=0.09, steps=1)
    assert path.weights[1] == pytest.approx((3 - 0.09 * 31 / 3, -1 - 0.09 * 3))


def test_descent_with_the_courses_rate_arrives() -> None:
    path = descend(10, 10, rate=0.09, steps=1000)
    assert path.weights[-1] == pytest.approx((2, -1)) and not path.diverged


def test_descent_diverges_from_the_largest_rate_on() -> None:
    # Curvature 2 [[31/6, 3/2], [3/2, 1]]: its largest eigenvalue by hand is 11.302.
    assert largest_rate() == pytest.approx(2 / 11.302, rel=1e-4)
    assert not descend(3, 1, rate=0.99 * largest_rate(), steps=400).diverged
    assert descend(3, 1, rate=1.01 * largest_rate(), steps=400).diverged
    assert np.isfinite(descend(1e6, -1e6, rate=1e6, steps=400).losses).all()


def test_report_tells_each_point_the_sum_its_root_and_the_mean() -> None:
    text = "\n".join(report(3, -1, descend(3, -1, rate=0.09, steps=50), 0.09))
    assert "4   7     11      4       16" in text
    assert "sum of squares 31, its root 5.56776, mean (MSE) 5.16667" in text
    assert "least loss: 0 at w = 2, b = -1" in text


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_figure_is_drawn_alike_for_the_same_guess(tmp_path: Path, suffix: str) -> None:
    path = descend(10, 10, rate=0.09, steps=50)
    pictures = [tmp_path / f"{name}{suffix}" for name in ("a", "b")]
    for picture in pictures:
        draw(10, 10, path, picture)
    first, second = (picture.read_bytes() for picture in pictures)
    assert first == second
    if suffix == ".png":
        assert first.startswith(PNG)
    else:
        assert ElementTree.fromstring(first).tag.endswith("svg")


@pytest.mark.parametrize("name", ["w", "b", "rate"])
@pytest.mark.parametrize("guess", ["nan", "inf", "-inf", "1e7", "-1e300", "two"])
def test_guess_that_is_no_number_to_square_is_refused(
    capsys: pytest.CaptureFixture[str], name: str, guess: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["loss", f"--{name}={guess}"])
    assert ended.value.code == 2 and f"--{name}: " in capsys.readouterr().err


@pytest.mark.parametrize("steps", ["0", "-1", "100001", "1.5"])
def test_steps_are_bounded(capsys: pytest.CaptureFixture[str], steps: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["loss", f"--steps={steps}"])
    assert ended.value.code == 2 and "--steps: " in capsys.readouterr().err


def test_figure_that_cannot_be_written_is_an_error_with_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["loss", f"--output={tmp_path / 'loss.bmp'}"]) == 2
    assert "loss.bmp does not end in .png or .svg" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["loss", f"--output={tmp_path / 'file' / 'loss.png'}"]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_rate_that_is_too_large_fails_with_the_largest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["loss", "--rate=0.2"]) == 1
    said = "the loss grows: take a learning rate above 0 and below 0.177"
    assert said in capsys.readouterr().err


def test_hil_hands_guess_and_figure_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.cli", "loss", "--w", "2", "--b", "-2"]
    done = subprocess.run(
        [*command, "--output", "loss.png"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "mean (MSE) 1\n" in done.stdout, done.stderr
    assert (tmp_path / "loss.png").read_bytes().startswith(PNG)


def test_exploring_needs_no_tensorflow() -> None:
    code = "import sys; from models.__main__ import main; main(['loss']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"tensorflow", "matplotlib"} & set(done.stdout.split()) == set()
