"""The square that the vision encoders see: its place on the head, and how it is cut from a picture.

The middle of the face is the mean of six landmarks (outer eye corners, mouth corners, nose base, chin) plus a fixed
offset; a picture's crop is centred on its projection and has the side of :data:`SIDE_M` metres at its depth, scaled
by the size of the face. Pixels: x right, y down, pixel centres at whole numbers.
"""

from __future__ import annotations

import numpy as np

from .errors import InputError

ANCHORS = (36, 45, 48, 54, 33, 8)
"""Multi-PIE landmarks that place and scale the crop."""
SIDE_M = 0.17
"""Side of the crop at the depth of the face's middle, metres, for a face of mean size."""
_OFFSET = np.float32([0.0, 0.0, 0.004])


def face_middle(landmarks: np.ndarray, mean_landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle (3,) of a neutral face in metres, and its size relative to the mean identity's.

    Args:
        landmarks, mean_landmarks: (68, 3) metres, of the face and of the mean identity.
    """
    own, mean = np.asarray(landmarks)[list(ANCHORS)], np.asarray(mean_landmarks)[list(ANCHORS)]
    size = np.sqrt(((own - own.mean(axis=0)) ** 2).sum() / ((mean - mean.mean(axis=0)) ** 2).sum())
    return own.mean(axis=0) + _OFFSET, float(size)


def cut(image: np.ndarray, centre: np.ndarray, side: float, size: int, roll: float = 0.0) -> np.ndarray:
    """A square of a picture, resampled to (size, size, 3) uint8; what lies outside repeats the border's pixels.

    Args:
        image: (H, W, 3) uint8.
        centre: x, y in pixels.
        side: side in pixels.
        roll: radians, the crop's own turn, clockwise in the picture: a head that leans so stands upright in the crop.

    Raises:
        InputError: if the square is not finite or smaller than 4 pixels.
    """
    if not (np.isfinite(centre).all() and np.isfinite(side) and np.isfinite(roll)) or side < 4:
        raise InputError(f"expected a square of at least 4 pixels, got centre {centre}, side {side}")
    factor = max(1, int(side / (1.6 * size)))  # shrink by whole steps first, so that small crops do not alias
    steps = (np.arange(size * factor) + 0.5) / (size * factor) - 0.5
    across, down = np.meshgrid(steps * side, steps * side)
    cosine, sine = np.cos(roll), np.sin(roll)
    x = np.clip(centre[0] + cosine * across - sine * down, 0, image.shape[1] - 1)
    y = np.clip(centre[1] + sine * across + cosine * down, 0, image.shape[0] - 1)
    left, top = np.minimum(x.astype(np.int32), image.shape[1] - 2), np.minimum(y.astype(np.int32), image.shape[0] - 2)
    left, top = np.maximum(left, 0), np.maximum(top, 0)
    right, bottom = np.minimum(left + 1, image.shape[1] - 1), np.minimum(top + 1, image.shape[0] - 1)
    u, v = (x - left).astype(np.float32)[..., None], (y - top).astype(np.float32)[..., None]
    upper = image[top, left] * (1 - u) + image[top, right] * u
    lower = image[bottom, left] * (1 - u) + image[bottom, right] * u
    out = upper * (1 - v) + lower * v
    if factor > 1:
        out = out.reshape(size, factor, size, factor, 3).mean(axis=(1, 3))
    return np.round(out).astype(np.uint8)
