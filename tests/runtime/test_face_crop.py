"""The square that the encoders see."""

import numpy as np
import pytest

from media2face.runtime.errors import InputError
from media2face.runtime.face_crop import cut, face_middle


def dotted(*spots: tuple[float, float]) -> np.ndarray:
    y, x = np.mgrid[:200, :300]
    image = sum(255 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 18) for a, b in spots)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, 2)


def brightest(image: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(image[..., 0].argmax(), image.shape[:2])
    return int(column), int(row)


def test_scale_and_place():
    crop = cut(dotted((170, 80)), np.array([150.0, 100.0]), 100, 50)
    assert crop.shape == (50, 50, 3)
    column, row = brightest(crop)
    assert abs(column - 34.5) <= 1 and abs(row - 14.5) <= 1  # 20 right, 20 up, at half size


def test_a_turned_crop_sets_a_leaning_head_upright():
    """A head that leans clockwise by the roll: its crown, up and right of the middle, comes out straight above."""
    roll = 0.5
    crown = (150 + 40 * np.sin(roll), 100 - 40 * np.cos(roll))
    column, row = brightest(cut(dotted(crown), np.array([150.0, 100.0]), 100, 100, roll))
    assert abs(column - 49.5) <= 1 and abs(row - 9.5) <= 1


def test_outside_repeats_the_border_and_small_crops_do_not_alias():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 0] = 200
    assert (cut(image, np.array([-50.0, 20.0]), 20, 16)[:, :, 0] == 200).all()
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(cut(stripes, np.array([256.0, 256.0]), 500, 32).astype(int) - 100).max() < 20


@pytest.mark.parametrize("side", [np.nan, 0.0, -5.0, 3.0])
def test_squares_that_are_none_are_refused(side):
    with pytest.raises(InputError):
        cut(dotted((1, 1)), np.array([10.0, 10.0]), side, 32)


def test_middle_grows_with_the_face():
    points = np.random.default_rng(0).normal(0, 0.05, (68, 3))
    middle, size = face_middle(2 * points, points)
    assert size == pytest.approx(2.0)
    assert np.allclose(face_middle(points, points)[0][:2], points[[36, 45, 48, 54, 33, 8]].mean(0)[:2])
    assert middle.shape == (3,)
